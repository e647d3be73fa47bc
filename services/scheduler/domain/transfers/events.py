"""What can happen to transfers. Plain data, made by the driver, the dispatcher and the handlers; every event
is handled by exactly one function, named in `core.HANDLERS`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from services.scheduler.domain.model import Flood, Token
from services.scheduler.domain.transfers.orders import OrderAnswer
from services.scheduler.domain.transfers.records import ShardRecord, TransferRecord, Wish


@dataclass(frozen=True, slots=True)
class AccountView:
    """All that transfers know of an account. `running`: RUNNING on a worker whose stream `attachment` is up
    and that is not drained, under the grant `token`. `startable`: enabled, not blocked, and it does not run
    because nobody wants it, so that it may be borrowed. `blocked`: why it cannot run until a person acts
    (`NEEDS_LOGIN`, `ACCOUNT_BANNED`, ...), empty when it can. `allowed_hours` as in TransferPolicy; `waits`
    as the registry has them."""

    account_id: str
    name: str
    priority: int = 0
    enabled: bool = True
    wanted: bool = False
    running: bool = False
    worker_id: str = ""
    attachment: int = 0
    token: Token | None = None
    startable: bool = False
    blocked: str = ""
    time_zone: str = ""
    daily_cap: int = 0
    allowed_hours: tuple[str, ...] = ()
    waits: tuple[Flood, ...] = ()
    user_id: int = 0

    @property
    def gone(self) -> bool:
        """Whether it will not come back by itself."""
        return not self.enabled or bool(self.blocked)


@dataclass(frozen=True, slots=True)
class AccountChanged:
    """An account is new, or something of it changed: the whole of it."""

    account: AccountView


@dataclass(frozen=True, slots=True)
class AccountGone:
    """An account was deleted."""

    account_id: str


@dataclass(frozen=True, slots=True)
class Attached:
    """A worker said hello on a new stream; `order_ids` are being carried out there. Its answers that were not
    acknowledged follow right after. Told before the AccountChanged that names the new attachment."""

    worker_id: str
    incarnation: str
    attachment: int
    order_ids: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Detached:
    """A worker's stream ended. `lost`: it was given up, its leases are over: nothing of its orders can leave
    any more. Told once without and, when it does not come back, once more with `lost`."""

    worker_id: str
    lost: bool


@dataclass(frozen=True, slots=True)
class Answered:
    """A worker's answer; resent until it is acknowledged."""

    worker_id: str
    attachment: int
    answer: OrderAnswer


@dataclass(frozen=True, slots=True)
class Committed:
    """That Commit, and all before it, are on disk. One that fails ends the term instead."""

    commit_id: int


@dataclass(frozen=True, slots=True)
class TransferCreated:
    """A transfer was planned, and is on disk already."""

    record: TransferRecord
    shards: Sequence[ShardRecord]


@dataclass(frozen=True, slots=True)
class Wished:
    """A person wants a transfer to run, to pause or to end. Ignored for one that is not known."""

    transfer_id: str
    wish: Wish


@dataclass(frozen=True, slots=True)
class SettledByPerson:
    """A person's word on a batch; ignored unless that batch is UNDECIDED."""

    transfer_id: str
    shard: int
    batch: int
    sent: bool


@dataclass(frozen=True, slots=True)
class Tick:
    """Time passed; timers that are due fire."""


Event = (
    AccountChanged
    | AccountGone
    | Attached
    | Detached
    | Answered
    | Committed
    | TransferCreated
    | Wished
    | SettledByPerson
    | Tick
)
