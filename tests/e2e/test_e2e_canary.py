"""Secrets appear in no log, error, metric, event, reflection answer or database byte in the clear."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from google.protobuf import empty_pb2
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from tests.support.chats import marked_id, messages_of, new_channel
from tests.support.fleet import Client, Fleet, eventually, outcomes
from tests.support.telegram import Sample, new_accounts
from tests.support.transfers import Transfers
from tgfleet.gateway.v1 import account_pb2, event_pb2, fleet_pb2, token_pb2, transfer_pb2
from tgfleet.testdc.v1 import control_pb2

MOVED_TEXT = "canary words of a channel"
LOGIN_CODE = "4815162342"  # longer than a real one, so that no time or port contains it by chance
PROXY_PASSWORD = "canary-proxy-pass-7719"
API_HASH = "cafe0123babe4567cafe89abbabecdef"
PHONE_NAME = "+99966712345"


@contextlib.asynccontextmanager
async def _all_events(client: Client) -> AsyncIterator[list[event_pb2.Event]]:
    """Everything that WatchEvents says meanwhile."""
    events: list[event_pb2.Event] = []
    call = client.fleet.WatchEvents(fleet_pb2.WatchEventsRequest(), timeout=120)
    standing = asyncio.Event()

    async def listen() -> None:
        async for message in call:
            standing.set()
            events.extend(message.events)

    task = asyncio.create_task(listen())
    try:
        await asyncio.wait_for(standing.wait(), 10)
        yield events
    finally:
        call.cancel()
        with contextlib.suppress(asyncio.CancelledError, grpc.aio.AioRpcError):
            await task


async def _errors(client: Client, sample: Sample) -> list[str]:
    """What the fleet says when secrets come in the wrong place."""
    said = []
    items = [
        account_pb2.ImportItem(name="twin", session_string=sample.session),
        account_pb2.ImportItem(name="cut", session_string=sample.session[:-9]),
        account_pb2.ImportItem(
            name="bad-proxy",
            without_session=empty_pb2.Empty(),
            proxy=f"gopher://u:{PROXY_PASSWORD}@127.0.0.1:1",
        ),
    ]
    answer = await client.accounts.ImportAccounts(account_pb2.ImportAccountsRequest(items=items))
    assert all(result.reason for result in answer.results)
    said.append(str(answer))
    for account_id in (sample.session, sample.session[:120]):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await client.accounts.GetAccount(account_pb2.GetAccountRequest(account_id=account_id))
        said += [str(caught.value.details()), str(caught.value.trailing_metadata())]
    return said


async def _people(fleet: Fleet) -> tuple[Sample, Sample, int]:
    """Two accounts, and the user id of a friend who has no login."""
    async with fleet.control() as control:
        fine, proxied = (await new_accounts(control, 2)).values()
        request = control_pb2.CreateAccountRequest(first_name="Friend", virtual=True)
        friend = (await control.CreateAccount(request)).account
    return fine, proxied, friend.user_id


async def _move(fleet: Fleet, client: Client, by: Sample) -> None:
    """A transfer moves messages whose words are nobody's business."""
    async with fleet.control() as control:
        source = await new_channel(control, by.user_id, kind=control_pb2.CHAT_KIND_BROADCAST, title="Words")
        target = await new_channel(control, by.user_id, title="Copy")
        for text in (MOVED_TEXT, f"{MOVED_TEXT} again"):
            said = control_pb2.SendMessageRequest(sender_id=by.user_id, chat=source.chat, text=text)
            await control.SendMessage(said)
        spec = transfer_pb2.TransferSpec(
            source=str(marked_id(source.chat)), target=str(marked_id(target.chat)), account_ids=[PHONE_NAME]
        )
        made = await client.transfers.CreateTransfer(transfer_pb2.CreateTransferRequest(spec=spec))
        ended = await Transfers(client).ended(made.transfer.transfer_id)
        assert ended.done == 2, ended
        texts = [message.text for message in await messages_of(control, target.chat)]
        assert MOVED_TEXT in texts


async def _talk(fleet: Fleet, to: Sample, friend: int) -> None:
    """Telegram sends a login code, and the friend a greeting."""
    async with fleet.control() as control:
        chat = control_pb2.Chat(user_id=to.user_id)
        for sender, text in ((777000, f"Login code: {LOGIN_CODE}"), (friend, "hello there")):
            await control.SendMessage(control_pb2.SendMessageRequest(sender_id=sender, chat=chat, text=text))


