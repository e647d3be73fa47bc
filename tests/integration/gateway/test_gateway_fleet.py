"""Fleet calls through a real gateway: lost leaders, joining, cancelling, deadlines, two gateways."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from services.runtime.errors import NotFound
from tests.integration.gateway.conftest import Stage, start_gateway
from tests.integration.gateway.fakes import (
    OPERATOR,
    VIEWER,
    bearer,
    error_info,
    quick_life,
    selection,
    started,
)
from tgfleet.gateway.v1 import fleet_pb2, fleet_pb2_grpc, result_pb2
from tgfleet.scheduler.v1 import scheduler_pb2

METADATA = bearer(OPERATOR)
A, B, C = (f"acc_{number:012d}" for number in (1, 2, 3))


async def collect(call: Any) -> tuple[list[result_pb2.AccountResult], result_pb2.FleetSummary]:
    """All results, and the summary, which must be the last message and the only one."""
    results: list[result_pb2.AccountResult] = []
    summary = None
    async for message in call:
        assert summary is None
        assert message.HasField("summary") or len(message.results) > 0
        results += message.results
        summary = message.summary if message.HasField("summary") else None
    assert summary is not None
    assert summary.total == len(results) == sum(summary.by_outcome.values())
    return results, summary


async def hang_after_first(request: Any, _context: Any) -> AsyncIterator[Any]:
    yield selection(A, B)
    yield started(A)
    await asyncio.Event().wait()


@pytest.mark.parametrize("name", ["StartAll", "StopAll", "StartChat", "StopChat"])
async def test_each_call_reaches_the_scheduler_as_itself(stage: Stage, name: str) -> None:
    request = getattr(fleet_pb2, f"{name}Request")(account_ids=[A, B], request_id="r-1")
    results, _ = await collect(getattr(stage.fleet, name)(request, metadata=METADATA, timeout=20))
    assert [r.account_id for r in results] == [A, B]
    asked = stage.scheduler.calls[0]
    kinds = {
        "StartAll": "START_ALL",
        "StopAll": "STOP_ALL",
        "StartChat": "START_CHAT",
        "StopChat": "STOP_CHAT",
    }
    assert asked.kind == scheduler_pb2.FleetCallKind.Value(f"FLEET_CALL_KIND_{kinds[name]}")
    assert (list(asked.account_ids), asked.request_id) == ([A, B], "r-1")


async def test_deadline_wait_for_and_request_id_are_passed_on(stage: Stage) -> None:
    request = fleet_pb2.StartAllRequest(match_labels={"team": "eu"})
    request.wait_for.FromSeconds(7)
    metadata = (*METADATA, ("x-request-id", "trace-9"))
    await collect(stage.fleet.StartAll(request, metadata=metadata, timeout=33))
    asked = stage.scheduler.calls[0]
    assert dict(asked.match_labels) == {"team": "eu"}
    assert asked.wait_for.ToSeconds() == 7
    assert len(asked.request_id) >= 16  # made by the gateway
    assert 30 < (stage.scheduler.deadlines[0] or 0) < 32.5  # the call's time, less the gateway's margin
    assert stage.scheduler.request_ids == ["trace-9"]


async def test_without_a_deadline_the_default_counts(stage: Stage) -> None:
    await collect(stage.fleet.StartAll(fleet_pb2.StartAllRequest(), metadata=METADATA))
    assert 55 < (stage.scheduler.deadlines[0] or 0) < 60.5


async def test_exactly_one_result_for_each_account_over_a_lost_leader(stage: Stage) -> None:
    stage.scheduler.run = hang_after_first
    call = stage.fleet.StartAll(fleet_pb2.StartAllRequest(request_id="r-2"), metadata=METADATA, timeout=30)
    seen = [r.account_id for r in (await call.read()).results]
    await stage.scheduler_servers[0].stop()
    await stage.scheduler_servers[1].set_serving(serving=True)
    summary = None
    while (message := await call.read()) is not grpc.aio.EOF:
        seen += [r.account_id for r in message.results]
        summary = message.summary
    assert seen == [A, B]
    assert summary is not None
    assert dict(summary.by_outcome) == {"STARTED": 2}
    again = stage.schedulers[1].calls
    assert [(list(c.account_ids), c.request_id) for c in again] == [([B], "r-2")]


async def test_at_the_callers_deadline_the_rest_is_still_starting(stage: Stage) -> None:
    stage.scheduler.run = hang_after_first
    results, summary = await collect(
        stage.fleet.StartAll(fleet_pb2.StartAllRequest(), metadata=METADATA, timeout=3)
    )
    assert [(r.account_id, r.reason) for r in results] == [(A, 0), (B, result_pb2.REASON_STILL_STARTING)]
    assert results[1].name == "bob"
    assert dict(summary.by_outcome) == {"STARTED": 1, "WAITING": 1}


async def test_a_caller_that_goes_away_ends_the_inner_call(stage: Stage) -> None:
    stage.scheduler.run = hang_after_first
    call = stage.fleet.StartAll(fleet_pb2.StartAllRequest(), metadata=METADATA, timeout=30)
    await call.read()
    call.cancel()
    async with asyncio.timeout(5):
        await stage.scheduler.cancelled.wait()


async def test_what_the_scheduler_says_of_the_request_is_passed_on(stage: Stage) -> None:
    async def nobody(_request: Any, _context: Any) -> AsyncIterator[Any]:
        raise NotFound("No account.", reason="NO_ACCOUNT_SELECTED", metadata={"label": "x"})
        yield

    stage.scheduler.run = nobody
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await collect(stage.fleet.StartAll(fleet_pb2.StartAllRequest(), metadata=METADATA, timeout=10))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert (error_info(caught.value).reason, caught.value.details()) == ("NO_ACCOUNT_SELECTED", "No account.")
    assert error_info(caught.value).metadata["label"] == "x"


async def test_an_internal_text_does_not_leak(stage: Stage) -> None:
    async def broken(_request: Any, _context: Any) -> AsyncIterator[Any]:
        raise RuntimeError("password=hunter2 in table sessions")
        yield

    stage.scheduler.run = broken
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await collect(stage.fleet.StartAll(fleet_pb2.StartAllRequest(), metadata=METADATA, timeout=10))
    assert caught.value.code() is grpc.StatusCode.INTERNAL
    assert "hunter2" not in str(caught.value)
    assert "incident" in error_info(caught.value).metadata


async def test_two_gateways_ask_with_the_same_id(stage: Stage) -> None:
    other = await start_gateway(stage.registry_server, stage.scheduler_servers, quick_life())
    async with grpc.aio.insecure_channel(str(other.address)) as channel:
        request = fleet_pb2.StartAllRequest(request_id="together")
        stubs = stage.fleet, fleet_pb2_grpc.FleetServiceStub(channel)
        answers = await asyncio.gather(
            *(collect(stub.StartAll(request, metadata=METADATA, timeout=20)) for stub in stubs)
        )
    await other.stop()
    assert [[r.account_id for r in results] for results, _ in answers] == [[A, B]] * 2
    assert [c.request_id for c in stage.scheduler.calls] == ["together"] * 2


async def test_unary_calls_wait_for_a_leader(stage: Stage) -> None:
    await stage.scheduler_servers[0].set_serving(serving=False)
    call = asyncio.ensure_future(
        stage.fleet.GetFleetStatus(fleet_pb2.GetFleetStatusRequest(), metadata=bearer(VIEWER), timeout=20)
    )
    await asyncio.sleep(0.3)
    await stage.scheduler_servers[1].set_serving(serving=True)
    assert (await call).term == 7


async def test_without_any_leader_a_status_is_unavailable(stage: Stage) -> None:
    await stage.scheduler_servers[0].stop()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stage.fleet.GetFleetStatus(
            fleet_pb2.GetFleetStatusRequest(), metadata=bearer(VIEWER), timeout=3
        )
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_drain_answers_before_the_callers_deadline(stage: Stage) -> None:
    request = fleet_pb2.DrainWorkerRequest(worker_id="w1")
    request.timeout.FromSeconds(600)
    await stage.fleet.DrainWorker(request, metadata=METADATA, timeout=20)
    await stage.fleet.DrainWorker(fleet_pb2.DrainWorkerRequest(worker_id="w1"), metadata=METADATA)
    (clamped, _), (default, allowed) = stage.scheduler.drained
    assert 18 <= clamped.timeout.ToSeconds() <= 19
    assert default.timeout.ToSeconds() == 60
    assert allowed > 60
