"""What the scheduler needs from outside. Adapters implement these; tests' fakes pass the same contract
suites."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from services.scheduler.domain.commands import ReportCrashes, SetWanted
from services.scheduler.domain.events import AccountsChanged, AccountsSnapshot
from services.scheduler.domain.model import KnownWorker


@dataclass(frozen=True, slots=True)
class Selection:
    """Accounts chosen by ids or names, or by labels; neither chooses all."""

    account_ids: Sequence[str]
    match_labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Resolved:
    """What a selection meant at a revision of the accounts."""

    account_ids: Sequence[str]
    revision: int


@dataclass(frozen=True, slots=True)
class Saved:
    """Which accounts' wishes are now as asked, and the revision after that."""

    account_ids: frozenset[str]
    revision: int


@dataclass(frozen=True, slots=True)
class WatchBegan:
    """The first item of a watch of all accounts. T and S as the registry has them, in seconds."""

    snapshot: AccountsSnapshot
    lease_ttl: float
    lease_settle: float


class Registry(Protocol):
    """The owner of accounts. Every method raises TgfleetError, as in `services.runtime.errors`."""

    async def resolve(self, selection: Selection, time_left: float) -> Resolved:
        """At most `time_left` seconds. Raises NotFound (ACCOUNT_NOT_FOUND, NO_ACCOUNT_SELECTED),
        InvalidArgument."""
        ...

    async def revision(self, time_left: float) -> int:
        """The accounts' revision now; what was true until now is known to a watch that has come so far."""
        ...

    async def set_wanted(self, command: SetWanted) -> Saved:
        """Records a wish."""
        ...

    async def report_crashes(self, command: ReportCrashes, fact_ids: Sequence[str]) -> None:
        """Tells which accounts were on a worker that crashed; counted once per fact id."""
        ...

    def watch(self) -> AsyncIterator[WatchBegan | AccountsChanged]:
        """All accounts, then every change. Ends by raising Unavailable when the stream breaks; watch again
        then."""
        ...


class Clock(Protocol):
    """Where time comes from; see services.runtime.clock."""

    def monotonic(self) -> float:
        """Seconds since some point."""
        ...

    def wall(self) -> datetime:
        """The time of day, in UTC."""
        ...


class Leadership(Protocol):
    """A won election, for as long as it lasts."""

    def valid(self) -> bool:
        """Whether this process leads for certain. Compared before every command and commit: it turns False
        before another process can be elected, also in a process that was frozen meanwhile."""
        ...

    async def lost(self) -> None:
        """Returns when the leadership has ended."""
        ...

    async def resign(self) -> None:
        """Gives it up, so that another process need not wait. Idempotent; failures are harmless."""
        ...


class Election(Protocol):
    """Elects one leader among all schedulers."""

    async def campaign(self) -> Leadership:
        """Returns once this process leads, however long that takes."""
        ...

    async def close(self) -> None:
        """Ends connections."""
        ...


class Store(Protocol):
    """The scheduler's database, open in one process. Every commit compares the term in its own
    transaction."""

    async def begin_term(self, holder: str) -> int:
        """The next term, from now on this process's."""
        ...

    async def known_workers(self) -> list[KnownWorker]:
        """Workers that this or earlier leaders knew."""
        ...

    async def remember(self, term: int, workers: Sequence[KnownWorker]) -> None:
        """Keeps them. Raises Aborted (TERM_LOST) when a newer term has begun; then nothing was written."""
        ...

    async def close(self) -> None:
        """Closes the database, and lets another process have the file."""
        ...
