"""Every call that may change something leaves exactly one entry; what only reads leaves none."""

import asyncio
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message_factory import GetMessageClass

from services.runtime.errors import Unavailable
from tests.integration.gateway.conftest import Stage
from tests.integration.gateway.fakes import ADMIN, OPERATOR, VIEWER, bearer
from tgfleet.gateway.v1 import account_pb2, audit_pb2, fleet_pb2, key_pb2, token_pb2, transfer_pb2

FILES = (account_pb2, audit_pb2, fleet_pb2, key_pb2, token_pb2, transfer_pb2)
METHODS = {
    f"{service.name}.{method.name}": method
    for file in FILES
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}
READING = ("Get", "List", "Watch", "Explain")
CHANGING = {name for name in METHODS if not name.split(".")[1].startswith(READING)}

DONE, REFUSED, FAILED = (
    audit_pb2.AUDIT_OUTCOME_DONE,
    audit_pb2.AUDIT_OUTCOME_REFUSED,
    audit_pb2.AUDIT_OUTCOME_FAILED,
)

GOOD: dict[str, Any] = {
    "StartAllRequest": fleet_pb2.StartAllRequest(account_ids=["acc_000000000001"]),
    "DrainWorkerRequest": fleet_pb2.DrainWorkerRequest(worker_id="w1"),
    "DeleteAccountRequest": account_pb2.DeleteAccountRequest(account_id="alice"),
    "EnableAccountRequest": account_pb2.EnableAccountRequest(account_id="alice"),
    "DisableAccountRequest": account_pb2.DisableAccountRequest(account_id="alice"),
    "ResetFloodWaitsRequest": account_pb2.ResetFloodWaitsRequest(account_id="alice"),
    "GetAccountRequest": account_pb2.GetAccountRequest(account_id="acc_000000000001"),
    "UpdateAccountRequest": account_pb2.UpdateAccountRequest(
        account=account_pb2.Account(account_id="alice", name="bob"), update_mask={"paths": ["name"]}
    ),
    "ImportAccountsRequest": account_pb2.ImportAccountsRequest(
        items=[account_pb2.ImportItem(name="carol", session_string="1" * 360)]
    ),
    "CreateTokenRequest": token_pb2.CreateTokenRequest(name="t", role=token_pb2.ROLE_VIEWER),
    "UpdateTokenRequest": token_pb2.UpdateTokenRequest(name="t", role=token_pb2.ROLE_ADMIN),
    "CreateTransferRequest": transfer_pb2.CreateTransferRequest(
        spec=transfer_pb2.TransferSpec(source="@news", target="-1001234567890", account_ids=["alice"])
    ),
    "PauseTransferRequest": transfer_pb2.PauseTransferRequest(transfer_id="tr_aaaaaaaaaaaa"),
    "ResumeTransferRequest": transfer_pb2.ResumeTransferRequest(transfer_id="tr_aaaaaaaaaaaa"),
    "CancelTransferRequest": transfer_pb2.CancelTransferRequest(transfer_id="tr_aaaaaaaaaaaa"),
    "SettleBatchRequest": transfer_pb2.SettleBatchRequest(transfer_id="tr_aaaaaaaaaaaa", shard=1, batch=5),
    "RevokeTokenRequest": token_pb2.RevokeTokenRequest(name="t"),
}


async def call(stage: Stage, method: MethodDescriptor, data: bytes, metadata: Any) -> grpc.StatusCode:
    path = f"/{method.containing_service.full_name}/{method.name}"
    try:
        if method.server_streaming:
            stream = stage.channel.unary_stream(path)(data, metadata=metadata, timeout=10)
            async for _ in stream:
                if method.name.startswith("Watch"):
                    stream.cancel()
            return grpc.StatusCode.OK
        await stage.channel.unary_unary(path)(data, metadata=metadata, timeout=10)
    except grpc.aio.AioRpcError as error:
        return error.code()
    except asyncio.CancelledError:
        return grpc.StatusCode.CANCELLED
    return grpc.StatusCode.OK


def good(method: MethodDescriptor) -> bytes:
    given = GOOD.get(method.input_type.name, GetMessageClass(method.input_type)())
    return bytes(given.SerializeToString())


@pytest.mark.parametrize("name", sorted(METHODS))
async def test_each_rpc_leaves_exactly_one_entry_or_reads_only(stage: Stage, name: str) -> None:
    method, entries = METHODS[name], stage.registry.audit
    if name.endswith("WatchEvents"):
        stage.scheduler.watch = None
    expected = []
    for data, metadata, outcome in (
        (good(method), bearer(ADMIN), DONE),
        (b"\xff\xff", bearer(ADMIN), REFUSED),  # no message at all
        (good(method), bearer(VIEWER), REFUSED),
        (good(method), bearer("tgf_unknown_0000"), REFUSED),
        (good(method), (), REFUSED),
    ):
        code = await call(stage, method, data, metadata)
        if name in CHANGING:
            assert (code is grpc.StatusCode.OK) == (outcome == DONE), f"{code} {data!r}"
            expected.append(outcome)
            assert [e.outcome for e in entries.values()] == expected
    assert all(e.method == name for e in entries.values())
    assert bool(entries) == (name in CHANGING)


