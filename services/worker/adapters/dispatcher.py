"""The dispatcher port over gRPC: one bidirectional stream to the leading scheduler."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import grpc

from services.runtime.addresses import Endpoints
from services.runtime.calls import open_call, translated_errors
from services.runtime.channels import open_channel
from services.runtime.errors import Unavailable
from services.runtime.tls import Certificates
from services.worker import wire_scheduler as wire
from services.worker.domain.orders import Order
from services.worker.domain.picture import Happening, Picture, SessionFile, SessionReport
from services.worker.domain.transfer_answers import TransferAnswer
from services.worker.ports import STUCK, Attachment
from services.worker.wire_transfers import transfer_answers
from tgfleet.scheduler.v1 import scheduler_pb2, scheduler_pb2_grpc
from tgfleet.worker.v1 import worker_pb2

_Request = scheduler_pb2.AttachWorkerRequest
_WRITE_LIMIT = 10.0
"""Seconds that the scheduler may take nothing before the stream counts as broken."""


def scheduler_channel(endpoints: Endpoints, tls: Certificates | None) -> grpc.aio.Channel:
    """To the leading scheduler of several. Its connections are its own: else a channel that replaces another
    would take over the other's, stuck watches of health included."""
    own = [("grpc.use_local_subchannel_pool", 1)]
    return open_channel(
        endpoints, health_checked=True, retries=False, tls=tls, server="scheduler", options=own
    )


class GrpcDispatcher:
    """See `ports.Dispatcher`."""

    def __init__(
        self, connect: Callable[[], grpc.aio.Channel], worker_id: str, incarnation: str, capacity: int
    ) -> None:
        """`connect` opens a channel that shares no connection with an earlier one."""
        self._connect = connect
        self._channel = connect()
        self._worker_id = worker_id
        self._incarnation = incarnation
        self._capacity = capacity

    async def attach(self, picture: Picture, serve: Callable[[Attachment], Awaitable[None]]) -> None:
        """See the port."""
        stub = scheduler_pb2_grpc.DispatcherServiceStub(self._channel)
        try:
            async with open_call(stub.AttachWorker) as call:
                stream = GrpcAttachment(call, self._worker_id)
                await stream.write(
                    _Request(hello=wire.hello(self._worker_id, self._incarnation, self._capacity, picture))
                )
                await serve(stream)
        except Unavailable as error:
            if error.reason == STUCK:
                await self._start_afresh()
            raise

    async def close(self) -> None:
        """Ends the connection."""
        await self._channel.close()

    async def _start_afresh(self) -> None:
        """Another channel: one whose watch of the scheduler's health is never answered queues every call for
        ever, and nothing but a new one ends that."""
        old, self._channel = self._channel, self._connect()
        await old.close()


class GrpcAttachment:
    """See `ports.Attachment`. Writes are serialised: grpc.aio allows one at a time."""

    def __init__(self, call: Any, worker_id: str) -> None:
        self._call = call
        self._worker_id = worker_id
        self._writing = asyncio.Lock()

    async def write(self, request: scheduler_pb2.AttachWorkerRequest) -> None:
        """One message. Raises TgfleetError."""
        async with self._writing:
            try:
                # Not wait_for: before Python 3.12 it loses a cancellation that comes as the write ends.
                async with asyncio.timeout(_WRITE_LIMIT):
                    with translated_errors():
                        await self._call.write(request)
            except TimeoutError as error:
                raise Unavailable(
                    "The stream to the scheduler takes no more messages.", reason=STUCK
                ) from error
            except asyncio.InvalidStateError as error:
                raise Unavailable("The stream to the scheduler has ended.") from error

    async def orders(self) -> AsyncIterator[Order]:
        """See the port."""
        with translated_errors():
            async for message in self._call:
                order = wire.order(message)
                if order is not None:
                    yield order

    async def heartbeat(self, sequence: int, sessions: int) -> None:
        """See the port."""
        await self.write(_Request(heartbeat=worker_pb2.Heartbeat(sequence=sequence, sessions=sessions)))

    async def send_reports(self, reports: Sequence[SessionReport]) -> None:
        """See the port."""
        batch = worker_pb2.SessionReports(reports=[wire.report(one) for one in reports])
        await self.write(_Request(reports=batch))

    async def send_happenings(self, happenings: Sequence[Happening]) -> None:
        """See the port."""
        batch = worker_pb2.Events(events=[wire.event(one, self._worker_id) for one in happenings])
        await self.write(_Request(events=batch))

    async def send_answers(self, answers: Sequence[TransferAnswer]) -> None:
        """See the port."""
        await self.write(_Request(transfer_answers=transfer_answers(answers)))

    async def send_files(self, files: Sequence[SessionFile]) -> None:
        """See the port."""
        await self.write(_Request(files=worker_pb2.Files(files=wire.announced(files))))
