"""Session leases in etcd: the real ports.LeaseStore. Knows nothing of SQL; the rules are DESIGN.md section 3.

Each grant is one nested transaction `if the key is absent then put else read`, up to 120 of them in one call,
under the condition that the generation's mirror is the expected one and every lease used is still its
worker's. The token is the revision of that transaction, which stays the key's create_revision when the key is
moved to another lease.
"""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from services.registry.adapters import etcd_layout as layout
from services.registry.adapters.etcd_client import EtcdClient, LeaseNotFoundError, rpc_pb2
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
    RenewAnswer,
    StoreView,
    Taken,
    Token,
    Want,
    lease_slots,
    store_ttl,
)

OPS = 110
"""Sessions in one transaction. etcd allows 128 operations and 128 comparisons in one; the leases' take
some."""

_HALF_SECOND = timedelta(milliseconds=500)
_NOTHING_SEEN = StoreView(0, None, 0)


class _OtherEpochError(Exception):
    def __init__(self, view: StoreView) -> None:
        super().__init__()
        self.view = view


class EtcdLeaseStore:
    """Implements ports.LeaseStore."""

    def __init__(self, client: EtcdClient, lease_ttl: timedelta) -> None:
        """`lease_ttl` is the holding time T."""
        self._client = client
        self._lease_ttl = lease_ttl

    async def view(self) -> StoreView:
        """What the store is now."""
        return _view(await self._client.get(layout.MIRROR, layout.MARK))

    async def set_mirror(self, number: int, seen: int | None) -> StoreView | None:
        """Writes the generation if the mirror is still `seen`; None when it is not."""
        mirror = layout.MIRROR
        still = (
            layout.is_absent(mirror) if seen is None else layout.is_value(mirror, layout.mirror_value(seen))
        )
        writes = [layout.put(mirror, layout.mirror_value(number)), layout.put(layout.MARK, b"")]
        answer = await self._client.txn(rpc_pb2.TxnRequest(compare=[still], success=writes))
        header = answer.header
        return StoreView(header.cluster_id, number, header.revision) if answer.succeeded else None

    async def acquire(
        self,
        owner: Owner,
        request_id: str,
        epoch: Epoch,
        wants: Sequence[Want],
        held: Sequence[HeldLease],
    ) -> AcquireAnswer:
        """Gives each free session to the owner; see ports.LeaseStore."""
        batch = _Acquisition(self._client, self._lease_ttl, owner, request_id, epoch)
        try:
            answer = await batch.run(wants, tuple(held))
        except _OtherEpochError as changed:
            answer = AcquireAnswer(changed.view)
        await batch.drop_unused()  # not after a failure: a repeat may already stand on what this call made
        return answer

    async def renew(self, owner: Owner, generation: int, lease_ids: Sequence[int]) -> RenewAnswer:
        """Extends the leases that exist, are this owner's and of this generation."""
        mine = layout.lease_value(owner, generation)
        owned: list[int] = []
        view = _NOTHING_SEEN
        for start in range(0, max(len(lease_ids), 1), OPS):
            chunk = lease_ids[start : start + OPS]
            leases = (layout.lease_key(i) for i in chunk)
            answer = await self._client.get(layout.MIRROR, layout.MARK, *leases)
            view = _view(answer)
            values = [r.response_range.kvs for r in answer.responses[2:]]
            owned += [i for i, kvs in zip(chunk, values, strict=True) if kvs and kvs[0].value == mine]
        left = await self._client.keep_alive(owned)
        return RenewAnswer(view, tuple(left.get(lease_id, 0) > 0 for lease_id in lease_ids))

    async def release(self, owner: Owner, releases: Sequence[Release]) -> list[bool]:
        """Frees (clean) or lets settle each session that this owner holds by this token."""
        done: list[bool] = []
        for start in range(0, len(releases), OPS):
            done += await self._release(owner, releases[start : start + OPS])
        return done

    async def holders(self, auth_key_ids: Sequence[str]) -> dict[str, Holder]:
        """Who has these sessions; free ones are left out."""
        found: dict[str, Holder] = {}
        for start in range(0, len(auth_key_ids), OPS):
            chunk = auth_key_ids[start : start + OPS]
            answer = await self._client.get(*(layout.session_key(i) for i in chunk))
            for auth_key_id, response in zip(chunk, answer.responses, strict=True):
                for kv in response.response_range.kvs:
                    value = layout.decode_session(kv.value)
                    found[auth_key_id] = Holder(value.worker_id, value.incarnation, value.settling)
        return found

    async def _release(self, owner: Owner, releases: Sequence[Release]) -> list[bool]:
        answer = await self._client.get(*(layout.session_key(r.auth_key_id) for r in releases))
        found = [response.response_range.kvs for response in answer.responses]
        done = [False] * len(releases)
        moves: dict[int, Any] = {}
        settle_leases = await self._settle_leases(
            {r.settle for r, kvs in zip(releases, found, strict=True) if kvs and not r.clean}
        )
        for index, (release, kvs) in enumerate(zip(releases, found, strict=True)):
            value = _held(kvs, owner, release.token)
            if value is None:
                continue
            if value.settling:
                done[index] = not release.clean  # a repeat; what settles stays until it is over
                continue
            moves[index] = _move(release, kvs[0], value, settle_leases)
        if moves:
            answer = await self._client.txn(rpc_pb2.TxnRequest(success=list(moves.values())))
            for index, response in zip(moves, answer.responses, strict=True):
                done[index] = response.response_txn.succeeded
        return done

    async def _settle_leases(self, settles: set[timedelta]) -> dict[timedelta, int]:
        """A lease for each settle time, on which sessions end by themselves even while their worker's lease
        goes on."""
        return {settle: await self._client.grant(store_ttl(timedelta(0), settle)) for settle in settles}


