"""Fleet calls in progress: who still lacks a result, and the results so far. Pure data with the one rule
that an account gets exactly one result in a call.
"""

from collections import deque
from dataclasses import dataclass, field
from enum import Enum

from services.scheduler.domain.model import CallKind, CallResult, Verdict


class Stage(Enum):
    """Where an account stands in a call."""

    UNDECIDED = (
        "undecided"  # what runs is not known yet: a new leader warms up, or the worker's stream is down
    )
    SAVING = "saving"  # the wish is on its way to the registry
    ACTING = "acting"  # waits for a worker's word


@dataclass(slots=True)
class Pending:
    """An account without a result. `held` is what it gets when `wait_for` is over."""

    stage: Stage
    held: Verdict | None = None
    was_running: bool = False  # RUNNING when the call came, by a worker's last word


@dataclass(slots=True, eq=False)
class FleetCall:
    """One StartAll, StopAll, StartChat or StopChat. Times by `now`."""

    key: str
    request_id: str
    kind: CallKind
    started: float
    deadline: float
    wait_until: float
    selected: list[str] = field(default_factory=list)
    pending: dict[str, Pending] = field(default_factory=dict)
    results: list[CallResult] = field(default_factory=list)
    answered: set[str] = field(default_factory=set)
    backlog: deque[str] = field(default_factory=deque)  # selected, not looked at yet
    chosen: set[str] = field(default_factory=set)  # all of `selected`
    deciding: bool = False
    finished: float | None = None

    def knows(self, account_id: str) -> bool:
        """Whether the account is part of the call."""
        return account_id in self.chosen


def call_key(kind: CallKind, request_id: str) -> str:
    """Names a call. The same request id with another kind is another call."""
    return f"{kind.name}:{request_id}"
