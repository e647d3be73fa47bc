"""WatchEvents through a real gateway."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from tests.integration.gateway.conftest import Stage
from tests.integration.gateway.fakes import OPERATOR, VIEWER, bearer, error_info, messages
from tgfleet.gateway.v1 import fleet_pb2

SECRET = "the gold is under the oak"


async def one_message(_request: Any, _context: Any) -> AsyncIterator[Any]:
    yield fleet_pb2.WatchEventsResponse()
    yield messages([SECRET])
    await asyncio.Event().wait()


def watch(stage: Stage, token: str) -> Any:
    return stage.fleet.WatchEvents(fleet_pb2.WatchEventsRequest(), metadata=bearer(token))


@pytest.mark.parametrize(("token", "text"), [(VIEWER, ""), (OPERATOR, SECRET)])
async def test_operators_read_messages_and_viewers_do_not(stage: Stage, token: str, text: str) -> None:
    stage.scheduler.watch = one_message
    call = watch(stage, token)
    async with asyncio.timeout(10):
        assert len((await call.read()).events) == 0
        event = (await call.read()).events[0]
    assert (event.message_received.text, event.message_received.chat_id) == (text, 5)
    call.cancel()
    async with asyncio.timeout(5):
        await stage.scheduler.cancelled.wait()


async def test_a_watch_goes_over_to_the_next_leader(stage: Stage) -> None:
    for scheduler in stage.schedulers:
        scheduler.watch = one_message
    call = watch(stage, OPERATOR)
    async with asyncio.timeout(20):
        await call.read()
        await call.read()
        await stage.scheduler_servers[0].stop()
        await stage.scheduler_servers[1].set_serving(serving=True)
        assert (await call.read()).events[0].WhichOneof("kind") == "events_lost"
        assert (await call.read()).events[0].message_received.text == SECRET
    call.cancel()


async def test_a_stopping_gateway_ends_watches_at_once(stage: Stage) -> None:
    stage.scheduler.watch = one_message
    call = watch(stage, OPERATOR)
    async with asyncio.timeout(10):
        await call.read()
        await call.read()
        stage.life.stopping.set()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call.read()
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert error_info(caught.value).reason == "SHUTTING_DOWN"
