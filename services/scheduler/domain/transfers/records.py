"""What is durable of transfers, as the database keeps it and the core works with it. The enums bear the
names of their protobuf twins. Times of day are seconds since 1970 (`float`, 0.0 for none)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum


class TransferState(Enum):
    """Where a transfer stands (TransferState of the contract)."""

    RUNNING = 1
    WAITING = 2
    UNDECIDED = 3
    PAUSING = 4
    PAUSED = 5
    CANCELLING = 6
    CANCELLED = 7
    COMPLETED = 8
    FAILED = 9
    FOLLOWING = 10


ENDED = frozenset({TransferState.CANCELLED, TransferState.COMPLETED, TransferState.FAILED})
"""States that a transfer never leaves."""


class Wish(Enum):
    """What people want of a transfer; the last wish wins."""

    RUN = 1
    PAUSE = 2
    CANCEL = 3


class Mode(Enum):
    """How messages are moved."""

    FORWARD = 1
    COPY = 2


class BatchState(Enum):
    """Where a batch stands (DESIGN section 6); transitions are in `batch.py`. PLANNED is never stored."""

    PLANNED = 1
    INTENDED = 2  # committed; may have been transmitted
    UNKNOWN = 3  # transmitted or not, nobody can tell yet: to be settled before anything else
    UNDECIDED = 4  # evidence ran out: waits for its account or a person
    SETTLED = 5  # sent, or refused and skipped; final


@dataclass(frozen=True, slots=True)
class Chat:
    """A chat as it was found; `key` is what random_ids are derived from and never changes."""

    query: str
    chat_id: int
    title: str
    kind: str


@dataclass(frozen=True, slots=True)
class TransferSpec:
    """What was asked for, with the selection resolved. `media` holds names of MediaKind; `range_text` says
    the range as it was asked for, for people (`ids 5-90`, `last 100`)."""

    source: str
    target: str
    mode: Mode = Mode.FORWARD
    media: tuple[str, ...] = ()
    match: str = ""
    account_ids: tuple[str, ...] = ()
    match_labels: Mapping[str, str] = field(default_factory=dict)
    range_kind: str = ""  # "", "ids", "dates", "last"
    range_first: int = 0
    range_last: int = 0  # for "last": the number
    range_since: float = 0.0
    range_until: float = 0.0
    parallel: int = 1
    topic_id: int = 0
    silent: bool = False
    drop_captions: bool = False
    max_per_hour: int = 0
    strict: bool = False
    follow: bool = False
    only_running: bool = False


@dataclass(frozen=True, slots=True)
class Candidate:
    """What the check of one account found."""

    account_id: str
    usable: bool
    reason: str = ""
    detail: str = ""


@dataclass(slots=True)
class TransferRecord:
    """A transfer. `target` changes when the chat migrates; `target_key` does not."""

    transfer_id: str
    request_id: str
    spec: TransferSpec
    source: Chat
    target: Chat
    target_key: int
    state: TransferState
    wish: Wish
    created: float
    reason: str = ""
    detail: str = ""
    action: str = ""
    wake: float = 0.0
    ended: float = 0.0
    candidates: tuple[Candidate, ...] = ()


@dataclass(slots=True)
class ShardRecord:
    """A part of a transfer. Everything up to `checkpoint` is sent or skipped; `last_id` 0 while it has no
    end."""

    transfer_id: str
    shard: int
    first_id: int
    last_id: int
    checkpoint: int
    next_batch: int = 1
    done: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    account_id: str = ""
    finished: bool = False


@dataclass(slots=True)
class BatchRecord:
    """One batch: what is about to be, or was, sent. `through_id`: the checkpoint once it is settled;
    `skipped`: ids passed over on the way there, by reason. `target_ids` has a 0 for what was not named, and
    is empty until something is known. `order_id` names its latest transmission."""

    transfer_id: str
    shard: int
    batch: int
    state: BatchState
    account_id: str
    message_ids: tuple[int, ...]
    random_ids: tuple[int, ...]
    target_top_id: int
    through_id: int
    skipped: Mapping[str, int] = field(default_factory=dict)
    order_id: str = ""
    attempt: int = 0
    first_sent: float = 0.0
    target_ids: tuple[int, ...] = ()
    refused: Mapping[int, str] = field(default_factory=dict)  # message id -> Telegram's error
    detail: str = ""


@dataclass(frozen=True, slots=True)
class WaitRecord:
    """A wait that Telegram imposed, as the scheduler heard it: kept here too, so that it is on disk with
    the batch's result. `seconds` as first told: after a restart no more than that remains. `chat_id` 0 for
    all."""

    account_id: str
    method: str
    chat_id: int
    until: float
    seconds: float


@dataclass(frozen=True, slots=True)
class UsageChange:
    """Adds to an account's counts for one of its days (ISO date in its time zone) and ever. Reserved before
    sending, moved to `sent` with the result."""

    account_id: str
    day: str
    reserved: int = 0
    sent: int = 0


@dataclass(frozen=True, slots=True)
class Usage:
    """An account's counts: of its latest day, and ever."""

    account_id: str
    day: str
    reserved: int
    sent: int
    total: int


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """What was learned of an account and method; `state` is the model's own, JSON."""

    account_id: str
    method: str
    state: str


@dataclass(frozen=True, slots=True)
class TargetCount:
    """Adds to the messages that went to a target in the minute that begins at `minute` (time of day): the
    limit by the hour outlives a leader. Rows older than an hour may go."""

    target_key: int
    minute: float
    count: int


@dataclass(frozen=True, slots=True)
class LendingChange:
    """Whether an account may be started for transfers: not after a person has stopped it."""

    account_id: str
    lendable: bool


@dataclass(slots=True)
class Changes:
    """Everything that one commit writes, in one transaction: rows are replaced as a whole, counts are
    added."""

    transfers: list[TransferRecord] = field(default_factory=list)
    shards: list[ShardRecord] = field(default_factory=list)
    batches: list[BatchRecord] = field(default_factory=list)
    waits: list[WaitRecord] = field(default_factory=list)
    usage: list[UsageChange] = field(default_factory=list)
    models: list[ModelRecord] = field(default_factory=list)
    targets: list[TargetCount] = field(default_factory=list)
    lending: list[LendingChange] = field(default_factory=list)

    def __bool__(self) -> bool:
        rows = (self.transfers, self.shards, self.batches, self.waits, self.usage, self.models)
        return any(rows) or bool(self.targets) or bool(self.lending)


@dataclass(frozen=True, slots=True)
class TransferPicture:
    """What a new leader takes up: everything that has not ended."""

    transfers: Sequence[TransferRecord]
    shards: Sequence[ShardRecord]
    batches: Sequence[BatchRecord]  # not SETTLED
    waits: Sequence[WaitRecord]  # still running
    usage: Sequence[Usage]
    models: Sequence[ModelRecord]
    targets: Sequence[TargetCount] = ()  # of the last hour
    unlendable: Sequence[str] = ()  # accounts that a person has stopped


@dataclass(frozen=True, slots=True)
class RefusedMessage:
    """A message that Telegram refused to move."""

    message_id: int
    reason: str
