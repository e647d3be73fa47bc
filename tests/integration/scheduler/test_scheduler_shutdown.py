"""A scheduler that is told to stop: quickly, cleanly, and so that the next one need not wait."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import grpc
import pytest

from tests.integration.scheduler.calls import START_ALL, fleet_call
from tests.integration.scheduler.processes import Scheduler
from tests.integration.scheduler.stubs import StubRegistry, StubWorker
from tgfleet.scheduler.v1 import scheduler_pb2, scheduler_pb2_grpc


async def test_a_stop_ends_all_streams_and_hands_over_at_once(
    registry: StubRegistry, make_scheduler: Callable[..., Scheduler], make_worker: Callable[..., StubWorker]
) -> None:
    registry.add("ann")
    scheduler = make_scheduler(TGFLEET_LEADER_TTL="30s")
    await scheduler.serving()
    standby = make_scheduler(TGFLEET_LEADER_TTL="30s")
    await standby.standing_by()
    worker = make_worker("w1", scheduler, standby)
    worker.answer = lambda _account, _command: None
    worker.start()
    await worker.attached.wait()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{scheduler.port}") as channel:
        events = scheduler_pb2_grpc.SchedulerServiceStub(channel).WatchEvents(
            scheduler_pb2.WatchEventsRequest()
        )
        await events.read()
        call = asyncio.create_task(fleet_call(scheduler, START_ALL))
        await asyncio.sleep(0.3)
        stopping = time.monotonic()
        assert await scheduler.stop() == 0
        stopped = time.monotonic()
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await read_to_the_end(events)
        assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
        with pytest.raises(grpc.aio.AioRpcError) as lost:
            await call
        assert lost.value.code() is grpc.StatusCode.UNAVAILABLE
    assert stopped - stopping < 4.0, scheduler.tail()
    await standby.serving(within=8)


async def read_to_the_end(stream: Any) -> None:
    while await stream.read() is not grpc.aio.EOF:
        pass


async def test_bad_settings_are_one_sentence(make_scheduler: Callable[..., Scheduler]) -> None:
    scheduler = make_scheduler(TGFLEET_SCHEDULER_DATABASE_URL="nonsense")
    assert scheduler.process is not None
    assert await asyncio.to_thread(scheduler.process.wait, 20) == 2
    assert scheduler.tail().count("\n") == 0
    assert "TGFLEET_SCHEDULER_DATABASE_URL" in scheduler.tail()
