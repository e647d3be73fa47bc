"""What use cases may expect of a FleetScheduler: the unit tests' fake and the real adapter keep one word."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, aclosing
from typing import Any

import pytest

from services.gateway.adapters.scheduler import GrpcScheduler
from services.gateway.ports import FleetCall, FleetCallKind, FleetScheduler
from services.runtime.channels import open_channel
from services.runtime.errors import NotFound, TgfleetError, Unavailable
from tests.integration.gateway.fakes import FakeScheduler, selection, serve_scheduler
from tests.integration.gateway.fakes import started as results
from tests.unit.gateway.test_gateway_fleet_calls import Schedulers, script, selected, started

CALL = FleetCall(FleetCallKind.STOP_ALL, "r-7", account_ids=("a", "b"))
Make = Callable[[TgfleetError | None], Awaitable[FleetScheduler]]


@pytest.fixture(params=["fake", "grpc"])
async def make(request: pytest.FixtureRequest) -> AsyncIterator[Make]:
    """Makes a scheduler that selects a and b, answers a, and then raises or falls silent."""
    async with AsyncExitStack() as stack:

        async def grpc_scheduler(error: TgfleetError | None) -> FleetScheduler:
            fake = FakeScheduler(_script(error))
            server = await serve_scheduler(fake)
            stack.push_async_callback(server.stop)
            channel = open_channel(str(server.address), health_checked=True)
            stack.push_async_callback(channel.close)
            return GrpcScheduler(channel)

        async def fake_scheduler(error: TgfleetError | None) -> FleetScheduler:
            silence: Any = error if error is not None else 60.0
            # The fake has the part of the port that fleet calls use.
            return Schedulers(script(selected("a", "b"), started("a"), silence))  # type: ignore[return-value]

        yield grpc_scheduler if request.param == "grpc" else fake_scheduler


def _script(error: TgfleetError | None) -> Any:
    async def said(_request: Any, _context: Any) -> AsyncIterator[Any]:
        yield selection("a", "b")
        yield results("a")
        if error is not None:
            raise error
        await asyncio.Event().wait()

    return said


async def test_the_selection_comes_first_and_once(make: Make) -> None:
    scheduler = await make(None)
    async with aclosing(scheduler.run(CALL, 20)) as answers:
        first, second = await anext(answers), await anext(answers)
    assert (list(first.selected or ()), list(first.results)) == (["a", "b"], [])
    assert (second.selected, [r.account_id for r in second.results]) == (None, ["a"])


@pytest.mark.parametrize(
    "error",
    [Unavailable("Gone.", reason="NOT_LEADER"), NotFound("No.", reason="ACCOUNT_NOT_FOUND")],
)
async def test_errors_come_as_they_were_meant(make: Make, error: TgfleetError) -> None:
    scheduler = await make(error)
    async with aclosing(scheduler.run(CALL, 20)) as answers:
        await anext(answers)
        await anext(answers)
        with pytest.raises(type(error)) as caught:
            await anext(answers)
    assert caught.value.reason == error.reason