class _Acquisition:
    """One call of acquire: its leases, and what became of each session."""

    def __init__(
        self, client: EtcdClient, lease_ttl: timedelta, owner: Owner, request_id: str, epoch: Epoch
    ) -> None:
        self._client = client
        self._lease_ttl = lease_ttl
        self._owner = owner
        self._request_id = request_id
        self._epoch = epoch
        self._generation = epoch.generation
        self._lease_value = layout.lease_value(owner, epoch.generation)
        self._new: dict[int, timedelta] = {}
        self._announced: set[int] = set()
        self._recorded: set[int] = set()
        self._used: set[int] = set()
        self._gone: set[int] = set()
        self._left: dict[int, int] = {}
        self.view = _NOTHING_SEEN

    async def run(self, wants: Sequence[Want], held: tuple[HeldLease, ...]) -> AcquireAnswer:
        slots = await self._slots(wants, held)
        outcomes: list[Outcome] = []
        for start in range(0, len(wants), OPS):
            chunk = list(zip(wants[start : start + OPS], slots[start : start + OPS], strict=True))
            outcomes += await self._chunk(chunk)
        for lease in held:
            self._new.pop(lease.lease_id, None)
        outcomes = await self._refresh(outcomes)
        terms = [LeaseTerms(i, self._lease_ttl, s) for i, s in self._new.items() if i in self._used]
        return AcquireAnswer(self.view, tuple(outcomes), tuple(terms))

    async def drop_unused(self) -> None:
        """Ends the leases on which nothing came to lie. They would end by themselves; a failure does not
        matter."""
        unused = [i for i in self._announced if i not in self._used]
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
                self._new[lease_id] = settle
                self._announced.add(lease_id)
                found += [lease_id] * missing
            for index, lease_id in zip(indexes, found, strict=True):
                slots[index] = lease_id
        return slots

    async def _chunk(self, chunk: list[tuple[Want, int]]) -> list[Outcome]:
        """One transaction. When a lease of the worker turns out to be gone, its sessions are left out and the
        rest goes again."""
        while True:
            going = [(want, lease_id) for want, lease_id in chunk if lease_id not in self._gone]
            answer = await self._transact(going)
            if answer is not None:
                break
        found = iter(await self._outcomes(going, answer) if going else [])
        return [LeaseGone(lease_id) if lease_id in self._gone else next(found) for _, lease_id in chunk]

    async def _transact(self, going: list[tuple[Want, int]]) -> Any:
        """The transaction's answer, or None when some leases were found to be gone and it has to go again."""
        leases = sorted({lease_id for _, lease_id in going})
        old = [i for i in leases if i not in self._new or i in self._recorded]
        known = [
            layout.is_value(layout.MIRROR, layout.mirror_value(self._generation)),
            layout.is_not_older(layout.MARK, self._epoch.high_water),
        ]
        mine = [layout.is_value(layout.lease_key(i), self._lease_value) for i in old]
        records = [layout.put(layout.lease_key(i), self._lease_value, i) for i in leases if i not in old]
        attempts = [self._attempt(want, lease_id) for want, lease_id in going]
        request = rpc_pb2.TxnRequest(
            compare=[*known, *mine],
            success=[*attempts, *records, layout.put(layout.MARK, b"")],
            failure=[layout.read(key) for key in (layout.MIRROR, layout.MARK, *map(layout.lease_key, old))],
        )
        try:
            answer = await self._client.txn(request)
        except LeaseNotFoundError:
            self._gone |= await self._missing(leases)
            return None
        if answer.succeeded:
            revision = answer.header.revision
            self.view = StoreView(answer.header.cluster_id, self._generation, revision)
            self._recorded.update(leases)
            return answer
        self._gone |= self._found_gone(answer, old)
        return None

    def _found_gone(self, answer: Any, old: list[int]) -> set[int]:
        """Which leases made the transaction fail. Raises _OtherEpochError when it was not the leases."""
        view = _view(answer)
        if view.mirror != self._generation or view.mark < self._epoch.high_water:
            raise _OtherEpochError(view)
        found = [response.response_range.kvs for response in answer.responses[2:]]
        return {i for i, kvs in zip(old, found, strict=True) if not kvs or kvs[0].value != self._lease_value}

    def _attempt(self, want: Want, lease_id: int) -> Any:
        key = layout.session_key(want.auth_key_id)
        value = layout.new_session(want, self._owner, self._request_id, self._generation)
        return layout.nested(
            layout.is_absent(key), [layout.put(key, value.encode(), lease_id)], [layout.read(key)]
        )

    async def _missing(self, leases: list[int]) -> set[int]:
        return {i for i in leases if await self._client.time_to_live(i) <= 0}

    async def _outcomes(self, going: list[tuple[Want, int]], answer: Any) -> list[Outcome]:
        outcomes: list[Outcome] = []
        token = Token(self._generation, answer.header.revision)
        for (_, lease_id), response in zip(going, answer.responses, strict=False):
            inner = response.response_txn
            if inner.succeeded:
                outcomes.append(Granted(token, lease_id))
                self._used.add(lease_id)
            else:
                outcomes.append(await self._existing(inner.responses[0].response_range.kvs[0]))
        return outcomes

    async def _existing(self, kv: Any) -> Outcome:
        """What an existing key means: our own earlier attempt, or somebody else's session."""
        value = layout.decode_session(kv.value)
        mine = (value.incarnation, value.request_id, value.generation) == (
            self._owner.incarnation,
            self._request_id,
            self._generation,
        )
        if mine and not value.settling:
            self._new.setdefault(kv.lease, value.settle)
            self._used.add(kv.lease)
            return Granted(Token(self._generation, kv.create_revision), kv.lease)
        if kv.lease not in self._left:
            self._left[kv.lease] = await self._client.time_to_live(kv.lease)
        remaining = _remaining(self._left[kv.lease])
        return Taken(value.worker_id, value.settling or remaining <= value.settle, remaining)

    async def _refresh(self, outcomes: list[Outcome]) -> list[Outcome]:
        """Gives leases that an earlier attempt made their full time again: the worker may count from this
        one."""
        older = sorted(self._new.keys() - self._announced)
        left = await self._client.keep_alive(older)
        gone = {lease_id for lease_id in older if left.get(lease_id, 0) <= 0}
        return [
            LeaseGone(o.lease_id) if isinstance(o, Granted) and o.lease_id in gone else o for o in outcomes
        ]