async def test_an_entry_says_who_from_where_what_and_how_it_ended(stage: Stage) -> None:
    request = fleet_pb2.StartAllRequest(account_ids=["acc_000000000001", "acc_000000000002"])
    async for _ in stage.fleet.StartAll(
        request, metadata=(*bearer(OPERATOR), ("x-request-id", "r-1")), timeout=10
    ):
        pass
    with pytest.raises(grpc.aio.AioRpcError):
        await stage.tokens.RevokeToken(
            token_pb2.RevokeTokenRequest(name="t"), metadata=bearer(OPERATOR), timeout=10
        )
    start, revoke = stage.registry.audit.values()
    assert (start.token_name, start.role, start.outcome) == (OPERATOR[4:9], token_pb2.ROLE_OPERATOR, DONE)
    assert start.peer.startswith("127.0.0.1:")
    assert (start.method, start.detail) == ("FleetService.StartAll", "STARTED 2")
    assert list(start.targets) == ["account=acc_000000000001", "account=acc_000000000002"]
    assert start.request_id == "r-1"
    assert start.time.seconds > 0
    assert (revoke.token_name, revoke.outcome, revoke.reason) == (OPERATOR[4:9], REFUSED, "ROLE_TOO_LOW")


async def test_no_secret_and_no_phone_number_gets_into_the_trail(stage: Stage) -> None:
    canary = "BQCanary" + "aB3dE6gH9kL2" * 30
    item = account_pb2.ImportItem(
        name="+4915112345678", session_string=canary, proxy="socks5://u:hunter2@h:1"
    )
    requests = [
        (stage.accounts.ImportAccounts, account_pb2.ImportAccountsRequest(items=[item])),
        (stage.accounts.DeleteAccount, account_pb2.DeleteAccountRequest(account_id=canary[:120])),
        (stage.tokens.RevokeToken, token_pb2.RevokeTokenRequest(name=ADMIN)),
    ]
    for method, request in requests:
        await method(request, metadata=bearer(ADMIN), timeout=10)
    text = "".join(str(entry) for entry in stage.registry.audit.values())
    assert len(stage.registry.audit) == 3
    assert not any(secret in text for secret in (canary[:24], "hunter2", "15112345", ADMIN))


async def test_long_lists_are_cut(stage: Stage) -> None:
    ids = ["acc_000000000001"] * 500
    async for _ in stage.fleet.StartAll(
        fleet_pb2.StartAllRequest(account_ids=ids), metadata=bearer(ADMIN), timeout=10
    ):
        pass
    [entry] = stage.registry.audit.values()
    assert len(entry.targets) == 21
    assert entry.targets[-1] == "500 in all"


async def test_a_caller_that_goes_away_leaves_its_entry(stage: Stage) -> None:
    async def never(_request: Any, _context: Any) -> Any:
        await asyncio.Event().wait()
        yield

    stage.scheduler.run = never
    stream = stage.fleet.StartAll(fleet_pb2.StartAllRequest(), metadata=bearer(ADMIN), timeout=10)
    await asyncio.wait_for(stage.scheduler.called.wait(), 5)
    stream.cancel()
    async with asyncio.timeout(5):
        while not stage.registry.audit:
            await asyncio.sleep(0.01)
    [entry] = stage.registry.audit.values()
    assert (entry.outcome, entry.reason) == (FAILED, "CANCELLED")
    assert list(entry.targets) == ["all accounts"]


async def test_entries_wait_for_a_registry_that_is_away_and_calls_do_not(stage: Stage) -> None:
    stage.registry.audit_fails = Unavailable("away")
    request = account_pb2.EnableAccountRequest(account_id="alice")
    async with asyncio.timeout(5):
        for _ in range(20):  # only the first one waits a moment
            await stage.accounts.EnableAccount(request, metadata=bearer(ADMIN), timeout=5)
    assert not stage.registry.audit
    stage.registry.audit_fails = None
    async with asyncio.timeout(10):
        while len(stage.registry.audit) < 20:
            await asyncio.sleep(0.02)


async def test_strangers_cannot_fill_the_trail(stage: Stage) -> None:
    for _ in range(150):
        assert await call(stage, METHODS["FleetService.StartAll"], b"", ()) is grpc.StatusCode.UNAUTHENTICATED
    assert 60 <= len(stage.registry.audit) < 100
    method = METHODS["TokenService.RevokeToken"]
    assert await call(stage, method, good(method), bearer(ADMIN)) is grpc.StatusCode.OK
    assert any(entry.method == "TokenService.RevokeToken" for entry in stage.registry.audit.values())
