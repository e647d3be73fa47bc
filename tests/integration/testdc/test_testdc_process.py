"""The data centre as a process of its own: control API, journal file, restart."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from grpc_health.v1 import health_pb2, health_pb2_grpc
from pyrogram import Client
from pyrogram.connection import Connection
from telethon import TelegramClient
from telethon.crypto import rsa as telethon_rsa
from telethon.sessions import StringSession

from services.testdc.domain.journal import digest
from tgfleet.testdc.v1 import control_pb2 as pb
from tgfleet.testdc.v1.control_pb2_grpc import ControlServiceStub


@dataclass
class Centre:
    """A running process."""

    process: asyncio.subprocess.Process
    control: ControlServiceStub
    channel: grpc.aio.Channel
    facts: dict[str, str]


@asynccontextmanager
async def _running(directory: Path, **extra: str) -> AsyncIterator[Centre]:
    ready = directory / "ready.json"
    ready.unlink(missing_ok=True)
    env = {
        **{name: value for name, value in os.environ.items() if not name.startswith("TGFLEET_")},
        "TGFLEET_TESTDC_READY_FILE": str(ready),
        "TGFLEET_TESTDC_RSA_KEY": str(directory / "rsa.pem"),
        "TGFLEET_TESTDC_STATE": str(directory / "state"),
        "TGFLEET_TESTDC_JOURNAL": str(directory / "journal.jsonl"),
        **extra,
    }
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "services.testdc", env=env)
    try:
        async with asyncio.timeout(20):
            while not ready.exists():
                assert process.returncode is None, "the data centre did not start"
                await asyncio.sleep(0.02)
        facts = json.loads(ready.read_text())
        async with grpc.aio.insecure_channel(facts["control"]) as channel:
            yield Centre(process, ControlServiceStub(channel), channel, facts)
    finally:
        if process.returncode is None:
            process.terminate()
        await asyncio.wait_for(process.wait(), 10)


def _saved_at(directory: Path) -> int:
    """When the last snapshot was written; 0 before the first."""
    state = directory / "state"
    return state.stat().st_mtime_ns if state.exists() else 0


def _client(facts: dict[str, str], session: str) -> Client:
    host, port = facts["testdc"].split(":")

    class Loopback(Connection):
        def __init__(self, *args: object, **kwargs: object) -> None:
            super().__init__(*args, **kwargs)  # type: ignore[arg-type]
            self.server_address, self.port, self.ipv6 = host, int(port), False

    return Client(
        "p", 1, "x", session_string=session, in_memory=True, connection_factory=Loopback, no_updates=False
    )


async def test_a_day_in_the_life(tmp_path: Path) -> None:
    async with _running(tmp_path) as dc:
        health = health_pb2_grpc.HealthStub(dc.channel)
        answer = await health.Check(health_pb2.HealthCheckRequest())
        assert answer.status == health_pb2.HealthCheckResponse.SERVING

        made = await dc.control.CreateAccount(pb.CreateAccountRequest(first_name="Alice", password="x"))
        alice = made.account
        assert (alice.two_factor, len(alice.auth_key), len(alice.auth_key_id)) == (True, 256, 16)
        bob = (await dc.control.CreateAccount(pb.CreateAccountRequest(virtual=True))).account
        assert bob.pyrogram_session == ""
        await dc.control.AddContact(pb.AddContactRequest(user_id=alice.user_id, contact_id=bob.user_id))

        client = _client(dc.facts, alice.pyrogram_session)
        await client.start()
        heard: asyncio.Queue[str] = asyncio.Queue()

        @client.on_message()
        async def on_message(_: Client, message: object) -> None:
            await heard.put(message.text)  # type: ignore[attr-defined]

        chat = pb.Chat(user_id=alice.user_id)
        await dc.control.SendMessage(pb.SendMessageRequest(sender_id=bob.user_id, chat=chat, text="hi"))
        assert await asyncio.wait_for(heard.get(), 5) == "hi"
        await client.send_message(bob.user_id, "hello")
        listed = await dc.control.ListMessages(pb.ListMessagesRequest(user_id=bob.user_id, chat=chat))
        assert [(m.author_id, m.text) for m in listed.messages] == [
            (bob.user_id, "hi"),
            (alice.user_id, "hello"),
        ]
        verdict = await dc.control.JudgeJournal(pb.JudgeJournalRequest(chats=[f"user:{bob.user_id}"]))
        assert list(verdict.violations) == []
        await client.stop()
        journal = await dc.control.GetJournal(pb.GetJournalRequest())
        assert [record.seq for record in journal.records] == list(range(1, len(journal.records) + 1))
        sent = [record for record in journal.records if record.method == "messages.sendMessage"]
        assert (sent[0].outcome, sent[0].effect, sent[0].auth_key_id) == (
            pb.OUTCOME_OK,
            True,
            alice.auth_key_id,
        )
    assert dc.process.returncode == 0
    lines = [json.loads(line) for line in (tmp_path / "journal.jsonl").read_text().splitlines()]
    assert [line["seq"] for line in lines][: len(journal.records)] == [r.seq for r in journal.records]
    assert {line.get("text_digest") for line in lines} >= {digest("hi"), digest("hello")}
    assert '"hi"' not in (tmp_path / "journal.jsonl").read_text()


async def test_the_published_key_serves_a_key_exchange(tmp_path: Path) -> None:
    async with _running(tmp_path) as dc:
        host, port = dc.facts["testdc"].split(":")
        telethon_rsa.add_key(Path(dc.facts["rsa_key"]).read_text(), old=False)
        stored = StringSession()
        stored.set_dc(2, host, int(port))
        client = TelegramClient(stored, 1, "x")
        await client.connect()
        assert not await client.is_user_authorized()
        await client.disconnect()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
async def test_a_restart_loses_nothing(tmp_path: Path, how: signal.Signals) -> None:
    """Same ports, same RSA key, same accounts, chats, faults and dead keys."""
    async with _running(tmp_path) as dc:
        alice = (await dc.control.CreateAccount(pb.CreateAccountRequest(first_name="Alice"))).account
        dead = (await dc.control.CreateAccount(pb.CreateAccountRequest(first_name="Dead"))).account
        await dc.control.KillKey(pb.KillKeyRequest(auth_key_id=dead.auth_key_id, reason="SESSION_REVOKED"))
        fault = pb.Fault(kind=pb.FAULT_KIND_SLOW, user_id=alice.user_id, delay=Duration(nanos=1_000_000))
        await dc.control.SetFault(pb.SetFaultRequest(fault=fault))
        chat = pb.Chat(user_id=alice.user_id)
        client = _client(dc.facts, alice.pyrogram_session)
        await client.start()
        await client.send_message("me", "**note**")
        await client.stop()
        before = _saved_at(tmp_path)
        await dc.control.AddContact(pb.AddContactRequest(user_id=alice.user_id, contact_id=dead.user_id))
        async with asyncio.timeout(20):
            while _saved_at(tmp_path) == before:
                await asyncio.sleep(0.02)
        dc.process.send_signal(how)
        await dc.process.wait()
    pem = (tmp_path / "rsa.pem").read_bytes()
    async with _running(tmp_path, TGFLEET_TESTDC_LISTEN=dc.facts["testdc"]) as again:
        assert again.facts["testdc"] == dc.facts["testdc"]
        assert (tmp_path / "rsa.pem").read_bytes() == pem
        accounts = (await again.control.ListAccounts(pb.ListAccountsRequest())).accounts
        kept = {account.user_id: account for account in accounts}
        assert kept[alice.user_id].auth_key == alice.auth_key
        assert kept[alice.user_id].pyrogram_session == alice.pyrogram_session
        assert kept[dead.user_id].dead == "SESSION_REVOKED"
        listed = await again.control.ListMessages(pb.ListMessagesRequest(user_id=alice.user_id, chat=chat))
        assert [message.text for message in listed.messages] == ["note"]
        assert (await again.control.ClearFaults(pb.ClearFaultsRequest())).cleared == 1
        client = _client(again.facts, alice.pyrogram_session)
        await client.start()
        assert [m.text.html async for m in client.get_chat_history("me")] == ["<b>note</b>"]
        await client.stop()
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o600


async def test_the_journal_can_be_watched(tmp_path: Path) -> None:
    async with _running(tmp_path) as dc:
        watch = dc.control.WatchJournal(pb.WatchJournalRequest())
        await dc.control.SetFault(pb.SetFaultRequest(fault=pb.Fault(kind=pb.FAULT_KIND_SILENT)))
        batch = await asyncio.wait_for(watch.read(), 5)
        assert [record.kind for record in batch.records] == [pb.RECORD_KIND_FAULT_SET]
        dc.process.terminate()
        assert await asyncio.wait_for(watch.read(), 5) is grpc.aio.EOF
        assert await asyncio.wait_for(dc.process.wait(), 5) == 0


_BAD, _MISSING = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND
_BAD_REQUESTS = [
    ("GetAccount", pb.GetAccountRequest(user_id=1), _MISSING, "USER_NOT_FOUND"),
    ("CreateAccount", pb.CreateAccountRequest(auth_key=b"x"), _BAD, "auth_key"),
    ("CreateAccount", pb.CreateAccountRequest(phone="42777"), grpc.StatusCode.ALREADY_EXISTS, "PHONE_TAKEN"),
    ("CreateChat", pb.CreateChatRequest(creator_id=777000), _BAD, "kind"),
    ("SetFault", pb.SetFaultRequest(), _BAD, "kind"),
    ("SendMessage", pb.SendMessageRequest(sender_id=777000), _BAD, "chat"),
    ("KillKey", pb.KillKeyRequest(auth_key_id="zz"), _MISSING, "KEY_NOT_FOUND"),
    ("ListAccounts", pb.ListAccountsRequest(page_token="x"), _BAD, "page_token"),
    (
        "SetFault",
        pb.SetFaultRequest(fault=pb.Fault(kind=pb.FAULT_KIND_FLOOD_WAIT, seconds=-1)),
        _BAD,
        "seconds",
    ),
    (
        "SendMessage",
        pb.SendMessageRequest(sender_id=777000, chat=pb.Chat(user_id=5), text="x"),
        grpc.StatusCode.FAILED_PRECONDITION,
        "PEER_ID_INVALID",
    ),
]


async def test_bad_requests_change_nothing(tmp_path: Path) -> None:
    async with _running(tmp_path) as dc:
        before = await dc.control.GetJournal(pb.GetJournalRequest())
        for method, request, code, word in _BAD_REQUESTS:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await getattr(dc.control, method)(request)
            assert (method, caught.value.code()) == (method, code)
            assert word in str(caught.value.trailing_metadata())
        assert await dc.control.GetJournal(pb.GetJournalRequest()) == before
        assert len((await dc.control.ListAccounts(pb.ListAccountsRequest())).accounts) == 1


@pytest.mark.parametrize(
    ("name", "value", "word"),
    [
        ("TGFLEET_TESTDC_LISTEN", "0.0.0.0:0", "loopback"),
        ("TGFLEET_TESTDC_DC_ID", "9", "TGFLEET_TESTDC_DC_ID"),
        ("TGFLEET_TESTDC_LISTENS", "x", "TGFLEET_TESTDC_LISTEN"),
    ],
)
async def test_bad_settings_stop_the_start(tmp_path: Path, name: str, value: str, word: str) -> None:
    env = {**os.environ, name: value, "TGFLEET_TESTDC_STATE": str(tmp_path / "state")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.testdc", env=env, stderr=asyncio.subprocess.PIPE
    )
    _, complaint = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 2
    assert word in complaint.decode()


async def test_a_file_that_is_no_state_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state").write_bytes(b"something else")
    env = {**os.environ, "TGFLEET_TESTDC_STATE": str(tmp_path / "state")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.testdc", env=env, stderr=asyncio.subprocess.PIPE
    )
    _, complaint = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 2
    assert "no state" in complaint.decode()
    assert (tmp_path / "state").read_bytes() == b"something else"
