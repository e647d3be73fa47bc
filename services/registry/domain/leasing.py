"""Session leases: what is asked, what is held, and when a new generation is due. Pure.

A lease store (ports.LeaseStore) knows nothing of accounts' secrets or SQL, and this file nothing of etcd.
DESIGN.md section 3 is the specification.
"""

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

SESSIONS_PER_LEASE = 1000
"""etcd slows down with more keys on one lease (STYLE.md)."""

MAX_BATCH = 1000
"""Sessions in one call."""


@dataclass(frozen=True, slots=True, order=True)
class Token:
    """Proof of one acquisition; the greater one is the newer."""

    generation: int
    revision: int


@dataclass(frozen=True, slots=True)
class Owner:
    """A worker process."""

    worker_id: str
    incarnation: str


class Want(NamedTuple):
    """A session that a worker asks for."""

    account_id: str
    auth_key_id: str
    settle: timedelta


@dataclass(frozen=True, slots=True)
class HeldLease:
    """A lease that the worker says it has."""

    lease_id: int
    sessions: int
    settle: timedelta


@dataclass(frozen=True, slots=True)
class LeaseTerms:
    """A lease that a worker has to know: `ttl` is the holding time T, the store keeps it for T + `settle`."""

    lease_id: int
    ttl: timedelta
    settle: timedelta


class Granted(NamedTuple):
    """The session is the worker's."""

    token: Token
    lease_id: int


@dataclass(frozen=True, slots=True)
class Taken:
    """Somebody else has it. `settling` when the holder no longer uses it, or cannot; `remaining` until it is
    free if nothing renews it."""

    worker_id: str
    settling: bool
    remaining: timedelta


@dataclass(frozen=True, slots=True)
class LeaseGone:
    """The worker's own lease, on which the session would have gone, does not exist any more: the worker must
    fence it."""

    lease_id: int


Outcome = Granted | Taken | LeaseGone


@dataclass(frozen=True, slots=True)
class Epoch:
    """What a store must know to grant anything: the generation, and the last change that was answered in it.

    Every grant and every release moves a mark in the store to its own revision, and that revision is put into
    SQL before it is answered. A store whose mark lies below it has forgotten some, however far its revision
    has come since. (A forgotten release would come back as a session that its worker's lease keeps, and that
    the worker does not know of.)
    """

    generation: int
    high_water: int


@dataclass(frozen=True, slots=True)
class StoreView:
    """What the store said of itself with an answer: its identity, the generation mirrored in it (None when it
    holds none), the revision of its last grant or release (0 when it knows of none), and whether the wait
    after the opening of this generation still runs by the store's own clock."""

    cluster_id: int
    mirror: int | None
    mark: int
    waiting: bool = False


@dataclass(frozen=True, slots=True)
class AcquireAnswer:
    """One outcome for each want, in order; empty when the store was not of the expected epoch and nothing was
    done."""

    view: StoreView
    outcomes: tuple[Outcome, ...] = ()
    new_leases: tuple[LeaseTerms, ...] = ()


@dataclass(frozen=True, slots=True)
class RenewAnswer:
    """Whether each lease is still held, in order."""

    view: StoreView
    held: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class Release:
    """A session given back; `settle` counts when it is not clean."""

    auth_key_id: str
    token: Token
    clean: bool
    settle: timedelta


@dataclass(frozen=True, slots=True)
class ReleaseAnswer:
    """Whether each session was still the caller's by its token, in order."""

    view: StoreView
    released: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class Holder:
    """Who has a session now."""

    worker_id: str
    incarnation: str
    settling: bool


@dataclass(frozen=True, slots=True)
class Generation:
    """The row in SQL. `high_water` is the revision of the last change that was answered. `mirrored` tells
    whether the number stands in the store; cluster_id and high_water only mean something then. `waits` is
    False for the very first one, before which nobody can have held anything."""

    number: int
    opened_at: datetime
    cluster_id: int
    high_water: int
    mirrored: bool
    waits: bool

    @property
    def epoch(self) -> Epoch:
        """What the store must know."""
        return Epoch(self.number, self.high_water)


def loss_of(generation: Generation, view: StoreView) -> str:
    """Why the store is not the one that this generation was opened with, as a sentence; empty when it is."""
    if view.mirror is None:
        return "The lease store is empty"
    if view.mirror != generation.number:
        return f"The lease store is of generation {view.mirror} instead of {generation.number}"
    if view.cluster_id != generation.cluster_id:
        return "The lease store is another cluster"
    if view.mark < generation.high_water:
        return (
            f"The lease store has forgotten changes: its last is of {view.mark}, not {generation.high_water}"
        )
    return ""


def wait_after_loss(lease_ttl: timedelta, settle: timedelta) -> timedelta:
    """How long after a generation was opened nothing is granted: T + S, as whoever held a session before may
    use it until T and Telegram may not notice until S later."""
    return lease_ttl + settle


def store_ttl(lease_ttl: timedelta, settle: timedelta) -> int:
    """Whole seconds for which the store keeps a lease: T + S, rounded up."""
    return math.ceil((lease_ttl + settle).total_seconds())


def lease_slots(held: tuple[HeldLease, ...], settle: timedelta, count: int) -> tuple[list[int], int]:
    """Where `count` sessions of one settle time go: the ids of held leases with room, one for each session
    that fits, and how many sessions are left for new leases."""
    slots: list[int] = []
    for lease in held:
        if lease.settle == settle:
            room = max(0, SESSIONS_PER_LEASE - max(0, lease.sessions))
            slots.extend([lease.lease_id] * min(room, count - len(slots)))
    return slots, count - len(slots)
