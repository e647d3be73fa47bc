"""Puts the grants of many callers into few transactions: what waits while one is on its way goes with the
next.

One etcd transaction holds up to 1,000 attempts `if the key is absent and the lease is still its worker's then
put, else read`, all under the condition that the store is of the expected epoch. etcd allows 128 operations
in a transaction and adds up the levels of nested ones, so what is more than that is put into transactions of
100 inside of the one. etcd compares everything before it writes anything, and refuses a transaction that
writes one key twice, so no two attempts on one key share one.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from services.registry.adapters import etcd_layout as layout
from services.registry.adapters.etcd_client import EtcdClient, LeaseNotFoundError, rpc_pb2
from services.registry.domain.leasing import Epoch, StoreView

OPS = 110
"""Operations side by side. etcd allows 128; the leases' records and the mark take some."""

_GROUP, _MOST = 100, 1_000
"""Operations in each inner transaction, and in all: with the mark 11 outside, 100 inside and 2 in each
of those add up to less than 128, and a thousand are 350 kB, of 1.5 MB that etcd takes."""

VIEW_KEYS = (layout.MIRROR, layout.MARK, layout.OPENING)
"""What `view_of` reads."""

_IN_FLIGHT = 2


class Attempt(NamedTuple):
    """One session to put on a lease. `owned` is what the lease's record must hold; None for a lease that was
    granted just now, whose record goes with the same transaction."""

    key: bytes
    value: bytes
    lease_id: int
    owned: bytes | None


class Tried(NamedTuple):
    """What became of an attempt. `found` is the key as it is when it was not free; neither: the lease is
    gone."""

    granted: bool
    found: Any = None


@dataclass(slots=True)
class Batch:
    """The attempts of one caller, at most OPS, and the records of its new leases."""

    epoch: Epoch
    attempts: Sequence[Attempt]
    records: Sequence[tuple[int, bytes]]
    answer: "asyncio.Future[tuple[StoreView, list[Tried]]]" = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    @property
    def size(self) -> int:
        """Operations that it takes."""
        return len(self.attempts) + len(self.records)


_SIDE_BY_SIDE = 127
"""One less than etcd allows: the mark comes last."""
_GRANTED = Tried(granted=True)
_CREATE = rpc_pb2.Compare.CREATE


class OtherEpochError(Exception):
    """The store is not of the epoch that the caller expects, or still waits; nothing was done."""

    def __init__(self, view: StoreView) -> None:
        super().__init__()
        self.view = view


