"""The public TransferService: the form is checked, then the leading scheduler does the work."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import grpc

from services.gateway.checks import check
from services.gateway.domain.fleet_call import seconds_for_call
from services.gateway.handlers.authentication import Authenticator, authorization_of
from services.gateway.handlers.events import guarded
from services.gateway.handlers.transfers import asked, watch_transfer
from services.gateway.ports import TransferScheduler
from services.runtime.request_id import new_request_id
from tgfleet.gateway.v1 import transfer_pb2, transfer_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]

_READ_SECONDS = 10.0
_CREATE_SECONDS = 60.0
"""Each account is asked what it can do in both chats, and one may have to be started for that."""
_WISH_SECONDS = 30.0
"""A pause waits for the batches in flight."""


class TransferServicer(transfer_pb2_grpc.TransferServiceServicer):
    """tgfleet.gateway.v1.TransferService."""

    def __init__(
        self, scheduler: TransferScheduler, authenticator: Authenticator, stopping: asyncio.Event
    ) -> None:
        self._scheduler = scheduler
        self._authenticator = authenticator
        self._stopping = stopping

    async def CreateTransfer(
        self, request: transfer_pb2.CreateTransferRequest, context: Context
    ) -> transfer_pb2.CreateTransferResponse:
        check(request)
        named = transfer_pb2.CreateTransferRequest()
        named.CopyFrom(request)
        named.request_id = request.request_id or new_request_id()  # so that it can be asked again
        return await asked(
            lambda left: self._scheduler.create(named, left), _seconds(context, _CREATE_SECONDS)
        )

    async def GetTransfer(
        self, request: transfer_pb2.GetTransferRequest, context: Context
    ) -> transfer_pb2.GetTransferResponse:
        check(request)
        return await asked(lambda left: self._scheduler.get(request, left), _seconds(context, _READ_SECONDS))

    async def ListTransfers(
        self, request: transfer_pb2.ListTransfersRequest, context: Context
    ) -> transfer_pb2.ListTransfersResponse:
        check(request)
        return await asked(lambda left: self._scheduler.page(request, left), _seconds(context, _READ_SECONDS))

    async def WatchTransfer(
        self, request: transfer_pb2.WatchTransferRequest, context: Context
    ) -> AsyncGenerator[transfer_pb2.WatchTransferResponse, None]:
        check(request)
        authorization = authorization_of(context.invocation_metadata())

        async def recheck() -> None:
            await self._authenticator.recheck(authorization)

        states = watch_transfer(request, context.time_remaining(), self._scheduler)
        async with aclosing(guarded(states, recheck, self._stopping)) as transfers:
            async for transfer in transfers:
                yield transfer_pb2.WatchTransferResponse(transfer=transfer)

    async def PauseTransfer(
        self, request: transfer_pb2.PauseTransferRequest, context: Context
    ) -> transfer_pb2.PauseTransferResponse:
        check(request)
        return await asked(
            lambda left: self._scheduler.pause(request, left), _seconds(context, _WISH_SECONDS)
        )

    async def ResumeTransfer(
        self, request: transfer_pb2.ResumeTransferRequest, context: Context
    ) -> transfer_pb2.ResumeTransferResponse:
        check(request)
        return await asked(
            lambda left: self._scheduler.resume(request, left), _seconds(context, _WISH_SECONDS)
        )

    async def CancelTransfer(
        self, request: transfer_pb2.CancelTransferRequest, context: Context
    ) -> transfer_pb2.CancelTransferResponse:
        check(request)
        return await asked(
            lambda left: self._scheduler.cancel(request, left), _seconds(context, _WISH_SECONDS)
        )

    async def ExplainTransfer(
        self, request: transfer_pb2.ExplainTransferRequest, context: Context
    ) -> transfer_pb2.ExplainTransferResponse:
        check(request)
        return await asked(
            lambda left: self._scheduler.explain(request, left), _seconds(context, _READ_SECONDS)
        )

    async def SettleBatch(
        self, request: transfer_pb2.SettleBatchRequest, context: Context
    ) -> transfer_pb2.SettleBatchResponse:
        check(request)
        return await asked(
            lambda left: self._scheduler.settle(request, left),
            _seconds(context, _WISH_SECONDS),
            repeatable=False,
        )


def _seconds(context: Context, default: float) -> float:
    """How long the scheduler may take: shortly less than the caller allows, as a pause answers at its
    deadline."""
    return seconds_for_call(context.time_remaining(), default)
