"""Bad input gets an error with reason and field, and changes nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio
from google.protobuf import duration_pb2, empty_pb2, field_mask_pb2

from tests.support.errors import Refusal, refusal
from tests.support.fleet import Client, Fleet
from tests.support.telegram import new_accounts
from tgfleet.gateway.v1 import account_pb2, fleet_pb2, token_pb2

pytestmark = pytest.mark.asyncio(loop_scope="module")

Item = account_pb2.ImportItem
Account = account_pb2.Account


@pytest_asyncio.fixture(loop_scope="module")
async def client(shared_fleet: Fleet) -> AsyncIterator[Client]:
    """A client, with the proof that the test changed nothing."""
    async with shared_fleet.client() as connected:
        before = await _everything(connected)
        yield connected
        assert await _everything(connected) == before


async def _everything(client: Client) -> tuple[bytes, ...]:
    accounts = await client.accounts.ListAccounts(account_pb2.ListAccountsRequest(page_size=1000))
    tokens = await client.tokens.ListTokens(token_pb2.ListTokensRequest())
    for token in tokens.tokens:
        token.ClearField("last_use_time")  # moves by itself, once a minute
    return tuple(message.SerializeToString(deterministic=True) for message in (accounts, tokens))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def known(shared_fleet: Fleet) -> str:
    """The session string of an account, `known`, that is in the fleet already."""
    async with shared_fleet.control() as control, shared_fleet.client() as client:
        account = (await new_accounts(control, 1, prefix="known"))["known-1"]
        await client.import_sessions({"known": account.session})
        return account.session


async def refused(call: Awaitable[Any]) -> Refusal:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return refusal(caught.value)


async def stream_refused(call: Any) -> Refusal:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async for _ in call:
            pass
    return refusal(caught.value)


@pytest.mark.parametrize(
    ("request_", "code", "reason", "field"),
    [
        ({"account_ids": ["a"], "match_labels": {"k": "v"}}, "INVALID_ARGUMENT", "", "account_ids"),
        ({"account_ids": ["nobody"]}, "NOT_FOUND", "ACCOUNT_NOT_FOUND", "account_ids"),
        ({"account_ids": [""]}, "INVALID_ARGUMENT", "", "account_ids[0]"),
        ({"account_ids": ["x" * 300]}, "INVALID_ARGUMENT", "", "account_ids[0]"),
        ({"match_labels": {"no": "body"}}, "NOT_FOUND", "NO_ACCOUNT_SELECTED", "match_labels"),
        ({"match_labels": {"": "v"}}, "INVALID_ARGUMENT", "", "match_labels"),
        ({"request_id": "x" * 129}, "INVALID_ARGUMENT", "", "request_id"),
        ({"request_id": "a\nb"}, "INVALID_ARGUMENT", "", "request_id"),
        ({"wait_for": duration_pb2.Duration(seconds=-1)}, "INVALID_ARGUMENT", "", "wait_for"),
        ({"wait_for": duration_pb2.Duration(seconds=7200)}, "INVALID_ARGUMENT", "", "wait_for"),
    ],
)
async def test_start_all_refuses(
    client: Client,
    known: str,
    request_: dict[str, Any],
    code: str,
    reason: str,
    field: str,
) -> None:
    said = await stream_refused(client.fleet.StartAll(fleet_pb2.StartAllRequest(**request_)))
    assert said.code == code
    assert said.domain == "tgfleet"
    assert said.reason == (reason or said.reason) != ""
    assert said.fields == (field,)
    assert said.message


CALLS: list[tuple[str, Callable[[Client], Awaitable[Any]], str, str]] = [
    (
        "import nothing",
        lambda c: c.accounts.ImportAccounts(account_pb2.ImportAccountsRequest()),
        "INVALID_ARGUMENT",
        "items",
    ),
    (
        "page size below zero",
        lambda c: c.accounts.ListAccounts(account_pb2.ListAccountsRequest(page_size=-1)),
        "INVALID_ARGUMENT",
        "page_size",
    ),
    (
        "page token of our own making",
        lambda c: c.accounts.ListAccounts(account_pb2.ListAccountsRequest(page_token="zzz")),
        "INVALID_ARGUMENT",
        "page_token",
    ),
    (
        "empty id",
        lambda c: c.accounts.GetAccount(account_pb2.GetAccountRequest()),
        "INVALID_ARGUMENT",
        "account_id",
    ),
    (
        "unknown id",
        lambda c: c.accounts.GetAccount(account_pb2.GetAccountRequest(account_id="acc_aaaaaaaaaaaa")),
        "NOT_FOUND",
        "account_id",
    ),
    (
        "delete nobody",
        lambda c: c.accounts.DeleteAccount(account_pb2.DeleteAccountRequest(account_id="nobody")),
        "NOT_FOUND",
        "account_id",
    ),
    (
        "update of an unknown field",
        lambda c: c.accounts.UpdateAccount(
            account_pb2.UpdateAccountRequest(
                account=Account(account_id="known"), update_mask=field_mask_pb2.FieldMask(paths=["user_id"])
            )
        ),
        "INVALID_ARGUMENT",
        "update_mask",
    ),
    (
        "a time zone that is none",
        lambda c: c.accounts.UpdateAccount(
            account_pb2.UpdateAccountRequest(
                account=Account(account_id="known", time_zone="Mars/Olympus"),
                update_mask=field_mask_pb2.FieldMask(paths=["time_zone"]),
            )
        ),
        "INVALID_ARGUMENT",
        "account.time_zone",
    ),
    (
        "a priority out of range",
        lambda c: c.accounts.UpdateAccount(
            account_pb2.UpdateAccountRequest(
                account=Account(account_id="known", priority=100_000),
                update_mask=field_mask_pb2.FieldMask(paths=["priority"]),
            )
        ),
        "INVALID_ARGUMENT",
        "account.priority",
    ),
    (
        "a role that does not exist",
        lambda c: c.tokens.CreateToken(token_pb2.CreateTokenRequest(name="t", role=99)),  # type: ignore[arg-type]
        "INVALID_ARGUMENT",
        "role",
    ),
    (
        "a token without name",
        lambda c: c.tokens.CreateToken(token_pb2.CreateTokenRequest(role=1)),
        "INVALID_ARGUMENT",
        "name",
    ),
    (
        "revoke nothing known",
        lambda c: c.tokens.RevokeToken(token_pb2.RevokeTokenRequest(name="nobody")),
        "NOT_FOUND",
        "name",
    ),
    (
        "drain of an unknown worker",
        lambda c: c.fleet.DrainWorker(fleet_pb2.DrainWorkerRequest(worker_id="worker-99")),
        "NOT_FOUND",
        "worker_id",
    ),
    (
        "a drain of negative length",
        lambda c: c.fleet.DrainWorker(
            fleet_pb2.DrainWorkerRequest(worker_id="worker-1", timeout=duration_pb2.Duration(seconds=-5))
        ),
        "INVALID_ARGUMENT",
        "timeout",
    ),
]


@pytest.mark.parametrize(
    ("call", "code", "field"), [case[1:] for case in CALLS], ids=[case[0] for case in CALLS]
)
async def test_other_calls_refuse(
    client: Client, known: str, call: Callable[[Client], Awaitable[Any]], code: str, field: str
) -> None:
    said = await refused(call(client))
    assert (said.code, said.fields) == (code, (field,))
    assert said.reason
    assert said.message


def _other_sqlite(directory: Path) -> bytes:
    path = directory / "other.session"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE recipes (name TEXT)")
    return path.read_bytes()


async def test_each_bad_import_item_is_refused_with_reason_and_field(
    client: Client, known: str, tmp_path: Path
) -> None:
    other = _other_sqlite(tmp_path)
    items = [
        Item(name="no source"),
        Item(name="garbage", session_string="this is no session"),
        Item(name="empty string", session_string=""),
        Item(name="again", session_string=known),
        Item(name="other file", session_file=other),
        Item(name="cut short", session_file=other[: len(other) // 2]),
        Item(name="empty file", session_file=b""),
        Item(name="", without_session=empty_pb2.Empty()),
        Item(name="x" * 65, without_session=empty_pb2.Empty()),
        Item(name="known", without_session=empty_pb2.Empty()),
        Item(name="bad proxy", without_session=empty_pb2.Empty(), proxy="gopher://127.0.0.1:1"),
        Item(name="bad label", without_session=empty_pb2.Empty(), labels={"a b": "c"}),
        Item(name="bad priority", without_session=empty_pb2.Empty(), priority=-100_000),
        Item(
            name="bad worker",
            worker_file=account_pb2.WorkerFile(worker_id="worker-1", file_name="../../etc/passwd"),
        ),
    ]
    answer = await client.accounts.ImportAccounts(account_pb2.ImportAccountsRequest(items=items))
    said = [(r.reason, r.field) for r in answer.results]
    assert said == [
        ("INVALID_ARGUMENT", "items[0].source"),
        ("SESSION_INVALID", "items[1].session_string"),
        ("SESSION_INVALID", "items[2].session_string"),
        ("SESSION_ALREADY_IMPORTED", "items[3].session_string"),
        ("SESSION_INVALID", "items[4].session_file"),
        ("SESSION_INVALID", "items[5].session_file"),
        ("SESSION_INVALID", "items[6].session_file"),
        ("INVALID_ARGUMENT", "items[7].name"),
        ("INVALID_ARGUMENT", "items[8].name"),
        ("NAME_TAKEN", "items[9].name"),
        ("INVALID_ARGUMENT", "items[10].proxy"),
        ("INVALID_ARGUMENT", "items[11].labels"),
        ("INVALID_ARGUMENT", "items[12].priority"),
        ("INVALID_ARGUMENT", "items[13].worker_file.file_name"),
    ]
    assert all(r.detail for r in answer.results)
    assert not any(r.HasField("account") for r in answer.results)


async def test_the_same_session_twice_in_one_call_is_added_once(shared_fleet: Fleet) -> None:
    async with shared_fleet.control() as control, shared_fleet.client() as client:
        session = (await new_accounts(control, 1, prefix="twin"))["twin-1"].session
        items = [Item(name="twin-a", session_string=session), Item(name="twin-b", session_string=session)]
        answer = await client.accounts.ImportAccounts(account_pb2.ImportAccountsRequest(items=items))
        assert [r.reason for r in answer.results] == ["", "SESSION_ALREADY_IMPORTED"]
        assert "twin-a" in answer.results[1].detail


async def test_an_oversized_request_is_refused(client: Client) -> None:
    items = [Item(name="huge", session_file=b"x" * (40 * 1024 * 1024))]
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await client.accounts.ImportAccounts(account_pb2.ImportAccountsRequest(items=items))
    assert caught.value.code() in (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.INVALID_ARGUMENT)


async def test_text_that_is_not_utf_8_is_refused(client: Client, shared_fleet: Fleet) -> None:
    del client  # only here to prove that nothing changed
    body = b"\x0a\x03\xff\xfe\xfd"  # field 1, three bytes that are no UTF-8
    async with grpc.aio.insecure_channel(f"127.0.0.1:{shared_fleet.ports['gateway-1']}") as channel:
        call = channel.unary_unary("/tgfleet.gateway.v1.AccountService/GetAccount")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(body, timeout=10, metadata=(("authorization", f"Bearer {shared_fleet.admin_token}"),))
    assert caught.value.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.INTERNAL)
    assert "Traceback" not in (caught.value.details() or "")
