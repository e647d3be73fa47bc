"""The scheduler's tables: who led last, which workers there are, and the transfers. What runs where is not
kept: workers tell it. Times of day are seconds since 1970."""

from sqlalchemy import BigInteger, Index, LargeBinary, MetaData
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel

METADATA = MetaData()


class SchedulerModel(SQLModel, registry=registry(metadata=METADATA)):
    """Base of the scheduler's tables; keeps them apart from those of other services in one process."""


class LeadershipRow(SchedulerModel, table=True):
    """One row: the newest term. Every commit compares it."""

    __tablename__ = "leadership"

    id: int = Field(primary_key=True)
    """Always 1."""
    term: int
    """Rises with each change of leader."""
    holder: str
    """The process that began the term, for people."""
    began: float
    """When, in seconds since 1970."""
    commits: int = 0
    """The number of the term's latest commit of transfers: one that is repeated is known by it."""


class KnownWorkerRow(SchedulerModel, table=True):
    """A worker that is or was connected."""

    __tablename__ = "known_workers"

    worker_id: str = Field(primary_key=True)
    """Its stable name."""
    incarnation: str
    """The process that bore the name last."""
    capacity: int
    """How many sessions it can run."""
    last_seen: float
    """When it was last heard of, in seconds since 1970; not written with every heartbeat."""
    lost: bool
    """Whether it had been given up, so that a new leader does not wait for it."""


class TransferRow(SchedulerModel, table=True):
    """A transfer, also one that has ended. Its progress is in the shards."""

    __tablename__ = "transfers"
    __table_args__ = (Index("ix_transfers_created", "created", "transfer_id"),)

    transfer_id: str = Field(primary_key=True)
    """As the contract has it."""
    request_id: str | None = Field(unique=True)
    """What the request was called; absent for one without a name."""
    spec: str
    """What was asked for, JSON."""
    source: str
    """The chat that is read, JSON."""
    target: str
    """The chat that is written to, JSON."""
    target_key: int = Field(sa_type=BigInteger)
    """What random_ids are derived from; a migration of the chat does not change it."""
    state: int
    """Value of TransferState."""
    wish: int
    """Value of Wish."""
    created: float
    """When it was created."""
    reason: str
    """Why it stands where it stands."""
    detail: str
    """The same as a sentence."""
    action: str
    """What the operator can do."""
    wake: float
    """When it wakes by itself; 0 for unknown."""
    ended: float = Field(index=True)
    """When it ended; 0 while it has not."""
    candidates: str
    """What the check of each account found, JSON."""


class ShardRow(SchedulerModel, table=True):
    """A part of a transfer, with its checkpoint."""

    __tablename__ = "transfer_shards"

    transfer_id: str = Field(primary_key=True)
    """Its transfer."""
    shard: int = Field(primary_key=True)
    """Counts from 1."""
    first_id: int
    """The first id of the source."""
    last_id: int
    """The last; 0 while it has no end."""
    checkpoint: int
    """Everything up to this id is sent or skipped."""
    next_batch: int
    """The number of the next batch: every lower one that has no row is settled."""
    done: int = Field(sa_type=BigInteger)
    """Messages sent."""
    skipped: str
    """Ids passed over by reason, JSON."""
    account_id: str
    """Who works on it."""
    finished: bool
    """Whether nothing is left to do."""


class BatchRow(SchedulerModel, table=True):
    """A batch that is not settled. See TransferStore on why settled ones have no row."""

    __tablename__ = "transfer_batches"

    transfer_id: str = Field(primary_key=True)
    """Its transfer."""
    shard: int = Field(primary_key=True)
    """Its shard."""
    batch: int = Field(primary_key=True, sa_type=BigInteger)
    """Its number in the shard."""
    state: int
    """Value of BatchState."""
    account_id: str
    """Who sends it."""
    message_ids: bytes = Field(sa_type=LargeBinary)
    """Ids of the source, 32 bits each, little-endian."""
    random_ids: bytes = Field(sa_type=LargeBinary)
    """64 bits for each of them."""
    target_ids: bytes = Field(sa_type=LargeBinary)
    """32 bits for each of them, as far as they are known; empty before."""
    target_top_id: int
    """The target's newest message before it was sent."""
    through_id: int
    """The checkpoint once it is settled."""
    skipped: str
    """Ids passed over on the way there by reason, JSON."""
    order_id: str
    """Its latest transmission."""
    attempt: int
    """The number of that."""
    first_sent: float
    """When it may have been transmitted first."""
    refused: str
    """Telegram's error by message id, JSON."""
    detail: str
    """What is known of an undecided one, as a sentence."""


class RefusedRow(SchedulerModel, table=True):
    """A message that Telegram refused to move."""

    __tablename__ = "transfer_refused"

    transfer_id: str = Field(primary_key=True)
    """Its transfer."""
    message_id: int = Field(primary_key=True)
    """Its id in the source."""
    reason: str
    """Telegram's error."""


class WaitRow(SchedulerModel, table=True):
    """A wait that Telegram imposed on an account in a transfer."""

    __tablename__ = "transfer_waits"

    account_id: str = Field(primary_key=True)
    """Who waits."""
    method: str = Field(primary_key=True)
    """The API method."""
    chat_id: int = Field(primary_key=True, sa_type=BigInteger)
    """The chat; 0 for all."""
    until: float
    """When it ends."""
    seconds: float
    """How long it was when it was told."""


class UsageRow(SchedulerModel, table=True):
    """What an account has sent through transfers."""

    __tablename__ = "transfer_usage"

    account_id: str = Field(primary_key=True)
    """Who."""
    day: str
    """Its latest day, ISO date in its time zone."""
    reserved: int = Field(sa_type=BigInteger)
    """Messages of that day about to be sent."""
    sent: int = Field(sa_type=BigInteger)
    """Messages sent on that day."""
    total: int = Field(sa_type=BigInteger)
    """Messages sent ever."""


class LearnedRow(SchedulerModel, table=True):
    """What was learned of an account and method."""

    __tablename__ = "transfer_models"

    account_id: str = Field(primary_key=True)
    """Whose behaviour."""
    method: str = Field(primary_key=True)
    """The API method."""
    state: str
    """The model's own, JSON."""


class TargetRow(SchedulerModel, table=True):
    """Messages that went to a target in one minute of the last hour."""

    __tablename__ = "transfer_targets"

    target_key: int = Field(primary_key=True, sa_type=BigInteger)
    """The target, by what random_ids are derived from."""
    minute: float = Field(primary_key=True)
    """When the minute began."""
    count: int = Field(sa_type=BigInteger)
    """Messages."""


class UnlendableRow(SchedulerModel, table=True):
    """An account that a person has stopped: no transfer starts it by itself."""

    __tablename__ = "transfer_unlendable"

    account_id: str = Field(primary_key=True)
    """Which."""
