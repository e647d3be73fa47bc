"""Ten thousand accounts over stub workers: everybody answered once, and how long it took."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable

import grpc

from tests.integration.scheduler.processes import Scheduler
from tests.integration.scheduler.stubs import StubRegistry, StubWorker
from tgfleet.gateway.v1 import result_pb2
from tgfleet.scheduler.v1 import scheduler_pb2, scheduler_pb2_grpc

ACCOUNTS = 10_000
WORKERS = 20
BOUND = 30.0


async def test_ten_thousand_accounts_start_and_each_is_answered_once(
    registry: StubRegistry, make_scheduler: Callable[..., Scheduler], make_worker: Callable[..., StubWorker]
) -> None:
    for number in range(ACCOUNTS):
        registry.add(f"n{number}")
    scheduler = make_scheduler(TGFLEET_LEADER_TTL="30s")  # a busy machine is no reason to stop leading here
    await scheduler.serving()
    workers = [make_worker(f"w{n}", scheduler, capacity=600).start() for n in range(WORKERS)]
    for worker in workers:
        await worker.attached.wait()
    for word in (result_pb2.OUTCOME_STARTED, result_pb2.OUTCOME_ALREADY_RUNNING):
        request = scheduler_pb2.RunFleetCallRequest(
            kind=scheduler_pb2.FLEET_CALL_KIND_START_ALL, request_id=str(uuid.uuid4())
        )
        began = time.perf_counter()
        first = 0.0
        seen: set[str] = set()
        messages = 0
        async with grpc.aio.insecure_channel(f"127.0.0.1:{scheduler.port}") as channel:
            stub = scheduler_pb2_grpc.SchedulerServiceStub(channel)
            async for message in stub.RunFleetCall(request, timeout=BOUND):
                for result in message.results:
                    first = first or time.perf_counter() - began
                    assert result.outcome == word
                    assert result.account_id not in seen
                    seen.add(result.account_id)
                messages += 1
        total = time.perf_counter() - began
        assert len(seen) == ACCOUNTS
        print(
            f"{result_pb2.Outcome.Name(word)}: first {first * 1000:.0f} ms, all {total * 1000:.0f} ms, "
            f"{messages} messages"
        )
    assert sum(len(worker.sessions) for worker in workers) == ACCOUNTS
    await asyncio.sleep(0)
