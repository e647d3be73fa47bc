"""The scheduler's tables: who led last, and which workers there are. What runs where is not kept: workers
tell it."""

from sqlalchemy import MetaData
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
