"""Whether a transfer can be done, by whom, and its first cut into shards, from what each candidate account
saw of both chats. Pure; reads nothing of the range itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from services.scheduler.domain.transfers.orders import Inspected, OrderNotDone, OrderRefused, OrderUnknown
from services.scheduler.domain.transfers.records import Candidate, Chat, TransferSpec

Inspection = Inspected | OrderRefused | OrderUnknown | OrderNotDone


class RefusalKind(Enum):
    """Which kind of error a refusal is, by the names of the errors in services.runtime."""

    INVALID_ARGUMENT = 1
    NOT_FOUND = 2
    FAILED_PRECONDITION = 3
    UNAVAILABLE = 4


@dataclass(frozen=True, slots=True)
class PlanRefused:
    """Why there will be no such transfer. `field` as in `spec.target`, empty when none is to blame."""

    kind: RefusalKind
    reason: str
    field: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Cut:
    """A shard: ids from `first_id` to `last_id` (0: no end)."""

    first_id: int
    last_id: int


@dataclass(frozen=True, slots=True)
class Plan:
    """A transfer that can be done. `pinned` names the only account that may do it (a chat whose ids mean
    nothing to others), empty for none."""

    source: Chat
    target: Chat
    shards: tuple[Cut, ...]
    candidates: tuple[Candidate, ...]
    pinned: str = ""


@dataclass(frozen=True, slots=True)
class Following:
    """A following transfer that has not ended: its chats' ids."""

    source_id: int
    target_id: int


def check(spec: TransferSpec) -> PlanRefused | None:
    """What is wrong with a spec before anybody has looked at a chat; None when nothing is."""
    raise NotImplementedError


def plan(
    spec: TransferSpec,
    inspections: Mapping[str, Inspection],
    unchecked: Sequence[Candidate] = (),
    following: Sequence[Following] = (),
) -> Plan | PlanRefused:
    """`inspections` by account id, of every candidate that was running; `unchecked` are the others, with the
    reason why nobody could ask them (`NOT_CHECKED`, `NOT_RUNNING`, `DISABLED`)."""
    raise NotImplementedError
