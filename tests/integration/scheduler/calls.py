"""Asks a scheduler as a gateway would."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import grpc

from tests.integration.scheduler.processes import Scheduler
from tgfleet.gateway.v1 import fleet_pb2, result_pb2, transfer_pb2
from tgfleet.scheduler.v1 import scheduler_pb2, scheduler_pb2_grpc
from tgfleet.scheduler.v1 import transfer_pb2 as scheduler_transfer_pb2
from tgfleet.scheduler.v1 import transfer_pb2_grpc as scheduler_transfer_pb2_grpc

START_ALL = scheduler_pb2.FLEET_CALL_KIND_START_ALL
STOP_ALL = scheduler_pb2.FLEET_CALL_KIND_STOP_ALL
START_CHAT = scheduler_pb2.FLEET_CALL_KIND_START_CHAT
STOP_CHAT = scheduler_pb2.FLEET_CALL_KIND_STOP_CHAT


class Answers:
    """What came of one call."""

    def __init__(self) -> None:
        self.selected: list[str] = []
        self.results: list[result_pb2.AccountResult] = []

    @property
    def outcomes(self) -> dict[str, str]:
        """Outcome by name of account, with the reason if there is one."""
        told = {}
        for result in self.results:
            text = result_pb2.Outcome.Name(result.outcome).removeprefix("OUTCOME_")
            if result.reason:
                text += "/" + result_pb2.Reason.Name(result.reason).removeprefix("REASON_")
            assert result.name not in told, f"two results for {result.name}"
            told[result.name] = text
        return told


async def fleet_call(
    scheduler: Scheduler,
    kind: scheduler_pb2.FleetCallKind.ValueType,
    account_ids: Iterable[str] = (),
    *,
    request_id: str = "",
    wait_for: float = 0.0,
    timeout: float = 20.0,
    into: Answers | None = None,
    began: float = 0.0,
) -> Answers:
    answers = into or Answers()
    request = scheduler_pb2.RunFleetCallRequest(
        kind=kind, account_ids=account_ids, request_id=request_id or str(uuid.uuid4())
    )
    if began:
        request.start_time.FromNanoseconds(int(began * 1e9))
    if wait_for:
        request.wait_for.FromTimedelta(timedelta(seconds=wait_for))
    async with grpc.aio.insecure_channel(f"127.0.0.1:{scheduler.port}") as channel:
        stub = scheduler_pb2_grpc.SchedulerServiceStub(channel)
        async for message in stub.RunFleetCall(request, timeout=timeout):
            answers.selected.extend(message.selected_account_ids)
            assert len(message.results) <= 256
            answers.results.extend(message.results)
    return answers


async def status(scheduler: Scheduler) -> fleet_pb2.GetFleetStatusResponse:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{scheduler.port}") as channel:
        stub = scheduler_pb2_grpc.SchedulerServiceStub(channel)
        request = scheduler_pb2.GetFleetStatusRequest(
            request=fleet_pb2.GetFleetStatusRequest(page_size=10_000)
        )
        return (await stub.GetFleetStatus(request, timeout=5)).response


class Transfers:
    """TransferService of one scheduler."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._target = f"127.0.0.1:{scheduler.port}"

    async def create(
        self, account_ids: Iterable[str], request_id: str = "", timeout: float = 20.0, **fields: Any
    ) -> transfer_pb2.Transfer:
        fields.setdefault("source", "@source")
        fields.setdefault("target", "@target")
        spec = transfer_pb2.TransferSpec(account_ids=account_ids, **fields)
        request = transfer_pb2.CreateTransferRequest(spec=spec, request_id=request_id)
        return (await self._ask("CreateTransfer", request, timeout)).transfer

    async def get(self, transfer_id: str) -> transfer_pb2.Transfer:
        return (await self.one("Get", transfer_id)).transfer

    async def one(self, verb: str, transfer_id: str, timeout: float = 20.0, **fields: Any) -> Any:
        """Get, Pause, Resume, Cancel or Explain."""
        request = getattr(transfer_pb2, f"{verb}TransferRequest")(transfer_id=transfer_id, **fields)
        return await self._ask(f"{verb}Transfer", request, timeout)

    async def settle(self, transfer_id: str, shard: int, batch: int, *, sent: bool) -> transfer_pb2.Transfer:
        request = transfer_pb2.SettleBatchRequest(
            transfer_id=transfer_id, shard=shard, batch=batch, sent=sent
        )
        return (await self._ask("SettleBatch", request, 20.0)).transfer

    async def page(self, **fields: Any) -> transfer_pb2.ListTransfersResponse:
        return await self._ask("ListTransfers", transfer_pb2.ListTransfersRequest(**fields), 20.0)

    async def watch(self, transfer_id: str, timeout: float = 30.0) -> list[transfer_pb2.Transfer]:
        """Everything a watcher is told until the end."""
        request = transfer_pb2.WatchTransferRequest(transfer_id=transfer_id)
        async with grpc.aio.insecure_channel(self._target) as channel:
            stub = scheduler_transfer_pb2_grpc.TransferServiceStub(channel)
            wrapped = scheduler_transfer_pb2.WatchTransferRequest(request=request)
            return [m.response.transfer async for m in stub.WatchTransfer(wrapped, timeout=timeout)]

    async def _ask(self, method: str, request: Any, timeout: float) -> Any:
        wrapped = getattr(scheduler_transfer_pb2, f"{method}Request")(request=request)
        async with grpc.aio.insecure_channel(self._target) as channel:
            stub = scheduler_transfer_pb2_grpc.TransferServiceStub(channel)
            return (await getattr(stub, method)(wrapped, timeout=timeout)).response
