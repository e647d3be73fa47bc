"""A budget as the small JSON of a ModelRecord, and back. Times of day in it, so that what came back while no
scheduler ran counts. What cannot be read is forgotten: it will be learned again."""

import json
from dataclasses import fields

from services.scheduler.domain.transfers.choosing.budget import Budget
from services.scheduler.domain.transfers.choosing.cycles import Cycle
from services.scheduler.domain.transfers.choosing.estimate import Estimate

VERSION = 1
_TIMES = frozenset({"at", "since", "used", "flooded_at", "rest_began"})
_ESTIMATES = frozenset({"capacity", "recovery"})


def dump(budget: Budget, offset: float) -> str:
    """`offset`: the time of day less the monotonic clock. Under a kilobyte, whatever happened."""
    state: dict[str, object] = {"version": VERSION}
    for one in fields(Budget):
        value = getattr(budget, one.name)
        if one.name in _ESTIMATES:
            state[one.name] = [round(value.value, 6), round(value.limit, 6), value.patience, value.held_times]
        elif one.name == "cycles":
            state[one.name] = [[round(c.passed), round(c.seconds, 1), c.fresh] for c in value]
        elif one.name in _TIMES:
            state[one.name] = round(value + offset, 3)
        else:
            state[one.name] = round(value, 3) if isinstance(value, float) else value
    return json.dumps(state, separators=(",", ":"))


def load(text: str, offset: float, now: float) -> Budget | None:
    """None when it is not one of ours. Nothing in it lies in the future: a clock that was put back must not
    make an account rest for as long."""
    try:
        state = json.loads(text)
        if state.pop("version") != VERSION:
            return None
        budget = Budget(**state)
        budget.capacity, budget.recovery = Estimate(*state["capacity"]), Estimate(*state["recovery"])
        budget.cycles = [Cycle(*cycle) for cycle in state["cycles"]]
        for name in _TIMES:
            limit = now + budget.served if name == "used" else now
            setattr(budget, name, min(limit, float(state[name]) - offset))
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    return budget
