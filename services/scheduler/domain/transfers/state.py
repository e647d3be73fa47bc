"""The state of all transfers in one place, and the outbox that collects what is to be done. The other modules
of this package are functions over a `Desk`; nothing else holds state. `now` and `wall` are set at the
beginning of every event and do not change during it.
"""

import random
from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum

from services.scheduler.domain.timers import Timers
from services.scheduler.domain.transfers import commands as c
from services.scheduler.domain.transfers.batch import RandomIds
from services.scheduler.domain.transfers.batching import Bounds, Intake, Unit
from services.scheduler.domain.transfers.choosing.pool import Pool
from services.scheduler.domain.transfers.events import AccountView
from services.scheduler.domain.transfers.orders import Order
from services.scheduler.domain.transfers.rates import Recent, Windows
from services.scheduler.domain.transfers.records import (
    ENDED,
    BatchRecord,
    ShardRecord,
    TransferRecord,
    Wish,
)
from services.scheduler.domain.transfers.rules import TransferRules
from services.scheduler.domain.transfers.saving import Saver

SHARED_IDS = frozenset({"channel", "supergroup"})
"""Kinds of chats whose message ids are the same for everybody."""


class Purpose(Enum):
    """What an order is for."""

    INSPECT = 1
    READ = 2
    SEND = 3
    LOOK = 4


@dataclass(eq=False, slots=True)
class Outstanding:
    """An order that was handed out and not answered. `due`: when its answer is overdue (by `now`)."""

    order: Order
    purpose: Purpose
    shard: "Shard"
    worker_id: str
    incarnation: str
    due: float


@dataclass(slots=True)
class Look:
    """What a look into the target said. `at` by `now`."""

    at: float
    account_id: str
    clear: bool
    detail: str = ""


@dataclass(eq=False, slots=True)
class Batch:
    """A batch that is not settled. `units` are what it was cut from; empty when an earlier leader did that.
    Times by `now`."""

    record: BatchRecord
    units: tuple[Unit, ...] = ()
    given: bool = False
    """Its present attempt was handed to a worker (or may have been, by an earlier leader)."""
    order_id: str = ""
    """Of its transmission or look that is out; empty for none."""
    first_sent: float = 0.0
    absent: float | None = None
    """When its own account last saw that nothing of it was in the target."""
    unknown_since: float = 0.0
    away_since: float = 0.0
    """When its account was last seen to go away."""
    waits_for_hello: bool = False
    delivered: bool = False
    named: dict[int, int] = field(default_factory=dict)
    """Target ids that an answer named, by source id."""
    looks: list[Look] = field(default_factory=list)
    retry: float = 0.0
    """Nothing is tried before."""
    tries: int = 0
    moved: bool = False
    """The target became another chat meanwhile: that nothing is found in the new one proves nothing."""
    refusal: str = ""
    """The error that ended its account's attempts: it cannot repeat."""
    answers: list[tuple[str, str]] = field(default_factory=list)
    """Worker and order of answers that are acknowledged once it is settled on disk."""


@dataclass(eq=False, slots=True)
class Shard:
    """One part of a transfer. `detail` says why it does not go on, `wake` when that may change by itself."""

    record: ShardRecord
    transfer: "Transfer"
    intake: Intake
    current: Batch | None = None
    account_id: str = ""
    """The account that it occupies."""
    turn: int = 0
    ready: tuple[tuple[int, ...], tuple[int, ...]] | None = None
    """Ids of the next batch and their random_ids, made while the one before is under way."""
    saving: int = 0
    """Commits on their way that it waits for."""
    reading: str = ""
    inspecting: str = ""
    read_again: float = 0.0
    read_tries: int = 0
    suspects: int = 0
    """So many of the first units hold one that Telegram refuses."""
    one_by_one: bool = False
    rest: float = 0.0
    reason: str = ""
    detail: str = ""
    wake: float | None = None
    timer: float | None = None
    """The earliest timer that is set for it."""
    active: bool = False
    caught_up: bool = False

    @property
    def key(self) -> str:
        """As in `tr_x/1`."""
        return f"{self.record.transfer_id}/{self.record.shard}"

    @property
    def batch(self) -> BatchRecord | None:
        """The batch that is not settled."""
        return self.current.record if self.current is not None else None


