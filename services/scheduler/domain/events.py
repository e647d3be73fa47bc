"""What can happen to the scheduler's core. Plain data; made by the servicers and the driver.

Every event is handled by exactly one function, named in `core.HANDLERS`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from services.scheduler.domain.model import AccountSpec, AnnouncedFile, CallKind, Report


@dataclass(slots=True)
class AccountsSnapshot:
    """All accounts, at the beginning of a watch. Accounts that are not in it are gone."""

    accounts: Sequence[AccountSpec]
    revision: int
    starts_stopped: str = ""


@dataclass(slots=True)
class Wishes:
    """What is wanted now of accounts of which nothing else changed."""

    running: bool
    chatting: bool
    account_ids: Sequence[str]


@dataclass(slots=True)
class AccountsChanged:
    """Changes after the snapshot. `starts_stopped` is None when it did not change."""

    accounts: Sequence[AccountSpec] = ()
    deleted: Sequence[str] = ()
    revision: int = 0
    starts_stopped: str | None = None
    wishes: Sequence[Wishes] = ()


@dataclass(slots=True)
class WorkerHello:
    """A worker's first message on a new stream, which bears the number `attachment`."""

    worker_id: str
    incarnation: str
    attachment: int
    capacity: int
    sessions: Sequence[Report] = ()
    files: Sequence[AnnouncedFile] = ()
    draining: bool = False


@dataclass(slots=True)
class WorkerHeartbeat:
    """A sign of life."""

    worker_id: str
    attachment: int


@dataclass(slots=True)
class WorkerReports:
    """Sessions whose state changed, oldest first."""

    worker_id: str
    attachment: int
    reports: Sequence[Report]


@dataclass(slots=True)
class WorkerFiles:
    """The full list of a worker's session files."""

    worker_id: str
    attachment: int
    files: Sequence[AnnouncedFile]


@dataclass(slots=True)
class StreamLost:
    """A worker's stream ended; the process may still run and come back."""

    worker_id: str
    attachment: int


@dataclass(slots=True)
class CallStarted:
    """A fleet call arrived with its selection. `deadline` (by `now`) is when its caller must have the rest;
    `began` (by `now`, 0 for this moment) when it arrived at its gateway, perhaps under an earlier leader.

    One with the `request_id` and kind of a call that is known joins that. `explicit`: the accounts were
    named one by one, and those that the call did not have are added to it (a gateway that asks a new leader
    for what is unanswered).
    """

    request_id: str
    kind: CallKind
    account_ids: Sequence[str]
    deadline: float
    wait_for: float = 0.0
    explicit: bool = True
    began: float = 0.0


@dataclass(slots=True)
class WantedSaved:
    """The registry recorded a wish; `accepted` are the accounts whose wish is now as asked."""

    batch: int
    accepted: frozenset[str]
    revision: int


@dataclass(slots=True)
class WantedFailed:
    """The registry refused a wish for good; nothing was recorded."""

    batch: int
    detail: str


@dataclass(slots=True)
class DrainStarted:
    """A person empties a worker; what cannot be moved is stopped at `deadline` (by `now`)."""

    worker_id: str
    deadline: float


@dataclass(slots=True)
class DrainUndone:
    """A person lets a worker take accounts again."""

    worker_id: str


@dataclass(slots=True)
class Borrowed:
    """A transfer needs an account that nobody wants running. Refused after a person has stopped it.
    `borrower` names who must give it back."""

    account_id: str
    borrower: str = "transfers"


@dataclass(slots=True)
class GivenBack:
    """That borrower needs it no more."""

    account_id: str
    borrower: str = "transfers"


@dataclass(slots=True)
class LendingAllowed:
    """A person created or resumed a transfer with these accounts: that they were stopped earlier counts no
    more."""

    account_ids: Sequence[str]


@dataclass(slots=True)
class Tick:
    """Time passed; timers that are due fire."""


Event = (
    AccountsSnapshot
    | AccountsChanged
    | WorkerHello
    | WorkerHeartbeat
    | WorkerReports
    | WorkerFiles
    | StreamLost
    | CallStarted
    | WantedSaved
    | WantedFailed
    | DrainStarted
    | DrainUndone
    | Borrowed
    | GivenBack
    | LendingAllowed
    | Tick
)
