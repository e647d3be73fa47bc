"""One call of acquire on etcd: which leases its sessions go on, and what became of each. Used by
`etcd_leases` only."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Sequence
from datetime import timedelta
from typing import Any

from services.registry.adapters import etcd_layout as layout
from services.registry.adapters.etcd_client import EtcdClient, LeaseNotFoundError
from services.registry.adapters.etcd_grants import OPS, Attempt, Batch, GrantGroups
from services.registry.domain.leasing import (
    AcquireAnswer,
    Epoch,
    Granted,
    HeldLease,
    LeaseGone,
    LeaseTerms,
    Outcome,
    Owner,
    StoreView,
    Taken,
    Token,
    Want,
    lease_slots,
    store_ttl,
)

_NOTHING_SEEN = StoreView(0, None, 0)
_LAST_SECOND = timedelta(milliseconds=200)


class Acquisition:
    """Make one for each call."""

    def __init__(
        self,
        client: EtcdClient,
        groups: GrantGroups,
        lease_ttl: timedelta,
        *,
        owner: Owner,
        request_id: str,
        epoch: Epoch,
    ) -> None:
        self._client = client
        self._groups = groups
        self._lease_ttl = lease_ttl
        self._owner = owner
        self._request_id = request_id
        self._epoch = epoch
        self._lease_value = layout.lease_value(owner, epoch.generation)
        self._values = layout.NewSessions(owner, request_id, epoch.generation)
        self._made: dict[int, timedelta] = {}
        self._earlier: dict[int, timedelta] = {}
        self._recorded: set[int] = set()
        self._used: set[int] = set()
        self._left: dict[int, int] = {}

    async def run(self, wants: Sequence[Want], held: tuple[HeldLease, ...]) -> AcquireAnswer:
        """Raises OtherEpochError and Unavailable."""
        slots = await self._slots(wants, held)
        chunks = [
            list(zip(wants[start : start + OPS], slots[start : start + OPS], strict=True))
            for start in range(0, len(wants), OPS)
        ]
        answers = await self._all([self._chunk(chunk, self._records_for(chunk)) for chunk in chunks])
        view = max((view for view, _ in answers), key=lambda view: view.mark, default=_NOTHING_SEEN)
        outcomes = [outcome for _, found in answers for outcome in found]
        for lease in held:
            self._earlier.pop(lease.lease_id, None)
        outcomes = await self._refresh(outcomes)
        used = {i: s for i, s in self._made.items() if i in self._used} | self._earlier
        terms = tuple(LeaseTerms(i, self._lease_ttl, settle) for i, settle in used.items())
        return AcquireAnswer(view, tuple(outcomes), terms)

    async def drop_unused(self) -> None:
        """Ends the leases on which nothing came to lie. They would end by themselves; a failure does not
        matter."""
        unused = [i for i in self._made if i not in self._used]
        if unused:
            await asyncio.gather(*(self._client.revoke(i) for i in unused), return_exceptions=True)

    async def _slots(self, wants: Sequence[Want], held: tuple[HeldLease, ...]) -> list[int]:
        """A lease for each want, in order: held ones first, then new ones."""
        by_settle: dict[timedelta, list[int]] = defaultdict(list)
        for index, want in enumerate(wants):
            by_settle[want.settle].append(index)
        slots = [0] * len(wants)
        for settle, indexes in by_settle.items():
            found, missing = lease_slots(held, settle, len(indexes))
            if missing:
                lease_id = await self._client.grant(store_ttl(self._lease_ttl, settle))
                self._made[lease_id] = settle
                found += [lease_id] * missing
            for index, lease_id in zip(indexes, found, strict=True):
                slots[index] = lease_id
        return slots

    async def _all(
        self, chunks: Sequence[Awaitable[tuple[StoreView, list[Outcome]]]]
    ) -> list[tuple[StoreView, list[Outcome]]]:
        """All at once, so that one is made while etcd works on another. Nothing is left under way when one
        fails."""
        answers = await asyncio.gather(*chunks, return_exceptions=True)
        failures = [answer for answer in answers if isinstance(answer, BaseException)]
        if failures:
            raise failures[0]
        return [answer for answer in answers if not isinstance(answer, BaseException)]

    def _records_for(self, chunk: list[tuple[Want, int]]) -> list[tuple[int, bytes]]:
        """The records of the leases made in this call that no earlier chunk brings."""
        fresh = {i for _, i in chunk if i in self._made} - self._recorded
        self._recorded |= fresh
        return [(lease_id, self._lease_value) for lease_id in sorted(fresh)]

    async def _chunk(
        self, chunk: list[tuple[Want, int]], records: list[tuple[int, bytes]]
    ) -> tuple[StoreView, list[Outcome]]:
        """One transaction, perhaps shared with other calls."""
        attempts = [self._attempt(want, lease_id) for want, lease_id in chunk]
        try:
            view, tried = await self._groups.submit(Batch(self._epoch, attempts, records))
        except LeaseNotFoundError:
            # A lease made just now is gone already: the store was lost, or took very long.
            return _NOTHING_SEEN, [LeaseGone(lease_id) for _, lease_id in chunk]
        token = Token(self._epoch.generation, view.mark)
        outcomes: list[Outcome] = []
        for one, (_, lease_id) in zip(tried, chunk, strict=True):
            if one.granted:
                self._used.add(lease_id)
                outcomes.append(Granted(token, lease_id))
            elif one.found is None:
                outcomes.append(LeaseGone(lease_id))
            else:
                outcomes.append(await self._existing(one.found))
        return view, outcomes

    def _attempt(self, want: Want, lease_id: int) -> Attempt:
        """A lease that this call made is its worker's; that it still exists, the put itself demands."""
        owned = None if lease_id in self._made else self._lease_value
        value = self._values.of(want.account_id, want.settle)
        return Attempt(layout.session_key(want.auth_key_id), value, lease_id, owned)

    async def _existing(self, kv: Any) -> Outcome:
        """What an existing key means: our own earlier attempt, or somebody else's session."""
        value = layout.decode_session(kv.value)
        generation = self._epoch.generation
        asked = (self._owner.incarnation, self._request_id, generation)
        if (value.incarnation, value.request_id, value.generation) == asked and not value.settling:
            self._used.add(kv.lease)
            if kv.lease not in self._made:
                self._earlier[kv.lease] = value.settle
            return Granted(Token(generation, kv.create_revision), kv.lease)
        if kv.lease not in self._left:
            self._left[kv.lease] = await self._client.time_to_live(kv.lease)
        seconds = self._left[
            kv.lease
        ]  # whole ones, rounded down: the holder's time T is over when they are < S
        settling = value.settling or timedelta(seconds=seconds) < value.settle
        return Taken(value.worker_id, settling, _worth_a_try(seconds))

    async def _refresh(self, outcomes: list[Outcome]) -> list[Outcome]:
        """Gives leases that an earlier attempt made their full time again: the worker may count from this
        one."""
        if not self._earlier:
            return outcomes
        left = await self._client.keep_alive(sorted(self._earlier))
        gone = {lease_id for lease_id in self._earlier if left.get(lease_id, 0) <= 0}
        return [
            LeaseGone(o.lease_id) if isinstance(o, Granted) and o.lease_id in gone else o for o in outcomes
        ]


def _worth_a_try(seconds: int) -> timedelta:
    """The earliest moment at which a lease with so many whole seconds left can be gone; in its last second
    several moments, so that nobody sleeps through the end of a settle time."""
    return timedelta(seconds=seconds) if seconds > 0 else _LAST_SECOND
