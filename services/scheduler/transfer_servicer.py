"""TransferService: protobuf to handlers and back, nothing else."""

import base64
from collections.abc import AsyncIterator
from typing import Any

import grpc

from services.runtime.calls import remaining
from services.runtime.errors import InvalidArgument
from services.scheduler import handlers_transfers as handlers
from services.scheduler import transfer_creating, wire_transfers
from services.scheduler.domain.transfers.records import Wish
from services.scheduler.leader import Leader, Seat
from tgfleet.gateway.v1 import transfer_pb2 as public
from tgfleet.scheduler.v1 import transfer_pb2 as pb
from tgfleet.scheduler.v1 import transfer_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]

DEFAULT_DEADLINE = 60.0
"""Seconds for a call whose caller set no deadline."""

_PAGE = (100, 1_000)  # default, most


class TransferServicer(transfer_pb2_grpc.TransferServiceServicer):
    """What the gateway asks of the leading scheduler about transfers."""

    def __init__(self, seat: Seat) -> None:
        self._seat = seat

    async def CreateTransfer(
        self, request: pb.CreateTransferRequest, context: Context
    ) -> pb.CreateTransferResponse:
        leader = self._seat.require()
        spec = wire_transfers.spec(request.request.spec)
        if spec is None:
            raise InvalidArgument("This mode or kind of media is not known.", field="spec")
        transfer_id = await transfer_creating.create(
            leader, spec, request.request.request_id, _time_left(context)
        )
        shown = await handlers.show(leader, transfer_id)
        response = public.CreateTransferResponse(transfer=_detailed(leader, shown))
        return pb.CreateTransferResponse(response=response)

    async def GetTransfer(self, request: pb.GetTransferRequest, context: Context) -> pb.GetTransferResponse:
        leader = self._seat.require()
        shown = await handlers.show(leader, request.request.transfer_id)
        return pb.GetTransferResponse(response=public.GetTransferResponse(transfer=_detailed(leader, shown)))

    async def ListTransfers(
        self, request: pb.ListTransfersRequest, context: Context
    ) -> pb.ListTransfersResponse:
        leader = self._seat.require()
        asked = request.request
        default, most = _PAGE
        if not 0 <= asked.page_size <= most:
            raise InvalidArgument(f"page_size must be between 0 and {most}.", field="page_size")
        states = wire_transfers.states(asked.states)
        if states is None:
            raise InvalidArgument("One of these states is not known.", field="states")
        size = asked.page_size or default
        found = await handlers.page(leader, states, _before(asked.page_token), size + 1)
        response = public.ListTransfersResponse(transfers=[_brief(leader, one) for one in found[:size]])
        if len(found) > size:
            response.next_page_token = _token(found[size - 1])
        return pb.ListTransfersResponse(response=response)

    async def WatchTransfer(
        self, request: pb.WatchTransferRequest, context: Context
    ) -> AsyncIterator[pb.WatchTransferResponse]:
        leader = self._seat.require()
        async for shown in handlers.watch(leader, request.request.transfer_id):
            response = public.WatchTransferResponse(transfer=_brief(leader, shown))
            yield pb.WatchTransferResponse(response=response)

    async def PauseTransfer(
        self, request: pb.PauseTransferRequest, context: Context
    ) -> pb.PauseTransferResponse:
        made = await self._wish(request.request.transfer_id, Wish.PAUSE, context)
        return pb.PauseTransferResponse(response=public.PauseTransferResponse(transfer=made))

    async def ResumeTransfer(
        self, request: pb.ResumeTransferRequest, context: Context
    ) -> pb.ResumeTransferResponse:
        made = await self._wish(request.request.transfer_id, Wish.RUN, context)
        return pb.ResumeTransferResponse(response=public.ResumeTransferResponse(transfer=made))

    async def CancelTransfer(
        self, request: pb.CancelTransferRequest, context: Context
    ) -> pb.CancelTransferResponse:
        made = await self._wish(request.request.transfer_id, Wish.CANCEL, context)
        return pb.CancelTransferResponse(response=public.CancelTransferResponse(transfer=made))

    async def ExplainTransfer(
        self, request: pb.ExplainTransferRequest, context: Context
    ) -> pb.ExplainTransferResponse:
        leader = self._seat.require()
        accounts, detail = await handlers.explain(leader, request.request.transfer_id)
        response = public.ExplainTransferResponse(
            accounts=[wire_transfers.explained(one) for one in accounts], detail=detail
        )
        return pb.ExplainTransferResponse(response=response)

    async def SettleBatch(self, request: pb.SettleBatchRequest, context: Context) -> pb.SettleBatchResponse:
        leader = self._seat.require()
        asked = request.request
        shown = await handlers.settle(leader, asked.transfer_id, asked.shard, asked.batch, sent=asked.sent)
        return pb.SettleBatchResponse(response=public.SettleBatchResponse(transfer=_brief(leader, shown)))

    async def _wish(self, transfer_id: str, wanted: Wish, context: Context) -> public.Transfer:
        leader = self._seat.require()
        return _brief(leader, await handlers.wish(leader, transfer_id, wanted, _time_left(context)))


def _time_left(context: Context) -> float:
    left = remaining(context, DEFAULT_DEADLINE)
    return DEFAULT_DEADLINE if left is None else left


def _brief(leader: Leader, shown: handlers.Shown) -> public.Transfer:
    return wire_transfers.transfer(
        shown.record, shown.shards, shown.live, leader.driver.now(), _names(leader)
    )


def _detailed(leader: Leader, shown: handlers.Shown) -> public.Transfer:
    made = _brief(leader, shown)
    return wire_transfers.add_details(made, shown.refused, shown.record.candidates, _names(leader))


def _names(leader: Leader) -> wire_transfers.NameOf:
    accounts = leader.core.fleet.accounts

    def name_of(account_id: str) -> str:
        entry = accounts.get(account_id)
        return account_id if entry is None else entry.spec.name

    return name_of


def _token(last: handlers.Shown) -> str:
    return base64.urlsafe_b64encode(f"{last.record.created!r} {last.record.transfer_id}".encode()).decode()


def _before(token: str) -> tuple[float, str] | None:
    if not token:
        return None
    try:
        created, transfer_id = base64.b64decode(token, altchars=b"-_", validate=True).decode().split()
        return float(created), transfer_id
    except ValueError as error:  # not base64, not UTF-8, not two words, no number
        raise InvalidArgument("This page_token was not made by this method.", field="page_token") from error
