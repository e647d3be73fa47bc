"""Talks to etcd through the stubs that aetcd ships, on channels of our own. Knows nothing of sessions.

aetcd's client itself hangs on a frozen etcd, so only `aetcd.rpc` is used (STYLE.md). Every call has a time
limit; with several endpoints it moves to the next when one does not answer, which is safe because every
operation of the lease store may be repeated. Errors leave this file as `Unavailable` (ETCD_UNAVAILABLE) or
`LeaseNotFoundError`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any, TypeVar

import grpc
from aetcd.rpc import kv_pb2, rpc_pb2, rpc_pb2_grpc

from services.runtime.addresses import Endpoints
from services.runtime.channels import open_channel
from services.runtime.errors import Unavailable
from services.runtime.logs import get_logger
from services.runtime.tls import Certificates

__all__ = ["EtcdClient", "LeaseNotFoundError", "kv_pb2", "rpc_pb2"]

R = TypeVar("R")

_log = get_logger("registry.etcd")

_MIN_ATTEMPT = 0.5
_LEASE_NOT_FOUND = "requested lease not found"


class LeaseNotFoundError(Exception):
    """etcd does not know the lease that was named."""


class _Endpoint:
    def __init__(self, target: Endpoints, tls: Certificates | None) -> None:
        self.channel = open_channel(target, retries=False, tls=tls)
        self.kv = rpc_pb2_grpc.KVStub(self.channel)
        self.lease = rpc_pb2_grpc.LeaseStub(self.channel)


class EtcdClient:
    """A bounded, failing-over client. Make it inside the event loop; close it."""

    def __init__(self, endpoints: Endpoints, timeout: timedelta, tls: Certificates | None = None) -> None:
        """`timeout` bounds a whole operation, all endpoints together."""
        targets = [Endpoints((address,)) for address in endpoints.addresses] or [endpoints]
        self._endpoints = [_Endpoint(target, tls) for target in targets]
        self._timeout = timeout.total_seconds()
        self._current = 0
        self._answers = True

    async def close(self) -> None:
        """Closes the channels."""
        for endpoint in self._endpoints:
            await endpoint.channel.close()

    async def txn(self, request: Any) -> Any:
        """A transaction. Raises LeaseNotFoundError when it puts on a lease that is gone; then nothing was
        done."""
        return await self._try(lambda endpoint, limit: endpoint.kv.Txn(request, timeout=limit))

    async def get(self, *keys: bytes) -> Any:
        """Reads keys at one revision; the answer's responses are in their order. At most 128 keys."""
        ops = [rpc_pb2.RequestOp(request_range=rpc_pb2.RangeRequest(key=key)) for key in keys]
        return await self.txn(rpc_pb2.TxnRequest(success=ops))

    async def grant(self, seconds: int) -> int:
        """A new lease's id. An attempt whose answer is lost leaves a lease that ends by itself."""
        request = rpc_pb2.LeaseGrantRequest(TTL=seconds)
        answer = await self._try(lambda endpoint, limit: endpoint.lease.LeaseGrant(request, timeout=limit))
        return int(answer.ID)

    async def revoke(self, lease_id: int) -> None:
        """Ends a lease; one that is gone already is fine."""
        request = rpc_pb2.LeaseRevokeRequest(ID=lease_id)
        try:
            await self._try(lambda endpoint, limit: endpoint.lease.LeaseRevoke(request, timeout=limit))
        except LeaseNotFoundError:
            return

    async def time_to_live(self, lease_id: int) -> int:
        """Whole seconds that a lease has left, rounded down; -1 when it is gone."""
        request = rpc_pb2.LeaseTimeToLiveRequest(ID=lease_id)
        try:
            answer = await self._try(
                lambda endpoint, limit: endpoint.lease.LeaseTimeToLive(request, timeout=limit)
            )
        except LeaseNotFoundError:
            return -1
        return int(answer.TTL)

    async def keep_alive(self, lease_ids: Sequence[int]) -> dict[int, int]:
        """Extends leases; the new time to live in seconds by lease. Zero or less, or missing, means that it
        is gone."""
        if not lease_ids:
            return {}
        return await self._try(lambda endpoint, limit: _keep_alive(endpoint, lease_ids, limit))

    async def _try(self, call: Callable[[_Endpoint, float], Awaitable[R]]) -> R:
        """The call on the endpoint that worked last, then on the others."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._timeout
        share = max(_MIN_ATTEMPT, self._timeout / len(self._endpoints))
        failure: Exception | None = None
        for step in range(len(self._endpoints)):
            index = (self._current + step) % len(self._endpoints)
            limit = min(share, deadline - loop.time())
            if limit <= 0:
                break
            try:
                async with asyncio.timeout(limit):
                    answer = await call(self._endpoints[index], limit)
            except (grpc.aio.AioRpcError, TimeoutError) as error:
                if _LEASE_NOT_FOUND in _details(error):
                    raise LeaseNotFoundError from error
                failure = error
                continue
            self._current = index
            self._note(answers=True)
            return answer
        self._note(answers=False, failure=failure)
        raise Unavailable(
            "The lease store (etcd) does not answer; sessions cannot be granted or renewed until it does.",
            reason="ETCD_UNAVAILABLE",
            retry_after=timedelta(seconds=1),
        ) from failure

    def _note(self, *, answers: bool, failure: Exception | None = None) -> None:
        """Logs when etcd goes away and when it is back, once each."""
        if answers != self._answers:
            self._answers = answers
            if answers:
                _log.info("etcd answers again")
            else:
                _log.warning("etcd does not answer", detail=_details(failure) or type(failure).__name__)


def _details(error: Exception | None) -> str:
    return str(error.details() or "") if isinstance(error, grpc.aio.AioRpcError) else ""


async def _keep_alive(endpoint: _Endpoint, lease_ids: Sequence[int], limit: float) -> dict[int, int]:
    """One stream for all leases: etcd answers each request once, in order."""
    call = endpoint.lease.LeaseKeepAlive(timeout=limit)
    try:
        left: dict[int, int] = {}
        for lease_id in lease_ids:
            await call.write(rpc_pb2.LeaseKeepAliveRequest(ID=lease_id))
            answer = await call.read()
            if answer is grpc.aio.EOF:
                break
            left[int(answer.ID)] = int(answer.TTL)
        return left
    finally:
        call.cancel()