@dataclass(eq=False, slots=True)
class Transfer:
    """One transfer. `top`: the newest id that is known in the target, None until an account looked."""

    record: TransferRecord
    account_ids: frozenset[str]
    random_ids: RandomIds
    shards: dict[int, Shard] = field(default_factory=dict)
    top: int | None = None
    slow: dict[str, int] = field(default_factory=dict)
    """By account: seconds between two messages that the target's slow mode asks of it."""
    lost_target: bool = False
    """A group is no chat any more: whether it became a supergroup is being found out."""
    failing: tuple[str, str, str] | None = None
    """Why it ends, once its batches are settled: reason, detail, action."""
    resumed: float | None = None
    """When a person last resumed it (by `now`)."""
    saving: int = 0
    recent: Recent = field(default_factory=Recent)

    @property
    def durable(self) -> bool:
        """Whether nothing of it is on its way to the disk."""
        return self.saving == 0

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self.record.state in ENDED

    @property
    def stopping(self) -> bool:
        """Whether nothing new is sent."""
        return self.failing is not None or self.record.wish is not Wish.RUN

    @property
    def pinned(self) -> bool:
        """Whether one account does all of it, since the ids mean nothing to others."""
        return self.record.source.kind not in SHARED_IDS or self.record.target.kind not in SHARED_IDS

    def rate(self, now: float) -> float:
        """Messages a minute over the last minutes."""
        return self.recent.rate(now)


class Desk:
    """Everything that is known of transfers."""

    def __init__(self, rules: TransferRules, term: int, rng: random.Random, pool: Pool) -> None:
        self.rules = rules
        self.term = term
        self.rng = rng
        self.pool = pool
        self.now = 0.0
        self.wall = 0.0
        self.began = 0.0
        self.accounts: dict[str, AccountView] = {}
        self.incarnations: dict[str, str] = {}
        self.attached: dict[str, tuple[int, float]] = {}
        """By worker: its stream's number, and when it came (by `now`)."""
        self.transfers: dict[str, Transfer] = {}
        self.orders: dict[str, Outstanding] = {}
        self.timers = Timers()
        self.saver = Saver()
        self.windows = Windows()
        self.dirty: OrderedDict[Shard, None] = OrderedDict()
        self.review: OrderedDict[str, None] = OrderedDict()
        self.waiting: OrderedDict[Shard, None] = OrderedDict()
        """Shards without an account, the longest waiting first."""
        self.freed: list[str] = []
        self.borrowed: dict[str, float] = {}
        """Accounts that run for transfers only, and when they last had work (by `now`)."""
        self.out: deque[c.Command] = deque()
        self.noted: set[str] = set()
        """Transfers of which something is in the next commit."""
        self.acknowledging: set[str] = set()
        """Answers that were taken in and are acknowledged once that is on disk."""
        self._numbers = 0

    def touch(self, shard: Shard) -> None:
        """It is to be looked at before the next commands go out."""
        self.dirty[shard] = None

    def touch_all(self, transfer: Transfer) -> None:
        """All its shards are to be looked at."""
        for shard in transfer.shards.values():
            self.touch(shard)
        self.review[transfer.record.transfer_id] = None

    def note(self, transfer: Transfer) -> None:
        """Something of it is in the next commit: people see it once that is on disk."""
        name = transfer.record.transfer_id
        self.review[name] = None
        if name not in self.noted:
            self.noted.add(name)
            transfer.saving += 1
            self.saver.then(lambda: self._saved(transfer))

    def _saved(self, transfer: Transfer) -> None:
        transfer.saving -= 1
        self.out.append(c.TransferChanged(transfer.record.transfer_id))

    def shards(self) -> Iterator[Shard]:
        """All there are."""
        for transfer in self.transfers.values():
            yield from transfer.shards.values()

    def wake_at(self, shard: Shard, when: float) -> None:
        """It is to be looked at then (by `now`), if not before."""
        if shard.timer is None or not self.now < shard.timer <= when:
            shard.timer = when
            self.timers.set(when, "shard", shard.key)

    def next_number(self) -> str:
        """Unique among all leaders."""
        self._numbers += 1
        return f"{self.term}.{self._numbers}"

    def find(self, key: str) -> Shard | None:
        """The shard of that key."""
        transfer_id, _, number = key.partition("/")
        transfer = self.transfers.get(transfer_id)
        return transfer.shards.get(int(number)) if transfer is not None else None


def span(transfer: Transfer) -> tuple[int, int]:
    """The whole range; its end is 0 when it has none."""
    rows = [shard.record for shard in transfer.shards.values()]
    open_end = any(row.last_id == 0 for row in rows)
    last = 0 if open_end else max((row.last_id for row in rows), default=0)
    return min((row.first_id for row in rows), default=1), last


def bounds_of(transfer: Transfer, record: ShardRecord) -> Bounds:
    """What a shard reads."""
    first, last = span(transfer)
    return Bounds(
        record.first_id, record.last_id, first, last, gaps=transfer.record.source.kind in SHARED_IDS
    )