def _canaries(fleet: Fleet, fine: Sample, proxied: Sample, token: str) -> dict[str, bytes]:
    return {
        "session string": fine.session.encode(),
        "auth key": fine.auth_key,
        "auth key in hex": fine.auth_key.hex().encode(),
        "auth key in base64": base64.b64encode(fine.auth_key)[:200],
        "proxied session": proxied.session.encode(),
        "proxy password": PROXY_PASSWORD.encode(),
        "api hash": API_HASH.encode(),
        "admin token": fleet.admin_token.encode(),
        "operator token": token.encode(),
        "login code": LOGIN_CODE.encode(),
        "a moved message": MOVED_TEXT.encode(),
    }


def _written(directory: Path) -> dict[str, bytes]:
    """Every file that the fleet wrote: logs, databases, etcd's data.

    The data centre is not ours: its journal, state and log may know all. Two files hold secrets on purpose.
    """
    kept = {"journal.jsonl", "testdc.state", "testdc.log", "master.key", "admin.token"}
    files = (path for path in directory.rglob("*") if path.is_file() and path.name not in kept)
    return {str(path.relative_to(directory)): path.read_bytes() for path in files}


async def test_no_secret_leaves_the_places_it_belongs_to(tmp_path: Path) -> None:
    settings = {
        "TGFLEET_TELEGRAM_API_HASH": API_HASH,
        "TGFLEET_LOG_LEVEL": "debug",
        "TGFLEET_CONNECT_TIMEOUT": "3s",
    }
    async with (
        Fleet(tmp_path, workers=1, settings=settings) as fleet,
        fleet.client() as client,
        _all_events(client) as events,
    ):
        fine, proxied, friend = await _people(fleet)
        policy = account_pb2.ChatPolicy(user_ids=[friend, 777000])
        proxy = f"socks5://user:{PROXY_PASSWORD}@127.0.0.1:9"
        await client.import_sessions({PHONE_NAME: fine.session}, chat_policy=policy)
        await client.import_sessions({"proxied": proxied.session}, proxy=proxy)
        request = token_pb2.CreateTokenRequest(name="canary", role=token_pb2.ROLE_OPERATOR)
        token = (await client.tokens.CreateToken(request)).secret
        said = await _errors(client, fine)
        assert outcomes(await client.start_all()) == {PHONE_NAME: "STARTED", "proxied": "FAILED/PROXY_ERROR"}
        await client.start_chat(account_ids=[PHONE_NAME])
        await _talk(fleet, fine, friend)
        await _move(fleet, client, fine)

        async def heard() -> bool:
            return any(e.WhichOneof("kind") == "message_received" for e in events)

        await eventually(heard, 15, "the friend's message is an event")
        async with fleet.client(token=token) as operator:
            said.append(str(await operator.status()))
        shown = {
            "errors": "".join(said),
            "metrics": "".join([await asyncio.to_thread(_scrape, p) for p in fleet.metrics_ports.values()]),
            "events": "".join(map(str, events)),
            "reflection": await _reflect(fleet),
        }
        await fleet.services["registry"].stop()  # flushes the database's journal as well
        canaries = _canaries(fleet, fine, proxied, token)
    _look_for(canaries, shown, _written(tmp_path))


def _look_for(canaries: dict[str, bytes], shown: dict[str, str], written: dict[str, bytes]) -> None:
    """Fails when a canary stands anywhere, or when there was nothing to look at."""
    assert {"registry.db", "scheduler.db", "worker-1.log", "gateway-1.log"} <= set(written)
    assert "hello there" in shown["events"], "the events that were searched are empty"
    assert "ImportAccounts" in shown["reflection"], "the reflection that was searched is empty"
    assert "rpc_requests_total" in shown["metrics"], "the metrics that were searched are empty"
    places = {name: text.encode() for name, text in shown.items()} | written
    assert [
        (what, where) for what, secret in canaries.items() for where in places if secret in places[where]
    ] == []
    logs = [name for name in written if name.endswith(".log")]
    assert [name for name in logs if PHONE_NAME.encode() in written[name]] == [], "a log shows a phone number"


async def _reflect(fleet: Fleet) -> str:
    """Everything that the gateway tells of itself by reflection."""
    request = reflection_pb2.ServerReflectionRequest
    asked = [
        request(list_services=""),
        *(
            request(file_containing_symbol=f"tgfleet.gateway.v1.{name}Service")
            for name in ("Fleet", "Account", "Token", "Transfer")
        ),
    ]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{fleet.ports['gateway-1']}") as channel:
        call = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(iter(asked), timeout=10)
        return "".join([str(answer) async for answer in call])


def _scrape(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        return str(answer.read().decode())
