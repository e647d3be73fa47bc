"""Session leases for workers: acquire, renew, release. Keeps nothing in memory that another registry would
need.

Acquiring looks at the accounts in SQL, then takes the keys in the lease store, then puts the store's revision
on disk, and only then answers.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from services.registry.domain import refusals
from services.registry.domain.account import Account, Startable
from services.registry.domain.leasing import (
    MAX_BATCH,
    Generation,
    Granted,
    HeldLease,
    LeaseGone,
    LeaseTerms,
    Outcome,
    Owner,
    Release,
    Token,
    Want,
    loss_of,
)
from services.registry.domain.refusals import Refusal
from services.registry.domain.values import WORKER_ID
from services.registry.handlers.candidates import AcquireItem, Candidate, Candidates, check_key_id
from services.registry.handlers.generations import Generations
from services.registry.ports import LeaseStore, Store
from services.runtime.clock import Clock
from services.runtime.errors import InvalidArgument
from services.runtime.metrics import counter

_MAX_ID = 128

_ACQUIRED = counter(
    "registry_sessions_acquired",
    "Sessions asked for, by result: GRANTED or the reason of a refusal.",
    ("result",),
)


class Grant(NamedTuple):
    """A session to use."""

    candidate: Candidate
    token: Token
    lease_id: int


@dataclass(frozen=True, slots=True)
class ReleaseItem:
    """A session given back."""

    account_id: str
    auth_key_id: str
    token: Token
    clean: bool


class Sessions:
    """The use cases on session leases."""

    def __init__(
        self,
        store: Store,
        leases: LeaseStore,
        candidates: Candidates,
        generations: Generations,
        *,
        clock: Clock,
        settle: timedelta,
    ) -> None:
        """`settle` is S; accounts may have a longer one of their own."""
        self._store = store
        self._leases = leases
        self._candidates = candidates
        self._generations = generations
        self._clock = clock
        self._settle = settle

    async def acquire(
        self,
        owner: Owner,
        request_id: str,
        items: Sequence[AcquireItem],
        held: Sequence[HeldLease],
        assigned: frozenset[str] | None = None,
    ) -> tuple[list[Grant | Refusal], tuple[LeaseTerms, ...]]:
        """A grant or a refusal for each item, in order, and the leases that the worker does not know yet.
        Only accounts in `assigned` are granted, any where that is None."""
        _check_owner(owner)
        if not request_id or len(request_id) > _MAX_ID:
            raise InvalidArgument("An acquisition needs a request id.", field="request_id")
        if not 1 <= len(items) <= MAX_BATCH:
            raise InvalidArgument(f"1 to {MAX_BATCH} sessions in one call.", field="items")
        generation = await self._generations.current()
        now = self._clock.wall()
        looked = await self._look(owner.worker_id, items, assigned, now)
        ready = [self._after_wait(found, generation, now) for found in looked]
        taken, new_leases = await self._take(owner, request_id, generation, ready, held)
        outcomes = iter(taken)
        results = [
            found if isinstance(found, Refusal) else self._result(found, next(outcomes, None), owner)
            for found in ready
        ]
        counted = Counter(result.reason if isinstance(result, Refusal) else "GRANTED" for result in results)
        for name, number in counted.items():
            _ACQUIRED.labels(name).inc(number)
        return results, new_leases

    async def renew(self, owner: Owner, lease_ids: Sequence[int]) -> list[bool]:
        """Whether each lease was extended."""
        _check_owner(owner)
        if len(lease_ids) > MAX_BATCH:
            raise InvalidArgument(f"At most {MAX_BATCH} leases in one call.", field="lease_ids")
        generation = await self._generations.for_renewal()
        answer = await self._leases.renew(owner, generation.number, lease_ids)
        if loss_of(generation, answer.view):  # or what was read last is not the latest any more
            generation = await self._generations.current()
            answer = await self._leases.renew(owner, generation.number, lease_ids)
        if not await self._generations.accept(generation, answer.view):
            return [False] * len(lease_ids)
        return list(answer.held)

    async def release(self, owner: Owner, items: Sequence[ReleaseItem]) -> list[bool]:
        """Whether each session was still this grant's."""
        _check_owner(owner)
        if len(items) > MAX_BATCH:
            raise InvalidArgument(f"At most {MAX_BATCH} sessions in one call.", field="releases")
        for index, item in enumerate(items):
            check_key_id(item.auth_key_id, f"releases[{index}].auth_key_id")
        generation = await self._generations.current()
        async with self._store.read() as tx:
            accounts = await tx.accounts({item.account_id for item in items})
        releases = [
            Release(i.auth_key_id, i.token, i.clean, self._settle_of(accounts.get(i.account_id)))
            for i in items
        ]
        answer = await self._leases.release(owner, generation.epoch, releases)
        await self._generations.accept_changes(generation, answer.view)
        return list(answer.released)

    async def _look(
        self, worker_id: str, items: Sequence[AcquireItem], assigned: frozenset[str] | None, now: datetime
    ) -> list[Candidate | Refusal]:
        """Accounts that are not the worker's to start are not even looked at: looking binds file keys."""
        mine = items if assigned is None else [item for item in items if item.account_id in assigned]
        found = iter(await self._candidates.look(worker_id, mine, now))
        return [
            next(found) if assigned is None or item.account_id in assigned else refusals.not_assigned()
            for item in items
        ]

    async def _take(
        self,
        owner: Owner,
        request_id: str,
        generation: Generation,
        ready: Sequence[Candidate | Refusal],
        held: Sequence[HeldLease],
    ) -> tuple[Sequence[Outcome], tuple[LeaseTerms, ...]]:
        """The store's outcomes and new leases; none when it turned out to be lost or restored."""
        wants = [
            Want(found.account.account_id, found.auth_key_id, self._settle_of(found.account))
            for found in ready
            if isinstance(found, Candidate)
        ]
        if not wants:
            return (), ()
        answer = await self._leases.acquire(owner, request_id, generation.epoch, wants, held)
        if not await self._generations.accept_changes(generation, answer.view):
            return (), ()
        return answer.outcomes, answer.new_leases

    def _after_wait(
        self, found: Candidate | Refusal, generation: Generation, now: datetime
    ) -> Candidate | Refusal:
        if isinstance(found, Refusal):
            return found
        wait = self._generations.remaining_wait(generation, self._settle_of(found.account))
        return refusals.new_generation(now + wait) if wait else found

    def _result(self, found: Candidate, outcome: Outcome | None, owner: Owner) -> Grant | Refusal:
        if isinstance(outcome, Granted):
            return Grant(found, outcome.token, outcome.lease_id)
        now = self._clock.wall()
        match outcome:
            case LeaseGone():
                return refusals.lease_gone(now)
            case None:
                wait = self._generations.expected_wait(self._settle_of(found.account))
                return refusals.new_generation(now + wait)
            case _:
                return refusals.taken(outcome, owner, now)

    def _settle_of(self, account: Account | Startable | None) -> timedelta:
        return max(self._settle, account.settle) if account and account.settle else self._settle


def _check_owner(owner: Owner) -> None:
    if not WORKER_ID.fullmatch(owner.worker_id):
        raise InvalidArgument(
            "A worker's name is 1 to 63 characters from lower-case letters, digits and -.", field="worker_id"
        )
    if not owner.incarnation or len(owner.incarnation) > _MAX_ID:
        raise InvalidArgument("An incarnation is a UUID.", field="incarnation")
