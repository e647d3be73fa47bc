"""Transfers at the scheduler that leads, reached over gRPC."""

from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

import grpc

from services.gateway.adapters.scheduler import leader_reached
from services.runtime.calls import open_call, unary
from tgfleet.gateway.v1 import transfer_pb2 as public
from tgfleet.scheduler.v1 import transfer_pb2 as inner
from tgfleet.scheduler.v1.transfer_pb2_grpc import TransferServiceStub

if TYPE_CHECKING:  # exists for the type checker only
    from tgfleet.scheduler.v1.transfer_pb2_grpc import TransferServiceAsyncStub


class GrpcTransfers:
    """One channel to the leader and its standbys; it must be health checked. Implements
    ports.TransferScheduler."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel
        self._stub: TransferServiceAsyncStub = TransferServiceStub(channel)

    async def create(
        self, request: public.CreateTransferRequest, within: float
    ) -> public.CreateTransferResponse:
        wrapped, left = inner.CreateTransferRequest(request=request), await self._left(within)
        return (await unary(self._stub.CreateTransfer, wrapped, timeout=left)).response

    async def get(self, request: public.GetTransferRequest, within: float) -> public.GetTransferResponse:
        wrapped, left = inner.GetTransferRequest(request=request), await self._left(within)
        return (await unary(self._stub.GetTransfer, wrapped, timeout=left)).response

    async def page(self, request: public.ListTransfersRequest, within: float) -> public.ListTransfersResponse:
        wrapped, left = inner.ListTransfersRequest(request=request), await self._left(within)
        return (await unary(self._stub.ListTransfers, wrapped, timeout=left)).response

    async def watch(
        self, request: public.WatchTransferRequest, within: float | None
    ) -> AsyncGenerator[public.Transfer, None]:
        wrapped = inner.WatchTransferRequest(request=request)
        left = await leader_reached(self._channel, within)
        async with open_call(self._stub.WatchTransfer, wrapped, timeout=left) as messages:
            async for message in messages:
                yield message.response.transfer

    async def pause(
        self, request: public.PauseTransferRequest, within: float
    ) -> public.PauseTransferResponse:
        wrapped, left = inner.PauseTransferRequest(request=request), await self._left(within)
        return (await unary(self._stub.PauseTransfer, wrapped, timeout=left)).response

    async def resume(
        self, request: public.ResumeTransferRequest, within: float
    ) -> public.ResumeTransferResponse:
        wrapped, left = inner.ResumeTransferRequest(request=request), await self._left(within)
        return (await unary(self._stub.ResumeTransfer, wrapped, timeout=left)).response

    async def cancel(
        self, request: public.CancelTransferRequest, within: float
    ) -> public.CancelTransferResponse:
        wrapped, left = inner.CancelTransferRequest(request=request), await self._left(within)
        return (await unary(self._stub.CancelTransfer, wrapped, timeout=left)).response

    async def explain(
        self, request: public.ExplainTransferRequest, within: float
    ) -> public.ExplainTransferResponse:
        wrapped, left = inner.ExplainTransferRequest(request=request), await self._left(within)
        return (await unary(self._stub.ExplainTransfer, wrapped, timeout=left)).response

    async def settle(self, request: public.SettleBatchRequest, within: float) -> public.SettleBatchResponse:
        wrapped, left = inner.SettleBatchRequest(request=request), await self._left(within)
        return (await unary(self._stub.SettleBatch, wrapped, timeout=left)).response

    async def _left(self, within: float) -> float:
        """What is left of the time once a leader is there."""
        return await leader_reached(self._channel, within)
