"""A registry and workers made of nothing but their gRPC interfaces, for tests of the real scheduler
process."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any, Self

import grpc

from tgfleet.gateway.v1 import account_pb2, fleet_pb2, result_pb2
from tgfleet.registry.v1 import registry_pb2, registry_pb2_grpc
from tgfleet.scheduler.v1 import scheduler_pb2, scheduler_pb2_grpc
from tgfleet.worker.v1 import worker_pb2

RUNNING = fleet_pb2.SESSION_STATE_RUNNING
STARTING = fleet_pb2.SESSION_STATE_STARTING
STOPPED = fleet_pb2.SESSION_STATE_STOPPED
FAILED = fleet_pb2.SESSION_STATE_FAILED


class StubRegistry(registry_pb2_grpc.RegistryServiceServicer):
    """Accounts in a dict; every change is streamed to all watchers."""

    def __init__(self, ttl: float = 2.0, settle: float = 1.0) -> None:
        self.accounts: dict[str, registry_pb2.AccountRecord] = {}
        self.revision = 1
        self.facts: list[registry_pb2.Fact] = []
        self._ttl, self._settle = ttl, settle
        self._watchers: set[asyncio.Queue[registry_pb2.WatchAccountsResponse]] = set()
        self._server: grpc.aio.Server | None = None
        self.port = 0

    def add(self, name: str, **fields: Any) -> str:
        account_id = "acc_" + name.rjust(12, "a")
        account = account_pb2.Account(
            account_id=account_id,
            name=name,
            enabled=fields.pop("enabled", True),
            session_location=fields.pop("session_location", account_pb2.SESSION_LOCATION_VAULT),
            auth_key_id=fields.pop("auth_key_id", f"{len(self.accounts):016x}"),
            **fields,
        )
        self.accounts[account_id] = registry_pb2.AccountRecord(account=account)
        self.changed(account_id)
        return account_id

    def changed(self, *account_ids: str) -> None:
        self.revision += 1
        message = registry_pb2.WatchAccountsResponse(
            accounts=[self.accounts[account_id] for account_id in account_ids], revision=self.revision
        )
        for watcher in self._watchers:
            watcher.put_nowait(message)

    async def ResolveAccounts(self, request: Any, context: Any) -> Any:  # noqa: N802
        names = {record.account.name: account_id for account_id, record in self.accounts.items()}
        ids = [names.get(asked, asked) for asked in request.account_ids] or list(self.accounts)
        return registry_pb2.ResolveAccountsResponse(account_ids=ids, revision=self.revision)

    async def SetWanted(self, request: Any, context: Any) -> Any:  # noqa: N802
        for account_id in request.account_ids:
            account = self.accounts[account_id].account
            if request.HasField("running"):
                account.wanted_running = request.running
            if request.HasField("chatting"):
                account.wanted_chatting = request.chatting
        self.changed(*request.account_ids)
        return registry_pb2.SetWantedResponse(account_ids=request.account_ids, revision=self.revision)

    async def ReportFacts(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.facts.extend(request.facts)
        return registry_pb2.ReportFactsResponse()

    async def WatchAccounts(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        queue: asyncio.Queue[registry_pb2.WatchAccountsResponse] = asyncio.Queue()
        self._watchers.add(queue)
        try:
            last = registry_pb2.WatchAccountsResponse(
                accounts=self.accounts.values(), snapshot_complete=True, revision=self.revision
            )
            last.lease_ttl.FromMilliseconds(int(self._ttl * 1000))
            last.lease_settle.FromMilliseconds(int(self._settle * 1000))
            yield last
            while True:
                yield await queue.get()
        finally:
            self._watchers.discard(queue)

    async def __aenter__(self) -> Self:
        self._server = grpc.aio.server(options=[("grpc.max_send_message_length", 64 << 20)])
        registry_pb2_grpc.add_RegistryServiceServicer_to_server(self, self._server)
        self.port = self._server.add_insecure_port(f"127.0.0.1:{self.port}")
        await self._server.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        await self._server.stop(0)


class StubWorker:
    """Starts whatever it is told to at once, unless `answer` says otherwise."""

    def __init__(self, worker_id: str, ports: list[int], capacity: int = 500) -> None:
        self.worker_id = worker_id
        self.incarnation = str(uuid.uuid4())
        self.capacity = capacity
        self.files: list[fleet_pb2.AnnouncedFile] = []
        self.sessions: dict[str, worker_pb2.SessionReport] = {}
        self.commands: list[scheduler_pb2.AttachWorkerResponse] = []
        self.attached = asyncio.Event()
        self.refused: grpc.aio.AioRpcError | None = None
        self.terms: list[int] = []
        self.answer: Callable[[str, str], worker_pb2.SessionReport | None] = self.running
        self._revision = 100
        self._ports = ports
        self._task: asyncio.Task[None] | None = None
        self._writing = asyncio.Lock()

    def running(self, account_id: str, command_id: str) -> worker_pb2.SessionReport:
        self._revision += 1
        return worker_pb2.SessionReport(
            account_id=account_id,
            command_id=command_id,
            state=RUNNING,
            token=worker_pb2.Token(generation=1, revision=self._revision),
        )

    def refusing(
        self, outcome: int, reason: int, retry_seconds: float = 0.0
    ) -> Callable[[str, str], worker_pb2.SessionReport]:
        def answer(account_id: str, command_id: str) -> worker_pb2.SessionReport:
            report = worker_pb2.SessionReport(
                account_id=account_id,
                command_id=command_id,
                state=STOPPED,
                outcome=result_pb2.Outcome.ValueType(outcome),
                reason=result_pb2.Reason.ValueType(reason),
            )
            if retry_seconds:
                report.retry_time.GetCurrentTime()
                report.retry_time.FromNanoseconds(
                    report.retry_time.ToNanoseconds() + int(retry_seconds * 1e9)
                )
            return report

        return answer

    def start(self) -> StubWorker:
        self._task = asyncio.create_task(self._run())
        return self

    def go_first_to(self, port: int) -> None:
        """Which scheduler is tried first from now on."""
        self._ports = sorted(self._ports, key=lambda one: one != port)

    async def kill(self) -> None:
        """Gone without a word."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        self.attached.clear()

    async def _run(self) -> None:
        turn = 0
        while True:
            port = self._ports[turn % len(self._ports)]
            turn += 1
            try:
                async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                    await self._attach(channel)
            except grpc.aio.AioRpcError as error:
                self.refused = error
            self.attached.clear()
            await asyncio.sleep(0.05)

    async def _attach(self, channel: grpc.aio.Channel) -> None:
        call = scheduler_pb2_grpc.DispatcherServiceStub(channel).AttachWorker()
        heart: asyncio.Task[None] | None = None
        try:
            await self._write(call, scheduler_pb2.AttachWorkerRequest(hello=self._hello()))
            async for message in call:
                self.terms.append(message.term)
                kind = message.WhichOneof("message")
                if kind == "welcome":
                    period = message.welcome.heartbeat_period.ToMilliseconds() / 1000
                    heart = asyncio.create_task(self._beat(call, period))
                    self.attached.set()
                else:
                    self.commands.append(message)
                    await self._obey(call, kind, message)
        finally:
            if heart is not None:
                heart.cancel()
            call.cancel()

    async def _write(self, call: Any, request: scheduler_pb2.AttachWorkerRequest) -> None:
        async with self._writing:  # gRPC takes one write at a time
            await call.write(request)

    def _hello(self) -> worker_pb2.Hello:
        return worker_pb2.Hello(
            worker_id=self.worker_id,
            incarnation=self.incarnation,
            capacity=self.capacity,
            sessions=self.sessions.values(),
            files=self.files,
        )

    async def _beat(self, call: Any, period: float) -> None:
        while True:
            await asyncio.sleep(period)
            await self._write(call, scheduler_pb2.AttachWorkerRequest(heartbeat=worker_pb2.Heartbeat()))

    async def _obey(self, call: Any, kind: str | None, message: scheduler_pb2.AttachWorkerResponse) -> None:
        obey = {"start": self._start, "stop": self._stop, "set_chat": self._set_chat}.get(kind or "")
        reports = obey(message) if obey else []
        if reports:
            request = scheduler_pb2.AttachWorkerRequest(reports=worker_pb2.SessionReports(reports=reports))
            await self._write(call, request)

    def _start(self, message: scheduler_pb2.AttachWorkerResponse) -> list[worker_pb2.SessionReport]:
        reports = []
        for item in message.start.sessions:
            report = self.answer(item.account_id, message.start.command_id)
            if report is not None:
                if report.state == RUNNING:
                    report.chatting = item.chat
                    self.sessions[item.account_id] = report
                reports.append(report)
        return reports

    def _stop(self, message: scheduler_pb2.AttachWorkerResponse) -> list[worker_pb2.SessionReport]:
        for account_id in message.stop.account_ids:
            self.sessions.pop(account_id, None)
        return [
            worker_pb2.SessionReport(account_id=account_id, state=STOPPED, released=True)
            for account_id in message.stop.account_ids
        ]

    def _set_chat(self, message: scheduler_pb2.AttachWorkerResponse) -> list[worker_pb2.SessionReport]:
        reports = []
        for account_id in message.set_chat.account_ids:
            if account_id in self.sessions:
                self.sessions[account_id].chatting = message.set_chat.chat
                reports.append(self.sessions[account_id])
        return reports
