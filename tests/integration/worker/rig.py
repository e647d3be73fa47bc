"""A worker's whole world for tests: testdc, a registry and a scheduler that speak the real protos, in this
process.

The fakes keep the contract's rules (tokens, leases that run out, idempotent acquire) and can misbehave on
command; the worker under test runs in this process (`InProcess`) or as a real one (`WorkerProcess`).
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from services.testdc.embed import Account
from tgfleet.gateway.v1 import account_pb2, fleet_pb2, result_pb2
from tgfleet.registry.v1 import registry_pb2, registry_pb2_grpc
from tgfleet.scheduler.v1 import scheduler_pb2, scheduler_pb2_grpc
from tgfleet.worker.v1 import transfer_pb2, worker_pb2

RUNNING = fleet_pb2.SESSION_STATE_RUNNING
RECONNECTING = fleet_pb2.SESSION_STATE_RECONNECTING
STOPPED = fleet_pb2.SESSION_STATE_STOPPED
FAILED = fleet_pb2.SESSION_STATE_FAILED
WAIT = 15.0


def span(seconds: float) -> Duration:
    out = Duration()
    out.FromTimedelta(timedelta(seconds=seconds))
    return out


def stamp(when: datetime) -> Timestamp:
    out = Timestamp()
    out.FromDatetime(when.astimezone(UTC))
    return out


@dataclass
class Enrolled:
    """An account that the fake registry knows."""

    account: Account
    in_vault: bool = True
    user_id: int = 0
    proxy: str = ""
    policy: account_pb2.ChatPolicy = field(default_factory=account_pb2.ChatPolicy)
    refusal: registry_pb2.SessionRefusal | None = None
    waits: list[result_pb2.FloodWait] = field(default_factory=list)


class FakeRegistry(registry_pb2_grpc.RegistryServiceServicer):
    """Grants, renews and releases by the book, from memory."""

    def __init__(self, ttl: float, settle: float) -> None:
        self.ttl, self.settle = ttl, settle
        self.accounts: dict[str, Enrolled] = {}
        self.holders: dict[str, tuple[str, int]] = {}
        self.leases: dict[int, float] = {}
        self.answers: dict[str, registry_pb2.AcquireSessionsResponse] = {}
        self.acquires: list[registry_pb2.AcquireSessionsRequest] = []
        self.releases: list[registry_pb2.Release] = []
        self.facts: dict[str, registry_pb2.Fact] = {}
        self.fact_calls = 0
        self.renewals = 0
        self.down = False
        self.lose_answers = 0
        self.forget_leases = False
        self._revision = itertools.count(100)
        self.changed = asyncio.Event()

    async def _check(self, context: Any) -> None:
        if self.down:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "down on purpose")

    async def AcquireSessions(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self._check(context)
        self.acquires.append(request)
        answer = self.answers.get(request.request_id) or self._acquire(request)
        self.answers[request.request_id] = answer
        if self.lose_answers > 0:
            self.lose_answers -= 1
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the answer was lost on purpose")
        return answer

    def _acquire(self, request: Any) -> Any:
        answer = registry_pb2.AcquireSessionsResponse()
        lease_id = request.leases[0].lease_id if request.leases else 0
        if not lease_id:
            lease_id = 7_000 + len(self.leases)
            self.leases[lease_id] = time.monotonic() + self.ttl + self.settle
            answer.leases.add(lease_id=lease_id, ttl=span(self.ttl), settle=span(self.settle))
        for item in request.items:
            result = answer.results.add(account_id=item.account_id)
            self._grant(request, item, result, lease_id)
        return answer

    def _grant(self, request: Any, item: Any, result: Any, lease_id: int) -> None:
        enrolled = self.accounts[item.account_id]
        key = item.auth_key_id or enrolled.account.auth_key_id
        if enrolled.refusal is not None:
            result.refusal.CopyFrom(enrolled.refusal)
            return
        if key in self.holders:
            result.refusal.outcome = result_pb2.OUTCOME_WAITING
            result.refusal.reason = result_pb2.REASON_LEASE_HELD
            return
        revision = next(self._revision)
        self.holders[key] = (request.incarnation, revision)
        grant = result.grant
        grant.token.generation, grant.token.revision = 1, revision
        grant.lease_id, grant.auth_key_id = lease_id, key
        grant.user_id = enrolled.user_id or enrolled.account.user_id
        grant.name, grant.time_zone, grant.proxy = item.account_id, "UTC", enrolled.proxy
        grant.chat_policy.CopyFrom(enrolled.policy)
        grant.flood_waits.extend(enrolled.waits)
        if enrolled.in_vault:
            grant.session.dc_id, grant.session.auth_key = enrolled.account.dc_id, enrolled.account.auth_key

    async def RenewLeases(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self._check(context)
        self.renewals += 1
        answer = registry_pb2.RenewLeasesResponse()
        for lease_id in request.lease_ids:
            held = not self.forget_leases and self.leases.get(lease_id, 0) > time.monotonic()
            if held:
                self.leases[lease_id] = time.monotonic() + self.ttl + self.settle
            answer.leases.add(lease_id=lease_id, held=held)
        return answer

    async def ReleaseSessions(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self._check(context)
        answer = registry_pb2.ReleaseSessionsResponse()
        for release in request.releases:
            self.releases.append(release)
            mine = self.holders.get(release.auth_key_id) == (request.incarnation, release.token.revision)
            if mine:
                del self.holders[release.auth_key_id]
            answer.released.append(mine)
        self.changed.set()
        return answer

    async def ReportFacts(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.fact_calls += 1
        await self._check(context)
        self.facts |= {fact.fact_id: fact for fact in request.facts}
        self.changed.set()
        return registry_pb2.ReportFactsResponse()

    def kinds(self, account_id: str) -> list[str]:
        return [f.WhichOneof("kind") for f in self.facts.values() if f.account_id == account_id]


class FakeDispatcher(scheduler_pb2_grpc.DispatcherServiceServicer):
    """Takes in what a worker says; says what a test wants."""

    def __init__(self, heartbeat: float = 0.2) -> None:
        self.heartbeat = heartbeat
        self.term = 1
        self.hellos: list[worker_pb2.Hello] = []
        self.reports: list[worker_pb2.SessionReport] = []
        self.events: list[Any] = []
        self.files: list[Any] = []
        self.beats = 0
        self.answers: list[Any] = []
        """Answers to transfer orders, as they came."""
        self._orders = itertools.count(1)
        self.changed = asyncio.Condition()
        self._outgoing: list[asyncio.Queue[Any]] = []
        self._commands = itertools.count(1)

    async def AttachWorker(self, requests: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        outgoing: asyncio.Queue[Any] = asyncio.Queue()
        hello = await anext(aiter(requests))
        self._outgoing.append(outgoing)
        reader = asyncio.create_task(self._read(requests, outgoing))
        try:
            async with self.changed:
                self.hellos.append(hello.hello)
                self.changed.notify_all()
            welcome = worker_pb2.Welcome(heartbeat_period=span(self.heartbeat))
            yield scheduler_pb2.AttachWorkerResponse(term=self.term, welcome=welcome)
            users = worker_pb2.FleetUsers()
            yield scheduler_pb2.AttachWorkerResponse(term=self.term, fleet_users=users)
            while (message := await outgoing.get()) is not None:
                yield message
        finally:
            reader.cancel()
            if outgoing in self._outgoing:
                self._outgoing.remove(outgoing)

    async def _read(self, requests: Any, outgoing: asyncio.Queue[Any]) -> None:
        async for request in requests:
            async with self.changed:
                self.reports.extend(request.reports.reports)
                self.events.extend(request.events.events)
                self.files.extend([request.files] if request.HasField("files") else [])
                self.beats += request.HasField("heartbeat")
                self.answers.extend(request.transfer_answers.answers)
                self.changed.notify_all()
        await outgoing.put(None)

    def send(self, term: int | None = None, **command: Any) -> None:
        for outgoing in self._outgoing:
            outgoing.put_nowait(
                scheduler_pb2.AttachWorkerResponse(term=self.term if term is None else term, **command)
            )

    def drop_streams(self) -> None:
        for outgoing in self._outgoing:
            outgoing.put_nowait(None)

    def start(self, account_ids: Iterable[str], *, chat: bool = False, file: str = "", **more: Any) -> str:
        command_id = f"start-{next(self._commands)}"
        sessions = [worker_pb2.StartSession(account_id=a, chat=chat, session_file=file) for a in account_ids]
        self.send(start=worker_pb2.StartSessions(command_id=command_id, sessions=sessions), **more)
        return command_id

    def stop(self, account_ids: Iterable[str]) -> str:
        command_id = f"stop-{next(self._commands)}"
        self.send(stop=worker_pb2.StopSessions(command_id=command_id, account_ids=list(account_ids)))
        return command_id

    def order(
        self, account_id: str, token: Any, *, limit: float = 10.0, order_id: str = "", **work: Any
    ) -> str:
        """Gives one transfer order: `send=...`, `read=...`, `inspect=...` or `look=...`."""
        order_id = order_id or f"tr/1/{next(self._orders)}/1"
        order = transfer_pb2.TransferOrder(
            order_id=order_id, account_id=account_id, token=token, limit=span(limit), **work
        )
        self.send(transfer_orders=transfer_pb2.TransferOrders(orders=[order]))
        return order_id

    async def until_order(self, order_id: str, limit: float = WAIT) -> Any:
        """The first answer to an order."""
        return await self.until(
            lambda: next((a for a in self.answers if a.order_id == order_id), None), limit
        )

    async def until(self, done: Callable[[], Any], limit: float = WAIT) -> Any:
        """Waits for something that reports, events or hellos make true."""
        async with asyncio.timeout(limit), self.changed:
            await self.changed.wait_for(lambda: bool(done()))
        return done()

    def last(self, account_id: str) -> worker_pb2.SessionReport | None:
        return next((r for r in reversed(self.reports) if r.account_id == account_id), None)

    async def until_state(self, account_id: str, *states: int, limit: float = WAIT) -> Any:
        """The last report, once it has one of the states."""

        def there() -> bool:
            last = self.last(account_id)
            return last is not None and last.state in states

        await self.until(there, limit)
        return self.last(account_id)

    async def until_answered(self, command_id: str, account_id: str, limit: float = WAIT) -> Any:
        """The report that ends a start: RUNNING, or an outcome."""

        def answer() -> Any:
            return next(
                (
                    r
                    for r in self.reports
                    if r.command_id == command_id
                    and r.account_id == account_id
                    and (r.state in {RUNNING, STOPPED, FAILED})
                ),
                None,
            )

        return await self.until(answer, limit)


class House:
    """Both fakes behind one gRPC server each."""

    def __init__(self, ttl: float = 3.0, settle: float = 1.0) -> None:
        self.registry = FakeRegistry(ttl, settle)
        self.dispatcher = FakeDispatcher()
        self.registry_port = self.scheduler_port = 0

    async def __aenter__(self) -> Self:
        self._servers = [grpc.aio.server(), grpc.aio.server()]
        registry_pb2_grpc.add_RegistryServiceServicer_to_server(self.registry, self._servers[0])
        scheduler_pb2_grpc.add_DispatcherServiceServicer_to_server(self.dispatcher, self._servers[1])
        self.registry_port, self.scheduler_port = (
            server.add_insecure_port("127.0.0.1:0") for server in self._servers
        )
        for server in self._servers:
            serving = health.aio.HealthServicer()
            await serving.set("", health_pb2.HealthCheckResponse.SERVING)
            health_pb2_grpc.add_HealthServicer_to_server(serving, server)
            await server.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        for server in self._servers:
            await server.stop(0)

    def enrol(self, account_id: str, account: Account, **more: Any) -> None:
        self.registry.accounts[account_id] = Enrolled(account, **more)


async def eventually(check: Callable[[], Any], limit: float = WAIT, what: str = "") -> Any:
    """Polls until the check is true."""
    ends = time.monotonic() + limit
    while not (found := check()):
        assert time.monotonic() < ends, f"not within {limit} s: {what or check}"
        await asyncio.sleep(0.01)
    return found


class WorkerProcess:
    """The real thing, as its own process."""

    def __init__(self, environ: dict[str, str]) -> None:
        self._environ = environ
        self.process: asyncio.subprocess.Process | None = None
        self.log = b""

    async def __aenter__(self) -> Self:
        clean = {k: v for k, v in os.environ.items() if not k.startswith("TGFLEET_")}
        self.process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "services.worker",
            env=clean | self._environ,
            cwd=Path(__file__).resolve().parents[3],
            stderr=asyncio.subprocess.PIPE,
        )
        self._reader = asyncio.create_task(self._read())
        return self

    async def _read(self) -> None:
        assert self.process is not None
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            self.log += line

    async def stop(self) -> int:
        assert self.process is not None
        if self.process.returncode is None:
            self.process.terminate()
        async with asyncio.timeout(20):
            code = await self.process.wait()
        await self._reader
        return code

    async def __aexit__(self, *_: object) -> None:
        assert self.process is not None
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()
            await self.process.wait()
        await self._reader


def environ(house: House, dc: Any, **more: str) -> dict[str, str]:
    """The worker's environment in this house."""
    return {
        "TGFLEET_WORKER_ID": "w-test",
        "TGFLEET_REGISTRY_ENDPOINTS": f"127.0.0.1:{house.registry_port}",
        "TGFLEET_SCHEDULER_ENDPOINTS": f"127.0.0.1:{house.scheduler_port}",
        "TGFLEET_TELEGRAM_API_ID": "12345",
        "TGFLEET_TELEGRAM_API_HASH": "0123456789abcdef0123456789abcdef",
        "TGFLEET_TELEGRAM_DC": f"{dc.host}:{dc.port}",
        "TGFLEET_TELEGRAM_RSA_KEY": str(dc.rsa_key_path),
        "TGFLEET_METRICS_LISTEN": "off",
        "TGFLEET_CONNECT_TIMEOUT": "3s",
        "TGFLEET_PING_INTERVAL": "1s",
        "TGFLEET_PROBE_INTERVAL": "2s",
        **more,
    }
