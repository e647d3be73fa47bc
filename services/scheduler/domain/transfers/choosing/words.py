"""What the pool is told, asked and answers. Knows nothing of how it chooses. `now` and `wake` are monotonic
seconds; `wall` and `until` are seconds since 1970."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from services.scheduler.domain.model import Flood


@dataclass(frozen=True, slots=True)
class PoolAccount:
    """An account as the pool must know it; a change is told by the whole of it.

    `running`: RUNNING on a worker that takes orders. `startable`: does not run, but could be started on
    demand. `blocked`: why it neither runs nor can be started, as in `NEEDS_LOGIN`; empty when nothing is
    known. `waits` as the registry shows them.
    """

    account_id: str
    name: str = ""
    priority: int = 0
    enabled: bool = True
    running: bool = True
    startable: bool = False
    blocked: str = ""
    time_zone: str = "UTC"
    daily_cap: int = 0
    allowed_hours: tuple[str, ...] = ()
    waits: tuple[Flood, ...] = ()


@dataclass(frozen=True, slots=True)
class Ask:
    """Who may send now? `account_ids`: the transfer's accounts; pass the same frozenset again and again, the
    pool keeps an order for large ones. `prefer`: the account that the shard used last, taken if it may at
    all; empty for none. `count`: the fewest messages that can go now (1, or a whole album). `also`: methods
    that must not wait either, as for reading."""

    transfer_id: str
    method: str
    chat_id: int
    account_ids: frozenset[str]
    prefer: str = ""
    count: int = 1
    only_running: bool = False
    also: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Chosen:
    """This one. It may send up to `allowance` messages before the pool is asked again. `running` False: it
    must be started first."""

    account_id: str
    allowance: int
    running: bool = True


@dataclass(frozen=True, slots=True)
class Nobody:
    """None can. `wake`: when that may change by itself (monotonic); None when only a change from outside
    helps. `reason` is that of the account which is free first, else the commonest."""

    wake: float | None
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Obstacle:
    """What speaks against an account. `reason`: `DISABLED`, `NOT_RUNNING`, `FLOOD_WAIT`, `SLOW_MODE`,
    `DAILY_CAP`, `OUTSIDE_HOURS`, `RESTING`, `BUSY`, what `deny` was told (`CANNOT_READ`, `CANNOT_POST`), or
    the account's `blocked`. `until`: when it ends by itself (wall), 0.0 when nobody knows."""

    reason: str
    detail: str
    until: float = 0.0
    wake: float | None = None


@dataclass(frozen=True, slots=True)
class Predicted:
    """What is predicted of an account and method; see `budget.py` for the figures' meaning."""

    method: str
    budget: float
    budget_left: float
    recovery_per_hour: float
    waits_seen: int
    detail: str


@dataclass(frozen=True, slots=True)
class Explained:
    """How one account stands. `rank` from 1 in the order of choice, 0 when something speaks against it.
    `chosen`: it works on the transfer now, or would be the next while none does."""

    account_id: str
    name: str
    chosen: bool
    rank: int
    obstacles: tuple[Obstacle, ...]
    sent_today: int
    daily_cap: int
    sent_total: int
    predictions: Sequence[Predicted] = field(default_factory=tuple)
