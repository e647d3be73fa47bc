"""A budget as the small JSON of a ModelRecord, and back. Times of day in it, so that what came back while no
scheduler ran counts. What cannot be read is forgotten: it will be learned again."""

import json
from dataclasses import asdict
from typing import Any

from services.scheduler.domain.transfers.choosing.budget import Budget
from services.scheduler.domain.transfers.choosing.cycles import Cycle
from services.scheduler.domain.transfers.choosing.estimate import Estimate
from services.scheduler.domain.transfers.choosing.history import History

VERSION = 1
_TIMES = ("at", "since", "rest_began", "flooded_at")
_HISTORY_TIMES = ("since", "used")


def dump(budget: Budget, offset: float) -> str:
    """`offset`: the time of day less the monotonic clock. About a kilobyte at most, whatever happened."""
    state = asdict(budget)
    _shift(state, _TIMES, offset)
    _shift(state["history"], _HISTORY_TIMES, offset)
    if budget.known:
        del state["history"]
    return json.dumps({"version": VERSION, **_rounded(state)}, separators=(",", ":"))


def load(text: str, offset: float, now: float) -> Budget | None:
    """None when it is not one of ours. Nothing in it lies in the future: a clock that was put back must not
    make an account rest for as long."""
    try:
        state = json.loads(text)
        if state.pop("version") != VERSION:
            return None
        history = state.pop("history", None)
        budget = Budget(**_past(state, _TIMES, offset, now))
        budget.capacity, budget.recovery = Estimate(**state["capacity"]), Estimate(**state["recovery"])
        if history is not None:
            latest = now + history["served"]
            budget.history = History(**_past(history, _HISTORY_TIMES, offset, latest))
            budget.history.cycles = [Cycle(**cycle) for cycle in history["cycles"]]
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    return budget


def _shift(state: dict[str, Any], names: tuple[str, ...], offset: float) -> None:
    for name in names:
        state[name] += offset


def _past(state: dict[str, Any], names: tuple[str, ...], offset: float, latest: float) -> dict[str, Any]:
    return {**state, **{name: min(latest, state[name] - offset) for name in names}}


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_rounded(one) for one in value]
    return round(value, 4) if isinstance(value, float) else value