def _view(answer: Any) -> StoreView:
    """From an answer that begins with the mirror and the mark."""
    mirror, mark = (answer.responses[i].response_range.kvs for i in (0, 1))
    number = int(mirror[0].value) if mirror and mirror[0].value.isdigit() else None
    return StoreView(answer.header.cluster_id, number, mark[0].mod_revision if mark else 0)


def _remaining(seconds: int) -> timedelta:
    """etcd tells whole seconds, rounded down, and looks for ended leases every half second."""
    return _HALF_SECOND + timedelta(seconds=max(seconds, 0))


def _held(kvs: Any, owner: Owner, token: Token) -> layout.SessionValue | None:
    """The key's value if this owner holds it by this token."""
    if not kvs:
        return None
    value = layout.decode_session(kvs[0].value)
    found = Token(value.generation, kvs[0].create_revision)
    return value if (value.incarnation, found) == (owner.incarnation, token) else None


def _move(release: Release, kv: Any, value: layout.SessionValue, settle_leases: dict[timedelta, int]) -> Any:
    """Removes the key, or moves it to a lease of the settle time; only if nobody wrote it since."""
    key = layout.session_key(release.auth_key_id)
    same = layout.is_unchanged(key, kv.mod_revision)
    if release.clean:
        return layout.nested(same, [layout.remove(key)], [])
    settling = layout.SessionValue(
        value.account_id,
        value.worker_id,
        value.incarnation,
        value.request_id,
        value.generation,
        value.settle_ms,
        settling=True,
    )
    return layout.nested(same, [layout.put(key, settling.encode(), settle_leases[release.settle])], [])
