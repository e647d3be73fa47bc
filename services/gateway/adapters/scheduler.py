"""The scheduler that leads, reached over gRPC. Standbys answer health NOT_SERVING and so get no call."""

from collections.abc import AsyncGenerator, Sequence
from typing import overload

import grpc

from services.gateway.adapters.reachability import reached
from services.gateway.ports import FleetAnswer, FleetCall, FleetCallKind
from services.runtime.calls import open_call, unary
from services.runtime.errors import Unavailable
from tgfleet.gateway.v1 import event_pb2, fleet_pb2
from tgfleet.scheduler.v1 import scheduler_pb2, scheduler_pb2_grpc

LEADER_WAIT = 8.0
"""Seconds that a call waits for a leader while there is none: a change of leader is bridged, an outage is
told."""

_KINDS = {
    FleetCallKind.START_ALL: scheduler_pb2.FLEET_CALL_KIND_START_ALL,
    FleetCallKind.STOP_ALL: scheduler_pb2.FLEET_CALL_KIND_STOP_ALL,
    FleetCallKind.START_CHAT: scheduler_pb2.FLEET_CALL_KIND_START_CHAT,
    FleetCallKind.STOP_CHAT: scheduler_pb2.FLEET_CALL_KIND_STOP_CHAT,
}


class GrpcScheduler:
    """One channel to the leader and its standbys; it must be health checked."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel
        self._stub: scheduler_pb2_grpc.SchedulerServiceAsyncStub = scheduler_pb2_grpc.SchedulerServiceStub(
            channel
        )

    async def run(self, call: FleetCall, within: float) -> AsyncGenerator[FleetAnswer, None]:
        request = scheduler_pb2.RunFleetCallRequest(
            kind=_KINDS[call.kind],
            account_ids=call.account_ids,
            match_labels=call.match_labels,
            request_id=call.request_id,
        )
        request.wait_for.FromTimedelta(call.wait_for)
        if call.start_time is not None:
            request.start_time.FromDatetime(call.start_time)
        first = True
        async with open_call(
            self._stub.RunFleetCall, request, timeout=within, wait_for_ready=True
        ) as messages:
            async for message in messages:
                yield FleetAnswer(message.selected_account_ids if first else None, message.results)
                first = False

    async def watch(
        self, request: fleet_pb2.WatchEventsRequest, within: float | None
    ) -> AsyncGenerator[Sequence[event_pb2.Event], None]:
        inner = scheduler_pb2.WatchEventsRequest(request=request)
        left = await leader_reached(self._channel, within)
        async with open_call(self._stub.WatchEvents, inner, timeout=left) as messages:
            async for message in messages:
                yield message.response.events

    async def status(
        self, request: fleet_pb2.GetFleetStatusRequest, within: float
    ) -> fleet_pb2.GetFleetStatusResponse:
        inner = scheduler_pb2.GetFleetStatusRequest(request=request)
        return (await unary(self._stub.GetFleetStatus, inner, timeout=await self._left(within))).response

    async def workers(
        self, request: fleet_pb2.ListWorkersRequest, within: float
    ) -> fleet_pb2.ListWorkersResponse:
        inner = scheduler_pb2.ListWorkersRequest(request=request)
        return (await unary(self._stub.ListWorkers, inner, timeout=await self._left(within))).response

    async def drain(
        self, request: fleet_pb2.DrainWorkerRequest, within: float
    ) -> fleet_pb2.DrainWorkerResponse:
        inner = scheduler_pb2.DrainWorkerRequest(request=request)
        return (await unary(self._stub.DrainWorker, inner, timeout=await self._left(within))).response

    async def _left(self, within: float) -> float:
        """What is left of the time once a leader is there."""
        return await leader_reached(self._channel, within)


@overload
async def leader_reached(channel: grpc.aio.Channel, within: float) -> float: ...
@overload
async def leader_reached(channel: grpc.aio.Channel, within: float | None) -> float | None: ...
async def leader_reached(channel: grpc.aio.Channel, within: float | None) -> float | None:
    """What is left of the time (None: no limit) once a leader is connected. Raises Unavailable."""
    none = Unavailable("No scheduler leads right now; try again in a moment.", reason="SCHEDULER_UNAVAILABLE")
    if within is None:
        await reached(channel, LEADER_WAIT, LEADER_WAIT, none)
        return None
    return await reached(channel, within, min(within * 0.8, LEADER_WAIT), none)
