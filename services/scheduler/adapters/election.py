"""Elects the leading scheduler in etcd: a key that is created if it is absent, on a lease that the leader
renews.

A leader counts its time from when the last acknowledged renewal was *sent*, on a clock that goes on while
the process is frozen or the machine asleep, and stops believing in itself a margin before etcd can let the
lease end. So at no time do two processes believe that they lead, whatever happens to either or to etcd.
"""

import asyncio
import contextlib

from services.runtime.clock import Clock, FenceClock, Mark
from services.runtime.errors import Unavailable
from services.runtime.logs import get_logger
from services.runtime.tasks import cancel_and_wait
from services.scheduler.adapters.etcd import EtcdClient, LeaseGoneError, rpc_pb2
from services.scheduler.signals import wait_until

_log = get_logger("scheduler.election")

KEY = b"/tgfleet/scheduler/leader"
_MARGIN = 0.2  # of the time to live: what etcd's clock and the network may be off
_POLL = 0.1  # of the time to live: how often a standby looks


class EtcdElection:
    """Implements ports.Election."""

    def __init__(self, client: EtcdClient, candidate: str, ttl: int, clock: Clock) -> None:
        """`candidate` names this process to people; `ttl` in seconds, at least 2 (etcd's own minimum)."""
        self._client = client
        self._candidate = candidate.encode()
        self._ttl = ttl
        self._clock = FenceClock(clock)

    async def campaign(self) -> "EtcdLeadership":
        told = ""
        while True:
            with contextlib.suppress(Unavailable, LeaseGoneError):
                holder = await self._client.get(KEY)
                if holder is None:
                    won = await self._try_once()
                    if won is not None:
                        return won
                elif told != holder.value.decode(errors="replace"):
                    told = holder.value.decode(errors="replace")
                    _log.info("standing by", leader=told)
            await asyncio.sleep(self._ttl * _POLL)

    async def close(self) -> None:
        await self._client.close()

    async def _try_once(self) -> "EtcdLeadership | None":
        sent = self._clock.mark()
        lease_id = await self._client.grant(self._ttl)
        answer = await self._client.txn(_create_if_absent(self._candidate, lease_id))
        if not answer.succeeded:
            with contextlib.suppress(Unavailable, LeaseGoneError):
                await self._client.revoke(lease_id)
            return None
        return EtcdLeadership(
            self._client,
            self._clock,
            lease_id=lease_id,
            ttl=self._ttl,
            revision=answer.header.revision,
            sent=sent,
        )


class EtcdLeadership:
    """Implements ports.Leadership. Renews itself until it is lost or resigned."""

    def __init__(
        self,
        client: EtcdClient,
        clock: FenceClock,
        *,
        lease_id: int,
        ttl: int,
        revision: int,
        sent: Mark,
    ) -> None:
        self._client = client
        self._clock = clock
        self._lease_id = lease_id
        self._ttl = ttl
        self._revision = revision
        self._sent = sent
        self._over = asyncio.Event()
        self._renewing = asyncio.create_task(self._renew(), name="leadership renewal")

    def valid(self) -> bool:
        if not self._over.is_set() and self._clock.elapsed(self._sent) >= self._ttl * (1 - _MARGIN):
            self._over.set()
        return not self._over.is_set()

    async def lost(self) -> None:
        while self.valid():
            left = self._ttl * (1 - _MARGIN) - self._clock.elapsed(self._sent)
            await wait_until(self._over, left)

    async def resign(self) -> None:
        self._over.set()
        await cancel_and_wait(self._renewing)
        with contextlib.suppress(Unavailable, LeaseGoneError):
            await self._client.revoke(self._lease_id)

    async def _renew(self) -> None:
        try:
            while self.valid():
                await asyncio.sleep(self._pause())
                await self._renew_once()
        finally:
            self._over.set()

    def _pause(self) -> float:
        """A third of the time to live after the last success; quickly again after a failure."""
        return max(0.05 * self._ttl, self._ttl / 3 - self._clock.elapsed(self._sent))

    async def _renew_once(self) -> None:
        sent = self._clock.mark()
        try:
            left = await self._client.keep_alive(self._lease_id)
            holder = await self._client.get(KEY)
        except (Unavailable, LeaseGoneError):
            return
        if left <= 0 or holder is None or holder.create_revision != self._revision:
            _log.warning("leadership lost", lease_seconds=left)
            self._over.set()
        else:
            self._sent = sent


def _create_if_absent(value: bytes, lease_id: int) -> rpc_pb2.TxnRequest:
    absent = rpc_pb2.Compare(
        result=rpc_pb2.Compare.EQUAL, target=rpc_pb2.Compare.CREATE, key=KEY, create_revision=0
    )
    put = rpc_pb2.RequestOp(request_put=rpc_pb2.PutRequest(key=KEY, value=value, lease=lease_id))
    return rpc_pb2.TxnRequest(compare=[absent], success=[put])
