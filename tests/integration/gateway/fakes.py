"""A registry and a scheduler that do as a test says, behind real gRPC servers with health."""

# ruff: noqa: N802 - gRPC names its methods in CamelCase and always passes a request and a context

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import timedelta
from typing import Any

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from services.runtime.addresses import HostPort
from services.runtime.errors import NotFound, TgfleetError, Unauthenticated
from services.runtime.process import Lifecycle, RuntimeSettings
from services.runtime.server import ServiceServer
from tests.integration.gateway.fake_transfers import FakeTransfers
from tgfleet.gateway.v1 import (
    account_pb2,
    audit_pb2,
    event_pb2,
    fleet_pb2,
    key_pb2,
    result_pb2,
    token_pb2,
)
from tgfleet.registry.v1 import registry_pb2, registry_pb2_grpc
from tgfleet.scheduler.v1 import scheduler_pb2, scheduler_pb2_grpc, transfer_pb2_grpc

TOKENS = {
    "tgf_viewer_token_0000": token_pb2.ROLE_VIEWER,
    "tgf_operator_token_00": token_pb2.ROLE_OPERATOR,
    "tgf_admin_token_00000": token_pb2.ROLE_ADMIN,
}
VIEWER, OPERATOR, ADMIN = TOKENS


class FakeRegistry(registry_pb2_grpc.RegistryServiceServicer):
    """Knows three tokens and some accounts; remembers what it was asked."""

    def __init__(self) -> None:
        self.tokens: dict[str, Any] = dict(TOKENS)
        self.expired: set[str] = set()
        self.accounts = {"acc_000000000001": "alice", "acc_000000000002": "bob"}
        self.asked: list[tuple[str, Any]] = []
        self.fail: TgfleetError | None = None
        self.verified = 0
        self.audit: dict[str, audit_pb2.AuditEntry] = {}
        self.audit_fails: TgfleetError | None = None

    async def VerifyToken(self, request: Any, context: Any) -> Any:
        self.verified += 1
        if request.secret in self.expired:
            raise Unauthenticated("The token has expired.", reason="TOKEN_EXPIRED")
        role = self.tokens.get(request.secret)
        if role is None:
            raise Unauthenticated("The token is not known.", reason="TOKEN_INVALID")
        return registry_pb2.VerifyTokenResponse(token=token_pb2.ApiToken(name=request.secret[4:9], role=role))

    def _answer(self, name: str, request: Any) -> None:
        self.asked.append((name, request))
        if self.fail is not None:
            raise self.fail

    async def ListAccounts(self, request: Any, context: Any) -> Any:
        self._answer("ListAccounts", request)
        wanted = list(request.request.account_ids)
        if missing := [a for a in wanted if a not in self.accounts]:
            raise NotFound(
                "No such account.", reason="ACCOUNT_NOT_FOUND", metadata={"account_id": missing[0]}
            )
        rows = [
            account_pb2.Account(account_id=i, name=n, enabled=True)
            for i, n in self.accounts.items()
            if not wanted or i in wanted
        ]
        return registry_pb2.ListAccountsResponse(response=account_pb2.ListAccountsResponse(accounts=rows))

    async def GetAccount(self, request: Any, context: Any) -> Any:
        self._answer("GetAccount", request)
        wanted = request.request.account_id
        if wanted not in self.accounts:
            raise NotFound("There is no such account.", reason="ACCOUNT_NOT_FOUND", field="account_id")
        account = account_pb2.Account(account_id=wanted, name=self.accounts[wanted])
        return registry_pb2.GetAccountResponse(response=account_pb2.GetAccountResponse(account=account))

    async def ImportAccounts(self, request: Any, context: Any) -> Any:
        self._answer("ImportAccounts", request)
        results = [
            account_pb2.ImportResult(name=i.name, kind="pyrogram", account=account_pb2.Account(name=i.name))
            for i in request.request.items
        ]
        return registry_pb2.ImportAccountsResponse(
            response=account_pb2.ImportAccountsResponse(results=results)
        )

    async def UpdateAccount(self, request: Any, context: Any) -> Any:
        self._answer("UpdateAccount", request)
        return registry_pb2.UpdateAccountResponse(
            response=account_pb2.UpdateAccountResponse(account=request.request.account)
        )

    async def DeleteAccount(self, request: Any, context: Any) -> Any:
        self._answer("DeleteAccount", request)
        return registry_pb2.DeleteAccountResponse()

    async def SetAccountEnabled(self, request: Any, context: Any) -> Any:
        self._answer("SetAccountEnabled", request)
        account = account_pb2.Account(account_id=request.account_id, enabled=request.enabled)
        return registry_pb2.SetAccountEnabledResponse(account=account)

    async def ResetFloodWaits(self, request: Any, context: Any) -> Any:
        self._answer("ResetFloodWaits", request)
        return registry_pb2.ResetFloodWaitsResponse(response=account_pb2.ResetFloodWaitsResponse(removed=2))

    async def ResumeStarts(self, request: Any, context: Any) -> Any:
        self._answer("ResumeStarts", request)
        return registry_pb2.ResumeStartsResponse(were_stopped=True)

    async def CreateToken(self, request: Any, context: Any) -> Any:
        self._answer("CreateToken", request)
        token = token_pb2.ApiToken(name=request.request.name, role=request.request.role)
        return registry_pb2.CreateTokenResponse(
            response=token_pb2.CreateTokenResponse(token=token, secret="tgf_new_secret_0000")
        )

    async def ListTokens(self, request: Any, context: Any) -> Any:
        self._answer("ListTokens", request)
        return registry_pb2.ListTokensResponse(response=token_pb2.ListTokensResponse())

    async def UpdateToken(self, request: Any, context: Any) -> Any:
        self._answer("UpdateToken", request)
        token = token_pb2.ApiToken(name=request.request.name, role=request.request.role)
        return registry_pb2.UpdateTokenResponse(response=token_pb2.UpdateTokenResponse(token=token))

    async def ListKeys(self, request: Any, context: Any) -> Any:
        self._answer("ListKeys", request)
        key = key_pb2.MasterKey(key_id="k1", active=True, present=True, secrets=3)
        return registry_pb2.ListKeysResponse(response=key_pb2.ListKeysResponse(keys=[key]))

    async def RotateKeys(self, request: Any, context: Any) -> AsyncIterator[Any]:
        self._answer("RotateKeys", request)
        for step in (
            key_pb2.RotateKeysResponse(key_id="k2", resealed=2, remaining=1),
            key_pb2.RotateKeysResponse(key_id="k2", resealed=3, done=True),
        ):
            yield registry_pb2.RotateKeysResponse(response=step)

    async def RecordAudit(self, request: Any, context: Any) -> Any:
        if self.audit_fails is not None:
            raise self.audit_fails
        for entry in request.entries:
            self.audit.setdefault(entry.entry_id, entry)
        return registry_pb2.RecordAuditResponse()

    async def ListAuditEntries(self, request: Any, context: Any) -> Any:
        self._answer("ListAuditEntries", request)
        return registry_pb2.ListAuditEntriesResponse(
            response=audit_pb2.ListAuditEntriesResponse(entries=self.audit.values())
        )

    async def RevokeToken(self, request: Any, context: Any) -> Any:
        self._answer("RevokeToken", request)
        return registry_pb2.RevokeTokenResponse()


