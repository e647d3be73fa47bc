"""Session leases in memory: the twin of `etcd_leases` for tests. Passes the same contract suite.

Time comes from a clock that tests move. Loss and restore of the store can be played: `wipe`, `snapshot`,
`restore`, `available`.
"""

import copy
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

from services.registry.domain.leasing import (
    AcquireAnswer,
    Epoch,
    Granted,
    HeldLease,
    Holder,
    LeaseGone,
    LeaseTerms,
    Outcome,
    Owner,
    Release,
    ReleaseAnswer,
    RenewAnswer,
    StoreView,
    Taken,
    Token,
    Want,
    lease_slots,
    store_ttl,
)
from services.runtime.clock import Clock
from services.runtime.errors import Unavailable


@dataclass(frozen=True, slots=True)
class _Session:
    worker_id: str
    incarnation: str
    request_id: str
    token: Token
    settle: timedelta
    lease_id: int
    settling: bool = False


@dataclass(slots=True)
class _Lease:
    expires: float
    seconds: int
    owner: Owner | None = None
    generation: int = 0


@dataclass(slots=True)
class _State:
    revision: int = 1
    mirror: int | None = None
    mark: int = 0
    opening: int = 0
    leases: dict[int, _Lease] = field(default_factory=dict)
    sessions: dict[str, _Session] = field(default_factory=dict)


