"""DispatcherService: the streams of workers. Protobuf to events and back, nothing else."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Any

import grpc

from services.runtime.errors import InvalidArgument, Unavailable
from services.runtime.logs import get_logger
from services.runtime.tasks import cancel_and_wait
from services.scheduler import wire, wire_transfer_orders
from services.scheduler.domain import events as e
from services.scheduler.domain.transfers.events import Answered
from services.scheduler.leader import Leader, Seat
from services.scheduler.streams import WorkerStream
from tgfleet.gateway.v1 import event_pb2
from tgfleet.scheduler.v1 import scheduler_pb2, scheduler_pb2_grpc
from tgfleet.worker.v1 import worker_pb2

_log = get_logger("scheduler.dispatcher")

Assign = Callable[[str, int, Sequence[str]], bytes]
"""Worker, term and accounts -> what StartSessions.assignment holds."""

_HELLO_TIMEOUT = 10.0
_WORKER_ID = re.compile(r"[a-z0-9-]{1,63}")
# These the scheduler tells itself, from the reports.
_OWN_EVENTS = frozenset({"session_changed", "worker_changed", "events_lost"})


class DispatcherServicer(scheduler_pb2_grpc.DispatcherServiceServicer):
    """What workers connect to."""

    def __init__(self, seat: Seat, assign: Assign | None = None) -> None:
        """`assign` signs for the registry which worker was given which accounts."""
        self._seat = seat
        self._assign = assign

    async def AttachWorker(  # noqa: N802 - gRPC's name
        self,
        request_iterator: AsyncIterator[scheduler_pb2.AttachWorkerRequest],
        context: grpc.aio.ServicerContext[Any, Any],  # noqa: ARG002
    ) -> AsyncIterator[scheduler_pb2.AttachWorkerResponse]:
        leader = self._seat.require()
        hello = await _first(request_iterator)
        stream = leader.driver.streams.open(hello.worker_id)
        stream.send(wire.welcome(leader.term, leader.core.fleet.rules.heartbeat))
        reader = asyncio.create_task(_read(leader, stream, hello, request_iterator), name="worker reader")
        try:
            while True:
                yield self._assigned(hello.worker_id, await stream.next())
        finally:
            leader.driver.tell(e.StreamLost(hello.worker_id, stream.attachment))
            leader.driver.streams.close(stream)
            leader.transfers.driver.stream_ended(stream.attachment)
            await cancel_and_wait(reader)

    def _assigned(
        self, worker_id: str, message: scheduler_pb2.AttachWorkerResponse
    ) -> scheduler_pb2.AttachWorkerResponse:
        """With the proof that a start needs. Made when it is sent, as it lasts minutes only."""
        if self._assign is not None and message.HasField("start"):
            ids = [one.account_id for one in message.start.sessions]
            message.start.assignment = self._assign(worker_id, message.term, ids)
        return message


async def _first(requests: AsyncIterator[scheduler_pb2.AttachWorkerRequest]) -> worker_pb2.Hello:
    try:
        async with asyncio.timeout(_HELLO_TIMEOUT):
            first = await anext(requests, None)
    except TimeoutError:
        first = None
    if first is None or first.WhichOneof("message") != "hello":
        raise InvalidArgument("The first message of a worker must be its Hello.", field="hello")
    hello = first.hello
    if not _WORKER_ID.fullmatch(hello.worker_id):
        raise InvalidArgument(
            "A worker's name has 1 to 63 characters from lower-case letters, digits and `-`.",
            field="hello.worker_id",
        )
    if not hello.incarnation:
        raise InvalidArgument("A worker must name its incarnation.", field="hello.incarnation")
    return hello


async def _read(
    leader: Leader,
    stream: WorkerStream,
    hello: worker_pb2.Hello,
    requests: AsyncIterator[scheduler_pb2.AttachWorkerRequest],
) -> None:
    """Feeds the core with what the worker says, and ends the stream when the worker does."""
    worker_id, attachment = hello.worker_id, stream.attachment
    leader.transfers.driver.hello(attachment, hello.transfer_order_ids)
    leader.driver.tell(_hello(hello, attachment))
    try:
        async for message in requests:
            kind = message.WhichOneof("message")
            if kind == "events":
                leader.driver.tell(e.WorkerHeartbeat(worker_id, attachment))
                _publish(leader, worker_id, message.events.events)
            elif kind == "transfer_answers":
                leader.driver.tell(e.WorkerHeartbeat(worker_id, attachment))
                for answer in message.transfer_answers.answers:
                    said = wire_transfer_orders.answer(answer)
                    leader.driver.tell(Answered(worker_id, attachment, said))
            elif kind is not None:
                event = _event(worker_id, attachment, kind, message)
                if event is not None:
                    leader.driver.tell(event)
    finally:
        stream.end(Unavailable("The worker ended its stream.", reason="STREAM_ENDED"))


def _hello(hello: worker_pb2.Hello, attachment: int) -> e.WorkerHello:
    return e.WorkerHello(
        hello.worker_id,
        hello.incarnation,
        attachment,
        hello.capacity,
        [wire.report(session) for session in hello.sessions],
        wire.announced_files(hello.files),
        hello.draining,
    )


def _event(
    worker_id: str, attachment: int, kind: str, message: scheduler_pb2.AttachWorkerRequest
) -> e.Event | None:
    if kind == "heartbeat":
        return e.WorkerHeartbeat(worker_id, attachment)
    if kind == "reports":
        reports = [wire.report(report) for report in message.reports.reports]
        return e.WorkerReports(worker_id, attachment, reports)
    if kind == "files":
        return e.WorkerFiles(worker_id, attachment, wire.announced_files(message.files.files))
    _log.warning("a worker said something unexpected", worker_id=worker_id, kind=kind)
    return None


def _publish(leader: Leader, worker_id: str, events: Iterable[event_pb2.Event]) -> None:
    for event in events:
        if event.WhichOneof("kind") not in _OWN_EVENTS:
            event.worker_id = event.worker_id or worker_id
            leader.bus.publish(event)