Script = Callable[[Any, grpc.aio.ServicerContext], AsyncIterator[Any]]


class FakeScheduler(scheduler_pb2_grpc.SchedulerServiceServicer):
    """Runs fleet calls and watches by the script of a test; remembers what it was asked."""

    def __init__(self, run: Script | None = None, watch: Script | None = None) -> None:
        self.run = run or answer_all
        self.watch = watch
        self.calls: list[Any] = []
        self.request_ids: list[str] = []
        self.deadlines: list[float | None] = []
        self.cancelled = asyncio.Event()
        self.drained: list[Any] = []
        self.transfers = FakeTransfers()
        self.called = asyncio.Event()

    async def RunFleetCall(self, request: Any, context: Any) -> AsyncIterator[Any]:
        self.calls.append(request)
        self.deadlines.append(context.time_remaining())
        self.request_ids += [v for k, v in context.invocation_metadata() if k == "x-request-id"]
        self.called.set()
        try:
            async for message in self.run(request, context):
                yield message
        except (asyncio.CancelledError, GeneratorExit):
            self.cancelled.set()
            raise

    async def WatchEvents(self, request: Any, context: Any) -> AsyncIterator[Any]:
        assert self.watch is not None
        try:
            async for message in self.watch(request, context):
                yield scheduler_pb2.WatchEventsResponse(response=message)
        except (asyncio.CancelledError, GeneratorExit):
            self.cancelled.set()
            raise

    async def GetFleetStatus(self, request: Any, context: Any) -> Any:
        row = fleet_pb2.AccountStatus(account_id="acc_000000000001", name="alice")
        return scheduler_pb2.GetFleetStatusResponse(
            response=fleet_pb2.GetFleetStatusResponse(accounts=[row], term=7)
        )

    async def ListWorkers(self, request: Any, context: Any) -> Any:
        worker = fleet_pb2.Worker(worker_id="w1", capacity=500)
        return scheduler_pb2.ListWorkersResponse(response=fleet_pb2.ListWorkersResponse(workers=[worker]))

    async def DrainWorker(self, request: Any, context: Any) -> Any:
        self.drained.append((request.request, context.time_remaining()))
        return scheduler_pb2.DrainWorkerResponse(response=fleet_pb2.DrainWorkerResponse(moved=3))