class InMemoryLeaseStore:
    """Implements ports.LeaseStore."""

    def __init__(self, clock: Clock, lease_ttl: timedelta) -> None:
        """`lease_ttl` is the holding time T."""
        self._clock = clock
        self._lease_ttl = lease_ttl
        self._ids = itertools.count(1)
        self._state = _State()
        self.cluster_id = 1
        self.available = True

    async def view(self) -> StoreView:
        """What the store is now."""
        self._tick()
        return self._view()

    async def set_mirror(self, number: int, seen: int | None, wait: timedelta) -> StoreView | None:
        """Writes the generation if the mirror is still `seen`; see ports.LeaseStore."""
        self._tick()
        if self._state.mirror != seen:
            return None
        self._state.mirror = number
        self._state.opening = self._new_lease(store_ttl(wait, timedelta(0)), None, 0) if wait else 0
        self._move_mark()
        return self._view()

    async def acquire(
        self,
        owner: Owner,
        request_id: str,
        epoch: Epoch,
        wants: Sequence[Want],
        held: Sequence[HeldLease],
    ) -> AcquireAnswer:
        """Gives each free session to the owner; see ports.LeaseStore."""
        self._tick()
        generation = epoch.generation
        view = self._view()
        if view.mirror != generation or view.mark < epoch.high_water or view.waiting:
            return AcquireAnswer(view)
        terms: dict[int, LeaseTerms] = {}
        slots = self._slots(owner, generation, wants, tuple(held), terms)
        self._move_mark()
        token = Token(generation, self._state.revision)
        outcomes = [
            self._attempt(owner, request_id, want, lease_id, token)
            for want, lease_id in zip(wants, slots, strict=True)
        ]
        known = {lease.lease_id for lease in held}
        for outcome in outcomes:
            if isinstance(outcome, Granted) and outcome.lease_id not in known:
                self._extend(outcome.lease_id)
        used = self._used_terms(outcomes, wants, terms, known)
        for lease_id in terms.keys() - {t.lease_id for t in used}:
            del self._state.leases[lease_id]
        return AcquireAnswer(self._view(), tuple(outcomes), used)

    async def renew(self, owner: Owner, generation: int, lease_ids: Sequence[int]) -> RenewAnswer:
        """Extends the leases that exist, are this owner's and of this generation."""
        self._tick()
        held = []
        for lease_id in lease_ids:
            mine = self._is_mine(lease_id, owner, generation)
            if mine:
                self._extend(lease_id)
            held.append(mine)
        return RenewAnswer(self._view(), tuple(held))

    async def release(self, owner: Owner, epoch: Epoch, releases: Sequence[Release]) -> ReleaseAnswer:
        """Frees (clean) or lets settle each session that this owner holds by this token."""
        self._tick()
        before = self._state.revision
        released = tuple(self._release(owner, release) for release in releases)
        view = self._view()
        forgot = view.mirror != epoch.generation or view.mark < epoch.high_water
        if self._state.revision != before and not forgot:
            self._move_mark()
        return ReleaseAnswer(self._view(), released)

    async def holders(self, auth_key_ids: Sequence[str]) -> dict[str, Holder]:
        """Who has these sessions; free ones are left out."""
        self._tick()
        found = {i: self._state.sessions[i] for i in auth_key_ids if i in self._state.sessions}
        return {i: Holder(s.worker_id, s.incarnation, s.settling) for i, s in found.items()}

    def wipe(self) -> None:
        """Everything is lost, as when etcd comes back with an empty folder."""
        self._state = _State()

    def snapshot(self) -> object:
        """A copy of everything, for `restore`."""
        return copy.deepcopy(self._state)

    def restore(self, snapshot: object) -> None:
        """Goes back to a copy. Leases begin anew, as in etcd."""
        assert isinstance(snapshot, _State)  # noqa: S101 - only what `snapshot` made
        self._state = copy.deepcopy(snapshot)
        for lease_id in self._state.leases:
            self._extend(lease_id)

    def _tick(self) -> None:
        if not self.available:
            raise Unavailable("The lease store does not answer.", reason="ETCD_UNAVAILABLE")
        now = self._clock.monotonic()
        gone = {i for i, lease in self._state.leases.items() if lease.expires <= now}
        for lease_id in gone:
            del self._state.leases[lease_id]
        if gone:
            kept = {k: s for k, s in self._state.sessions.items() if s.lease_id not in gone}
            self._state.sessions = kept
            self._state.revision += 1

    def _view(self) -> StoreView:
        waiting = self._state.opening in self._state.leases
        return StoreView(self.cluster_id, self._state.mirror, self._state.mark, waiting)

    def _move_mark(self) -> None:
        self._state.revision += 1
        self._state.mark = self._state.revision

    def _new_lease(self, seconds: int, owner: Owner | None, generation: int) -> int:
        lease_id = next(self._ids)
        self._state.leases[lease_id] = _Lease(0, seconds, owner, generation)
        self._extend(lease_id)
        return lease_id

    def _extend(self, lease_id: int) -> None:
        lease = self._state.leases[lease_id]
        lease.expires = self._clock.monotonic() + lease.seconds

    def _is_mine(self, lease_id: int, owner: Owner, generation: int) -> bool:
        lease = self._state.leases.get(lease_id)
        return lease is not None and (lease.owner, lease.generation) == (owner, generation)

    def _slots(
        self,
        owner: Owner,
        generation: int,
        wants: Sequence[Want],
        held: tuple[HeldLease, ...],
        terms: dict[int, LeaseTerms],
    ) -> list[int | LeaseGone]:
        slots: dict[int, int | LeaseGone] = {}
        for settle in {want.settle for want in wants}:
            indexes = [index for index, want in enumerate(wants) if want.settle == settle]
            ids, missing = lease_slots(held, settle, len(indexes))
            if missing:
                lease_id = self._new_lease(store_ttl(self._lease_ttl, settle), owner, generation)
                terms[lease_id] = LeaseTerms(lease_id, self._lease_ttl, settle)
                ids += [lease_id] * missing
            for index, lease_id in zip(indexes, ids, strict=True):
                mine = self._is_mine(lease_id, owner, generation)
                slots[index] = lease_id if mine else LeaseGone(lease_id)
        return [slots[index] for index in range(len(wants))]

    def _attempt(
        self, owner: Owner, request_id: str, want: Want, slot: int | LeaseGone, token: Token
    ) -> Outcome:
        if isinstance(slot, LeaseGone):
            return slot
        found = self._state.sessions.get(want.auth_key_id)
        if found is None:
            session = _Session(owner.worker_id, owner.incarnation, request_id, token, want.settle, slot)
            self._state.sessions[want.auth_key_id] = session
            return Granted(token, slot)
        asked = (owner.incarnation, request_id, token.generation)
        if (found.incarnation, found.request_id, found.token.generation) == asked and not found.settling:
            return Granted(found.token, found.lease_id)
        left = self._state.leases[found.lease_id].expires - self._clock.monotonic()
        remaining = timedelta(seconds=left)
        return Taken(found.worker_id, found.settling or remaining <= found.settle, remaining)

    def _used_terms(
        self,
        outcomes: Sequence[Outcome],
        wants: Sequence[Want],
        terms: dict[int, LeaseTerms],
        known: set[int],
    ) -> tuple[LeaseTerms, ...]:
        """The leases of grants that the worker did not name."""
        used: dict[int, LeaseTerms] = {}
        for outcome, want in zip(outcomes, wants, strict=True):
            if isinstance(outcome, Granted) and outcome.lease_id not in known:
                own = LeaseTerms(outcome.lease_id, self._lease_ttl, want.settle)
                used[outcome.lease_id] = terms.get(outcome.lease_id, own)
        return tuple(used.values())

    def _release(self, owner: Owner, release: Release) -> bool:
        found = self._state.sessions.get(release.auth_key_id)
        if found is None or (found.incarnation, found.token) != (owner.incarnation, release.token):
            return False
        if found.settling:
            return not release.clean
        self._state.revision += 1
        if release.clean:
            del self._state.sessions[release.auth_key_id]
            return True
        lease_id = self._new_lease(store_ttl(timedelta(0), release.settle), None, 0)
        settling = replace(found, lease_id=lease_id, settling=True)
        self._state.sessions[release.auth_key_id] = settling
        return True
