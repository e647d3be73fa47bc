"""The TransferService of a scheduler that does as a test says."""

# ruff: noqa: N802 - gRPC names its methods in CamelCase and always passes a request and a context

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

from services.runtime.errors import TgfleetError
from tgfleet.gateway.v1 import transfer_pb2 as tr
from tgfleet.scheduler.v1 import transfer_pb2 as inner
from tgfleet.scheduler.v1 import transfer_pb2_grpc

NAME = "tr_aaaaaaaaaaaa"


class FakeTransfers(transfer_pb2_grpc.TransferServiceServicer):
    """Remembers what it was asked; `fails` are raised one after the other before anything is answered; a
    watch shows `states` and ends, or goes on for ever with `holds`."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Any]] = []
        self.deadlines: list[float | None] = []
        self.fails: list[TgfleetError] = []
        self.states: Sequence[int] = (tr.TRANSFER_STATE_RUNNING, tr.TRANSFER_STATE_COMPLETED)
        self.holds = False
        self.cancelled = asyncio.Event()

    def _take(self, name: str, request: Any, context: Any) -> tr.Transfer:
        self.asked.append((name, request.request))
        self.deadlines.append(context.time_remaining())
        if self.fails:
            raise self.fails.pop(0)
        return tr.Transfer(transfer_id=NAME, state=tr.TRANSFER_STATE_RUNNING)

    async def CreateTransfer(self, request: Any, context: Any) -> Any:
        made = self._take("create", request, context)
        return inner.CreateTransferResponse(response=tr.CreateTransferResponse(transfer=made))

    async def GetTransfer(self, request: Any, context: Any) -> Any:
        made = self._take("get", request, context)
        return inner.GetTransferResponse(response=tr.GetTransferResponse(transfer=made))

    async def ListTransfers(self, request: Any, context: Any) -> Any:
        made = self._take("list", request, context)
        return inner.ListTransfersResponse(response=tr.ListTransfersResponse(transfers=[made]))

    async def WatchTransfer(self, request: Any, context: Any) -> AsyncIterator[Any]:
        self._take("watch", request, context)
        try:
            for state in self.states:
                shown = tr.Transfer(transfer_id=NAME, state=state)  # type: ignore[arg-type]
                yield inner.WatchTransferResponse(response=tr.WatchTransferResponse(transfer=shown))
            if self.holds:
                await asyncio.Event().wait()
        except (asyncio.CancelledError, GeneratorExit):
            self.cancelled.set()
            raise

    async def PauseTransfer(self, request: Any, context: Any) -> Any:
        made = self._take("pause", request, context)
        return inner.PauseTransferResponse(response=tr.PauseTransferResponse(transfer=made))

    async def ResumeTransfer(self, request: Any, context: Any) -> Any:
        made = self._take("resume", request, context)
        return inner.ResumeTransferResponse(response=tr.ResumeTransferResponse(transfer=made))

    async def CancelTransfer(self, request: Any, context: Any) -> Any:
        made = self._take("cancel", request, context)
        return inner.CancelTransferResponse(response=tr.CancelTransferResponse(transfer=made))

    async def ExplainTransfer(self, request: Any, context: Any) -> Any:
        self._take("explain", request, context)
        return inner.ExplainTransferResponse(response=tr.ExplainTransferResponse(detail="Nobody."))

    async def SettleBatch(self, request: Any, context: Any) -> Any:
        made = self._take("settle", request, context)
        return inner.SettleBatchResponse(response=tr.SettleBatchResponse(transfer=made))