def selection(*account_ids: str) -> Any:
    """The first message of a fleet call."""
    return scheduler_pb2.RunFleetCallResponse(selected_account_ids=account_ids)


def started(*account_ids: str) -> Any:
    """Results that say STARTED."""
    return scheduler_pb2.RunFleetCallResponse(
        results=[
            result_pb2.AccountResult(account_id=a, name=f"name-{a}", outcome=result_pb2.OUTCOME_STARTED)
            for a in account_ids
        ]
    )


async def answer_all(request: Any, _context: Any) -> AsyncIterator[Any]:
    """Starts whatever is named; two accounts when nothing is."""
    accounts = list(request.account_ids) or ["acc_000000000001", "acc_000000000002"]
    yield selection(*accounts)
    yield started(*accounts)


def messages(texts: Sequence[str]) -> Any:
    """A batch of received messages."""
    events = []
    for text in texts:
        received = event_pb2.MessageReceived(chat_id=5, message_id=1, sender_id=5, text=text)
        events.append(event_pb2.Event(detail="A message arrived.", message_received=received))
    return fleet_pb2.WatchEventsResponse(events=events)


def quick_life() -> Lifecycle:
    """A life whose server gives running calls no grace."""
    return Lifecycle(RuntimeSettings(shutdown_grace=timedelta(0)))


def error_info(error: grpc.aio.AioRpcError) -> error_details_pb2.ErrorInfo:
    """The machine-readable part of an error."""
    status, info = rpc_status.from_call(error), error_details_pb2.ErrorInfo()
    assert status is not None, f"no details: {error.code()} {error.details()}"
    assert any(detail.Unpack(info) for detail in status.details if detail.Is(info.DESCRIPTOR))
    return info


def bearer(secret: str) -> tuple[tuple[str, str], ...]:
    """The metadata of a call."""
    return (("authorization", f"Bearer {secret}"),)


async def serve_registry(fake: FakeRegistry, port: int = 0) -> ServiceServer:
    """Starts it; stop it with `await server.stop()`."""
    server = ServiceServer("registry", HostPort("127.0.0.1", port), quick_life())
    server.add(registry_pb2_grpc.add_RegistryServiceServicer_to_server, fake)
    await server.start()
    return server


async def serve_scheduler(fake: FakeScheduler, *, leads: bool = True, port: int = 0) -> ServiceServer:
    """Starts it as the leader or as a standby."""
    server = ServiceServer("scheduler", HostPort("127.0.0.1", port), quick_life())
    server.add(scheduler_pb2_grpc.add_SchedulerServiceServicer_to_server, fake)
    server.add(transfer_pb2_grpc.add_TransferServiceServicer_to_server, fake.transfers)
    await server.set_serving(serving=leads)
    await server.start()
    return server
