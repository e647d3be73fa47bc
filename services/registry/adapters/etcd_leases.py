"""Session leases in etcd: the real ports.LeaseStore. Knows nothing of SQL; the rules are DESIGN.md section 3.

The token of a grant is the revision of the transaction that made its key, which stays the key's
create_revision when the key is moved to another lease. How grants are made is in `etcd_acquire` and
`etcd_grants`.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from services.registry.adapters import etcd_layout as layout
from services.registry.adapters.etcd_acquire import Acquisition
from services.registry.adapters.etcd_client import EtcdClient, rpc_pb2
from services.registry.adapters.etcd_grants import OPS, VIEW_KEYS, GrantGroups, OtherEpochError, view_of
from services.registry.domain.leasing import (
    AcquireAnswer,
    Epoch,
    HeldLease,
    Holder,
    Owner,
    Release,
    ReleaseAnswer,
    RenewAnswer,
    StoreView,
    Token,
    Want,
    store_ttl,
)

_NOTHING_SEEN = StoreView(0, None, 0)


class EtcdLeaseStore:
    """Implements ports.LeaseStore."""

    def __init__(self, client: EtcdClient, lease_ttl: timedelta) -> None:
        """`lease_ttl` is the holding time T."""
        self._client = client
        self._lease_ttl = lease_ttl
        self._groups = GrantGroups(client)

    async def close(self) -> None:
        """Ends acquisitions that are under way."""
        await self._groups.close()

    async def view(self) -> StoreView:
        """What the store is now."""
        return view_of(await self._client.get(*VIEW_KEYS))

    async def set_mirror(self, number: int, seen: int | None, wait: timedelta) -> StoreView | None:
        """Writes the generation if the mirror is still `seen`; see ports.LeaseStore."""
        mirror = layout.MIRROR
        still = (
            layout.is_absent(mirror) if seen is None else layout.is_value(mirror, layout.mirror_value(seen))
        )
        writes = [layout.put(mirror, layout.mirror_value(number)), layout.put(layout.MARK, b"")]
        if wait:
            lease_id = await self._client.grant(store_ttl(wait, timedelta(0)))
            writes.append(layout.put(layout.OPENING, layout.mirror_value(number), lease_id))
        answer = await self._client.txn(rpc_pb2.TxnRequest(compare=[still], success=writes))
        header = answer.header
        return StoreView(header.cluster_id, number, header.revision, bool(wait)) if answer.succeeded else None

    async def acquire(
        self,
        owner: Owner,
        request_id: str,
        epoch: Epoch,
        wants: Sequence[Want],
        held: Sequence[HeldLease],
    ) -> AcquireAnswer:
        """Gives each free session to the owner; see ports.LeaseStore."""
        batch = Acquisition(
            self._client,
            self._groups,
            self._lease_ttl,
            owner=owner,
            request_id=request_id,
            epoch=epoch,
        )
        try:
            answer = await batch.run(wants, tuple(held))
        except OtherEpochError as changed:
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
            answer = await self._client.get(*VIEW_KEYS, *leases)
            view = view_of(answer)
            values = [r.response_range.kvs for r in answer.responses[len(VIEW_KEYS) :]]
            owned += [i for i, kvs in zip(chunk, values, strict=True) if kvs and kvs[0].value == mine]
        left = await self._client.keep_alive(owned)
        return RenewAnswer(view, tuple(left.get(lease_id, 0) > 0 for lease_id in lease_ids))

    async def release(self, owner: Owner, epoch: Epoch, releases: Sequence[Release]) -> ReleaseAnswer:
        """Frees (clean) or lets settle each session that this owner holds by this token."""
        done: list[bool] = []
        view = _NOTHING_SEEN
        for start in range(0, max(len(releases), 1), OPS):
            answer = await self._release(owner, epoch, releases[start : start + OPS])
            done += answer.released
            view = answer.view
        return ReleaseAnswer(view, tuple(done))

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

    async def _release(self, owner: Owner, epoch: Epoch, releases: Sequence[Release]) -> ReleaseAnswer:
        answer = await self._client.get(*VIEW_KEYS, *(layout.session_key(r.auth_key_id) for r in releases))
        view = view_of(answer)
        found = [response.response_range.kvs for response in answer.responses[len(VIEW_KEYS) :]]
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
            answer = await self._client.txn(rpc_pb2.TxnRequest(success=[*moves.values(), _mark(epoch)]))
            *moved, marked = (response.response_txn for response in answer.responses)
            for index, inner in zip(moves, moved, strict=True):
                done[index] = inner.succeeded
            if marked.succeeded:
                view = StoreView(answer.header.cluster_id, epoch.generation, answer.header.revision)
        return ReleaseAnswer(view, tuple(done))

    async def _settle_leases(self, settles: set[timedelta]) -> dict[timedelta, int]:
        """A lease for each settle time, on which sessions end by themselves even while their worker's lease
        goes on."""
        return {settle: await self._client.grant(store_ttl(timedelta(0), settle)) for settle in settles}


def _held(kvs: Any, owner: Owner, token: Token) -> layout.SessionValue | None:
    """The key's value if this owner holds it by this token."""
    if not kvs:
        return None
    value = layout.decode_session(kvs[0].value)
    found = Token(value.generation, kvs[0].create_revision)
    return value if (value.incarnation, found) == (owner.incarnation, token) else None


def _mark(epoch: Epoch) -> Any:
    """Moves the mark, unless the store has forgotten changes: then it must stay behind to show that."""
    known = [
        layout.is_value(layout.MIRROR, layout.mirror_value(epoch.generation)),
        layout.is_not_older(layout.MARK, epoch.high_water),
    ]
    return layout.nested(known, [layout.put(layout.MARK, b"")], [])


def _move(release: Release, kv: Any, value: layout.SessionValue, settle_leases: dict[timedelta, int]) -> Any:
    """Removes the key, or moves it to a lease of the settle time; only if nobody wrote it since."""
    key = layout.session_key(release.auth_key_id)
    same = layout.is_unchanged(key, kv.mod_revision)
    if release.clean:
        return layout.nested([same], [layout.remove(key)], [])
    settling = layout.SessionValue(
        value.account_id,
        value.worker_id,
        value.incarnation,
        value.request_id,
        value.generation,
        value.settle_ms,
        settling=True,
    )
    return layout.nested([same], [layout.put(key, settling.encode(), settle_leases[release.settle])], [])
