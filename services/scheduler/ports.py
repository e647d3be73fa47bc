"""What the scheduler needs from outside. Adapters implement these; tests' fakes pass the same contract
suites."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from services.scheduler.domain.commands import ReportCrashes, SetWanted
from services.scheduler.domain.events import AccountsChanged, AccountsSnapshot
from services.scheduler.domain.model import KnownWorker
from services.scheduler.domain.transfers.records import (
    Changes,
    RefusedMessage,
    ShardRecord,
    TransferPicture,
    TransferRecord,
    TransferState,
)


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


class TransferStore(Protocol):
    """Transfers in the scheduler's database. Every commit compares the term in its own transaction."""

    async def load(self) -> TransferPicture:
        """What a new leader takes up."""
        ...

    async def commit(self, term: int, number: int, changes: Sequence[Changes]) -> None:
        """Writes all of it, in order, or nothing; on disk when it returns. `number` counts the commits of the
        term upwards: one that was written already writes nothing, so that a commit whose answer was lost can
        be repeated although it adds counts. Raises Aborted (TERM_LOST), Unavailable."""
        ...

    async def find_request(self, request_id: str) -> TransferRecord | None:
        """The transfer that a request made, also one that has ended."""
        ...

    async def get(
        self, transfer_id: str
    ) -> tuple[TransferRecord, Sequence[ShardRecord], Sequence[RefusedMessage]] | None:
        """One transfer, also one that has ended, with its latest 100 refused messages."""
        ...

    async def page(
        self, states: Sequence[TransferState], before: tuple[float, str] | None, limit: int
    ) -> Sequence[tuple[TransferRecord, Sequence[ShardRecord]]]:
        """Newest first, after the (created, transfer_id) of the page before."""
        ...

    async def close(self) -> None:
        """Ends what writes; the database itself is closed by its owner."""
        ...


@dataclass(frozen=True, slots=True)
class Stores:
    """Everything of the scheduler's one database."""

    terms: Store
    transfers: TransferStore

    async def close(self) -> None:
        """Closes the database, and lets another process have the file."""
        await self.transfers.close()
        await self.terms.close()
