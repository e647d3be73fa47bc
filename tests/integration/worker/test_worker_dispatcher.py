"""The connection to the scheduler when gRPC's own part of it is stuck."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.runtime.addresses import Endpoints
from services.runtime.errors import Unavailable
from services.worker.adapters import dispatcher
from services.worker.adapters.dispatcher import GrpcDispatcher, scheduler_channel
from services.worker.domain.picture import Picture
from services.worker.ports import STUCK, Attachment
from tests.integration.worker.rig import FakeDispatcher
from tgfleet.scheduler.v1 import scheduler_pb2_grpc

NOTHING = Picture(sessions=(), files=(), draining=False, order_ids=())


class DumbHealth(health_pb2_grpc.HealthServicer):
    """Never answers the first watch of its health; the others at once."""

    def __init__(self) -> None:
        self.watches = 0

    async def Watch(self, _request: Any, _context: Any) -> AsyncIterator[Any]:  # noqa: N802
        self.watches += 1
        if self.watches > 1:
            yield health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING)
        await asyncio.Event().wait()


@asynccontextmanager
async def scheduler(health: DumbHealth) -> AsyncIterator[tuple[str, FakeDispatcher]]:
    server = grpc.aio.server()
    fake = FakeDispatcher()
    scheduler_pb2_grpc.add_DispatcherServiceServicer_to_server(fake, server)
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}", fake
    finally:
        await server.stop(0)


@pytest.fixture(autouse=True)
def short_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatcher, "_WRITE_LIMIT", 0.5)


async def test_a_channel_that_is_stuck_is_replaced() -> None:
    health = DumbHealth()
    async with scheduler(health) as (address, fake):
        endpoints = Endpoints.parse(address)
        worker = GrpcDispatcher(lambda: scheduler_channel(endpoints, None), "w", "i", 5)

        async def hello(_attachment: Attachment) -> None:
            await fake.until(lambda: fake.hellos)

        with pytest.raises(Unavailable) as stuck:
            await worker.attach(NOTHING, hello)
        assert stuck.value.reason == STUCK
        await worker.attach(NOTHING, hello)
        assert [one.worker_id for one in fake.hellos] == ["w"]
        await worker.close()


async def test_a_stream_that_ended_is_no_stuck_channel() -> None:
    health = DumbHealth()
    health.watches = 1  # the dumb one is over
    async with scheduler(health) as (address, fake):
        endpoints = Endpoints.parse(address)
        made: list[grpc.aio.Channel] = []

        def connect() -> grpc.aio.Channel:
            made.append(scheduler_channel(endpoints, None))
            return made[-1]

        worker = GrpcDispatcher(connect, "w", "i", 5)

        async def speak_after_the_end(attachment: Attachment) -> None:
            await fake.until(lambda: fake.hellos)
            fake.drop_streams()
            async for _ in attachment.orders():
                pass
            await attachment.heartbeat(1, 0)

        with pytest.raises(Unavailable) as ended:
            await worker.attach(NOTHING, speak_after_the_end)
        assert ended.value.reason != STUCK
        assert len(made) == 1
        await worker.close()
