"""Workers without Telegram, for `benchmarks.start_all`: `python -m benchmarks.stub_workers COUNT CAPACITY`.

Each attaches to the scheduler as a worker does, acquires what it is told to start from the registry and
reports it as running at once, so that what is measured is ours alone. The same process serves the bare
baseline: one unary call that takes grants and answers a report for each. Addresses come in
TGFLEET_*_ENDPOINTS.
"""

from __future__ import annotations

import asyncio
import os
import sys
import uuid
from collections.abc import Sequence
from typing import Any

import grpc
import uvloop

from services.runtime.channels import open_channel
from tgfleet.gateway.v1 import fleet_pb2
from tgfleet.registry.v1 import registry_pb2, registry_pb2_grpc
from tgfleet.scheduler.v1 import scheduler_pb2, scheduler_pb2_grpc
from tgfleet.worker.v1 import worker_pb2

BATCH = 1_000
"""Sessions in one acquisition, the most that the registry allows."""
GATHER = 0.005
"""Seconds to let sessions gather into one call, as a worker does (services/worker/acquirer.py)."""
BARE_METHOD = "/bench.Bare/Start"
_BEAT_SECONDS, _BEATS_TO_RENEWAL = 0.5, 10


class _StubWorker:
    def __init__(self, worker_id: str, capacity: int, registry: Any, scheduler: Any) -> None:
        self._worker_id, self._capacity = worker_id, capacity
        self._incarnation = str(uuid.uuid4())
        self._registry = registry_pb2_grpc.RegistryServiceStub(registry)
        self._dispatcher = scheduler_pb2_grpc.DispatcherServiceStub(scheduler)
        self._leases: dict[int, registry_pb2.HeldLease] = {}
        self._running: dict[str, registry_pb2.Release] = {}
        self._wanted: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
        self._call: Any = None
        self._writing = asyncio.Lock()

    async def run(self) -> None:
        hello = worker_pb2.Hello(
            worker_id=self._worker_id, incarnation=self._incarnation, capacity=self._capacity
        )
        self._call = self._dispatcher.AttachWorker(wait_for_ready=True)
        await self._call.write(scheduler_pb2.AttachWorkerRequest(hello=hello))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._stay())
            tasks.create_task(self._acquire())
            while (message := await self._call.read()) is not grpc.aio.EOF:
                if message.HasField("start"):
                    for session in message.start.sessions:
                        self._wanted.put_nowait((session.account_id, message.start.command_id))
                if message.HasField("stop"):
                    tasks.create_task(self._stop(message.stop))

    async def _stay(self) -> None:
        for sequence in range(1, sys.maxsize):
            beat = worker_pb2.Heartbeat(sequence=sequence, sessions=len(self._running))
            await self._say(scheduler_pb2.AttachWorkerRequest(heartbeat=beat))
            if self._leases and sequence % _BEATS_TO_RENEWAL == 0:
                await self._registry.RenewLeases(
                    registry_pb2.RenewLeasesRequest(lease_ids=list(self._leases), **self._owner())
                )
            await asyncio.sleep(_BEAT_SECONDS)

    def _owner(self) -> dict[str, str]:
        return {"worker_id": self._worker_id, "incarnation": self._incarnation}

    async def _acquire(self) -> None:
        """One call at a time, with everything that is wanted by then."""
        while True:
            some = [await self._wanted.get()]
            await asyncio.sleep(GATHER)
            while len(some) < BATCH and not self._wanted.empty():
                some.append(self._wanted.get_nowait())
            request = registry_pb2.AcquireSessionsRequest(
                worker_id=self._worker_id,
                incarnation=self._incarnation,
                request_id=str(uuid.uuid4()),
                items=[registry_pb2.AcquireItem(account_id=account_id) for account_id, _ in some],
                leases=self._leases.values(),
            )
            answer = await self._registry.AcquireSessions(request)
            for lease in answer.leases:
                self._leases[lease.lease_id] = registry_pb2.HeldLease(
                    lease_id=lease.lease_id, settle=lease.settle
                )
            results = zip(answer.results, some, strict=True)
            await self._report([self._granted(result, command_id) for result, (_, command_id) in results])

    def _granted(self, result: registry_pb2.AcquireResult, command_id: str) -> worker_pb2.SessionReport:
        assert result.HasField("grant"), result.refusal.detail
        grant = result.grant
        self._leases[grant.lease_id].sessions += 1
        self._running[result.account_id] = registry_pb2.Release(
            account_id=result.account_id, auth_key_id=grant.auth_key_id, token=grant.token, clean=True
        )
        report = _report(result.account_id, command_id, fleet_pb2.SESSION_STATE_RUNNING)
        report.token.CopyFrom(grant.token)
        return report

    async def _stop(self, command: worker_pb2.StopSessions) -> None:
        ids = list(command.account_ids)
        for start in range(0, len(ids), BATCH):
            some = ids[start : start + BATCH]
            releases = [self._running.pop(i) for i in some if i in self._running]
            await self._registry.ReleaseSessions(
                registry_pb2.ReleaseSessionsRequest(releases=releases, **self._owner())
            )
            if not self._running:
                self._leases.clear()
            reports = [_report(i, command.command_id, fleet_pb2.SESSION_STATE_STOPPED) for i in some]
            for report in reports:
                report.released = True
            await self._report(reports)

    async def _report(self, reports: Sequence[worker_pb2.SessionReport]) -> None:
        message = scheduler_pb2.AttachWorkerRequest(reports=worker_pb2.SessionReports(reports=reports))
        await self._say(message)

    async def _say(self, message: scheduler_pb2.AttachWorkerRequest) -> None:
        """gRPC allows one write at a time."""
        async with self._writing:
            await self._call.write(message)


def _report(
    account_id: str, command_id: str, state: fleet_pb2.SessionState.ValueType
) -> worker_pb2.SessionReport:
    report = worker_pb2.SessionReport(account_id=account_id, command_id=command_id, state=state)
    report.state_time.GetCurrentTime()
    return report


async def _bare_start(
    request: registry_pb2.AcquireSessionsResponse, _context: Any
) -> worker_pb2.SessionReports:
    running = fleet_pb2.SESSION_STATE_RUNNING
    return worker_pb2.SessionReports(
        reports=[_report(result.account_id, "bare", running) for result in request.results]
    )


async def _serve_bare() -> tuple[grpc.aio.Server, int]:
    service, method = BARE_METHOD.strip("/").split("/")
    handler = grpc.unary_unary_rpc_method_handler(
        _bare_start,
        request_deserializer=registry_pb2.AcquireSessionsResponse.FromString,
        response_serializer=worker_pb2.SessionReports.SerializeToString,
    )
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {method: handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    return server, port


async def _main(count: int, capacity: int) -> None:
    server, port = await _serve_bare()
    registry = open_channel(os.environ["TGFLEET_REGISTRY_ENDPOINTS"])
    scheduler = open_channel(os.environ["TGFLEET_SCHEDULER_ENDPOINTS"], health_checked=True)
    async with asyncio.TaskGroup() as tasks:
        workers = [
            tasks.create_task(_StubWorker(f"stub-{n}", capacity, registry, scheduler).run())
            for n in range(1, count + 1)
        ]
        print(port, flush=True)
        await asyncio.to_thread(sys.stdin.read)
        for worker in workers:
            worker.cancel()
    await server.stop(0)
    await registry.close()
    await scheduler.close()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_main(int(sys.argv[1]), int(sys.argv[2])))
