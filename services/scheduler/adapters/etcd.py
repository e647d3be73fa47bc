"""Talks to etcd through the stubs that aetcd ships, on channels of our own (STYLE.md says why not aetcd's
client). Knows nothing of leaders. Every call has a time limit, so that a frozen etcd is an error and not a
hang.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import grpc
from aetcd.rpc import rpc_pb2, rpc_pb2_grpc

from services.runtime.addresses import Endpoints
from services.runtime.channels import open_channel
from services.runtime.errors import Unavailable
from services.runtime.tls import Certificates

__all__ = ["EtcdClient", "LeaseGoneError", "rpc_pb2"]

R = TypeVar("R")


class LeaseGoneError(Exception):
    """etcd does not know the lease."""


class EtcdClient:
    """Calls the endpoint that answered last, then the others. Make it inside the event loop; close it."""

    def __init__(self, endpoints: Endpoints, timeout: float, tls: Certificates | None = None) -> None:
        """`timeout` in seconds bounds each attempt."""
        targets = [Endpoints((address,)) for address in endpoints.addresses] or [endpoints]
        self._channels = [open_channel(target, retries=False, tls=tls) for target in targets]
        self._timeout = timeout
        self._current = 0

    async def close(self) -> None:
        """Closes the channels."""
        for channel in self._channels:
            await channel.close()

    async def txn(self, request: Any) -> Any:
        """A transaction. Raises LeaseGoneError when it puts on a lease that is gone."""
        return await self._try(lambda channel: _kv(channel).Txn(request, timeout=self._timeout))

    async def get(self, key: bytes) -> Any:
        """The key's kv, or None."""
        request = rpc_pb2.RangeRequest(key=key)
        answer = await self._try(lambda channel: _kv(channel).Range(request, timeout=self._timeout))
        return answer.kvs[0] if answer.kvs else None

    async def grant(self, seconds: int) -> int:
        """A new lease's id."""
        request = rpc_pb2.LeaseGrantRequest(TTL=seconds)
        answer = await self._try(lambda channel: _lease(channel).LeaseGrant(request, timeout=self._timeout))
        return int(answer.ID)

    async def revoke(self, lease_id: int) -> None:
        """Ends a lease and deletes its keys. Raises LeaseGoneError when it is gone already."""
        request = rpc_pb2.LeaseRevokeRequest(ID=lease_id)
        await self._try(lambda channel: _lease(channel).LeaseRevoke(request, timeout=self._timeout))

    async def keep_alive(self, lease_id: int) -> int:
        """Extends a lease; its time to live in seconds. Zero or less: it is gone."""
        return await self._try(lambda channel: _keep_alive(channel, lease_id, self._timeout))

    async def _try(self, call: Callable[[grpc.aio.Channel], Awaitable[R]]) -> R:
        failure: BaseException | None = None
        for _ in self._channels:
            try:
                async with asyncio.timeout(self._timeout):
                    return await call(self._channels[self._current])
            except (grpc.aio.AioRpcError, TimeoutError) as error:
                if isinstance(error, grpc.aio.AioRpcError) and "lease not found" in (error.details() or ""):
                    raise LeaseGoneError from error
                failure = error
                self._current = (self._current + 1) % len(self._channels)
        raise Unavailable("etcd does not answer.", reason="ETCD_UNAVAILABLE") from failure


def _kv(channel: grpc.aio.Channel) -> Any:
    return rpc_pb2_grpc.KVStub(channel)


def _lease(channel: grpc.aio.Channel) -> Any:
    return rpc_pb2_grpc.LeaseStub(channel)


async def _keep_alive(channel: grpc.aio.Channel, lease_id: int, limit: float) -> int:
    call = _lease(channel).LeaseKeepAlive(timeout=limit)
    try:
        await call.write(rpc_pb2.LeaseKeepAliveRequest(ID=lease_id))
        answer = await call.read()
        return 0 if answer is grpc.aio.EOF else int(answer.TTL)
    finally:
        call.cancel()