class GrantGroups:
    """`submit` from anywhere in one event loop."""

    def __init__(self, client: EtcdClient) -> None:
        self._client = client
        self._queue: deque[Batch] = deque()
        self._running: set[asyncio.Task[None]] = set()
        self._woken = False

    async def submit(self, batch: Batch) -> tuple[StoreView, list[Tried]]:
        """The store as it was, and what became of each attempt. Raises OtherEpochError, LeaseNotFoundError
        (then nothing was done), Unavailable."""
        self._queue.append(batch)
        if not self._woken:
            self._woken = True
            asyncio.get_running_loop().call_soon(self._send_more)
        return await batch.answer

    async def close(self) -> None:
        """Ends what is under way; its callers get a cancellation."""
        running = list(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def _send_more(self) -> None:
        self._woken = False
        while self._queue and len(self._running) < _IN_FLIGHT:
            task = asyncio.ensure_future(self._send(self._take()))
            self._running.add(task)
            task.add_done_callback(self._sent)

    def _sent(self, task: "asyncio.Task[None]") -> None:
        self._running.discard(task)
        self._send_more()

    def _take(self) -> list[Batch]:
        """The batches that go together: of one generation, of different keys, within the limit."""
        taken = [self._queue.popleft()]
        room = _MOST - taken[0].size
        keys = {attempt.key for attempt in taken[0].attempts}
        while self._queue and self._queue[0].size <= room:
            batch = self._queue[0]
            own = {attempt.key for attempt in batch.attempts}
            if batch.epoch.generation != taken[0].epoch.generation or own & keys:
                break
            taken.append(self._queue.popleft())
            keys |= own
            room -= batch.size
        return taken

    async def _send(self, batches: list[Batch]) -> None:
        try:
            await self._transact(batches)
        except LeaseNotFoundError as error:
            if len(batches) == 1:
                _fail(batches, error)
            for batch in batches if len(batches) > 1 else ():
                await self._send([batch])  # somebody's lease ended just now; it spoils only its own
        except asyncio.CancelledError:
            for batch in batches:
                batch.answer.cancel()
            raise
        except Exception as error:  # noqa: BLE001 - belongs to those who wait for the answer
            _fail(batches, error)

    async def _transact(self, batches: list[Batch]) -> None:
        generation = batches[0].epoch.generation
        high_water = max(batch.epoch.high_water for batch in batches)
        attempts = [attempt for batch in batches for attempt in batch.attempts]
        records = [record for batch in batches for record in batch.records]
        request = rpc_pb2.TxnRequest(
            compare=[
                layout.is_value(layout.MIRROR, layout.mirror_value(generation)),
                layout.is_not_older(layout.MARK, high_water),
                layout.is_absent(layout.OPENING),
            ],
            failure=[layout.read(key) for key in VIEW_KEYS],
        )
        _add_operations(request, [*attempts, *records])
        request.success.append(layout.put(layout.MARK, b""))
        answer = await self._client.txn(request)
        if not answer.succeeded:
            _fail(batches, OtherEpochError(view_of(answer)))
            return
        view = StoreView(answer.header.cluster_id, generation, answer.header.revision)
        tried = iter([_tried(response.response_txn) for response in _responses(answer, len(attempts))])
        for batch in batches:
            own = [next(tried) for _ in batch.attempts]
            if not batch.answer.done():
                batch.answer.set_result((view, own))


def view_of(answer: Any) -> StoreView:
    """From an answer that begins with VIEW_KEYS."""
    mirror, mark, opening = (answer.responses[i].response_range.kvs for i in range(len(VIEW_KEYS)))
    number = int(mirror[0].value) if mirror and mirror[0].value.isdigit() else None
    return StoreView(answer.header.cluster_id, number, mark[0].mod_revision if mark else 0, bool(opening))


def _add_operations(request: Any, operations: Sequence[Attempt | tuple[int, bytes]]) -> None:
    """Side by side if they are few enough, else in groups."""
    if len(operations) < _SIDE_BY_SIDE:
        for operation in operations:
            _add_operation(request, operation)
        return
    for start in range(0, len(operations), _GROUP):
        inner = request.success.add().request_txn
        for operation in operations[start : start + _GROUP]:
            _add_operation(inner, operation)


def _responses(answer: Any, count: int) -> list[Any]:
    """The first `count` responses to what `_add_operations` wrote."""
    if len(answer.responses) > count:  # side by side: each has its own, and the mark has one
        return list(answer.responses[:count])
    inner = [one for group in answer.responses[:-1] for one in group.response_txn.responses]
    return inner[:count]


def _add_operation(request: Any, operation: Attempt | tuple[int, bytes]) -> None:
    """Writes it into the request where it stands: protobuf copies what is put together from parts, once for
    each level."""
    if not isinstance(operation, Attempt):
        lease_id, record = operation
        request.success.append(layout.put(layout.lease_key(lease_id), record, lease_id))
        return
    key, value, lease_id, owned = operation
    txn = request.success.add().request_txn
    # `layout.is_absent`, in place
    txn.compare.add(key=key, target=_CREATE, create_revision=0)
    if owned is not None:
        txn.compare.append(layout.is_value(layout.lease_key(lease_id), owned))
    put = txn.success.add().request_put
    put.key = key
    put.value = value
    put.lease = lease_id
    txn.failure.add().request_range.key = key


def _tried(inner: Any) -> Tried:
    if inner.succeeded:
        return _GRANTED
    kvs = inner.responses[0].response_range.kvs
    return Tried(granted=False, found=kvs[0] if kvs else None)


def _fail(batches: list[Batch], error: Exception) -> None:
    for batch in batches:
        if not batch.answer.done():
            batch.answer.set_exception(error)
