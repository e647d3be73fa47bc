"""One suite for the Telegram port: the fake in memory and kurigram against the test data centre must behave
the same."""

from __future__ import annotations

import asyncio
import struct
import threading
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from socket import SO_LINGER, SOL_SOCKET
from typing import Protocol

import pytest

from services.runtime.addresses import HostPort
from services.runtime.clock import SystemClock
from services.testdc.embed import Account, Fault, FaultKind, NewAccount, TestDataCentre, user_peer
from services.worker.adapters.telegram import KurigramClients, TelegramConfig
from services.worker.adapters.telegram_route import Route
from services.worker.domain.telegram import (
    ChatKind,
    Credentials,
    Fenced,
    IncomingMessage,
    LinkCause,
    LinkDown,
    Refused,
)
from services.worker.fakes.telegram import FakeAccount, FakeTelegram
from services.worker.gate import Gate
from services.worker.ports import TelegramClient, Unrestrained

USER, FRIEND = 1, 2


class Bench(Protocol):
    """One Telegram with one account, and ways to trouble it."""

    user_id: int
    friend_id: int
    got: list[IncomingMessage]
    gate: Gate

    def client(self) -> TelegramClient: ...
    def refuse(self, code: int, error: str) -> None: ...
    def silence(self) -> None: ...
    def heal(self) -> None: ...
    def drop(self) -> None: ...
    def write(self, text: str) -> None: ...
    def answers(self) -> list[str]: ...
    def calls(self) -> int: ...


class FakeBench:
    KEY = b"k" * 256

    def __init__(self) -> None:
        self.telegram = FakeTelegram()
        self.user_id, self.friend_id = 11, 22
        self.account = self.telegram.accounts[self.KEY] = FakeAccount(self.user_id)
        self.got: list[IncomingMessage] = []
        self.gate = Gate(lambda: True)

    def client(self) -> TelegramClient:
        credentials = Credentials(2, self.KEY, test_mode=False, user_id=0, api_id=0)
        return self.telegram.make(credentials, self.gate, self.got.append, Unrestrained())

    def refuse(self, code: int, error: str) -> None:
        number = int(error.rsplit("_", 1)[1]) if error[-1].isdigit() else None
        name = error.rsplit("_", 1)[0] + "_X" if number else error
        self.account.refuse = Refused(code, name, "", number)

    def silence(self) -> None:
        self.account.silent = True

    def heal(self) -> None:
        self.account.silent, self.account.refuse = False, None

    def drop(self) -> None:
        self.telegram.drop(self.KEY)

    def write(self, text: str) -> None:
        message = IncomingMessage(
            chat_id=self.friend_id,
            chat_kind=ChatKind.PRIVATE,
            message_id=7,
            sender_id=self.friend_id,
            sender_is_bot=False,
            sender_is_contact=False,
            sent_at=datetime.now(UTC),
            text=text,
            first_name="Friend",
        )
        self.telegram.deliver(self.KEY, message)

    def answers(self) -> list[str]:
        return [text for _, text in self.account.answers]

    def calls(self) -> int:
        return len(self.telegram.journal)


class RealBench:
    def __init__(self, dc: TestDataCentre) -> None:
        self.dc = dc
        self.account: Account = dc.control.create_account(NewAccount(first_name="Me"))
        self.user_id = self.account.user_id
        self.friend_id = dc.control.create_account(NewAccount(first_name="Friend", virtual=True)).user_id
        self.got: list[IncomingMessage] = []
        self.gate = Gate(lambda: True)
        config = TelegramConfig(
            api_id=12345,
            api_hash="0123456789abcdef0123456789abcdef",
            route=Route(HostPort(dc.host, dc.port), live=False),
            rsa_key=dc.rsa_key_path,
            keepalive=0.3,
        )
        self.clients = KurigramClients(config, SystemClock())

    def client(self) -> TelegramClient:
        credentials = Credentials(2, self.account.auth_key, test_mode=False, user_id=0, api_id=0)
        return self.clients.make(credentials, self.gate, self.got.append, Unrestrained())

    def refuse(self, code: int, error: str) -> None:
        self.dc.control.set_fault(Fault(FaultKind.RPC_ERROR, user_id=self.user_id, code=code, error=error))

    def silence(self) -> None:
        self.dc.control.set_fault(Fault(FaultKind.SILENT, user_id=self.user_id))

    def heal(self) -> None:
        self.dc.control.clear_faults(user_id=self.user_id)

    def drop(self) -> None:
        self.dc.control.drop_connections(user_id=self.user_id)

    def write(self, text: str) -> None:
        self.dc.control.send_message(self.friend_id, user_peer(self.user_id), text)

    def answers(self) -> list[str]:
        found = self.dc.control.get_messages(self.user_id, user_peer(self.friend_id))
        return [m.text for m in found if m.outgoing]

    def calls(self) -> int:
        return sum(1 for r in self.dc.control.get_journal() if r.kind.value == "call")


@pytest.fixture(params=["fake", "kurigram"])
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    if request.param == "fake":
        yield FakeBench()
        return
    async with TestDataCentre() as dc:
        yield RealBench(dc)


@pytest.fixture
async def client(bench: Bench) -> AsyncIterator[TelegramClient]:
    made = bench.client()
    yield made
    await made.close()


async def test_connect_says_who_it_is(bench: Bench, client: TelegramClient) -> None:
    before = client.facts()
    assert (before.started, before.open_sockets, before.answered_ago) == (False, 0, None)
    assert not bench.gate.used
    assert (await client.connect(5)).user_id == bench.user_id
    facts = client.facts()
    assert facts.started
    assert facts.receiving
    assert facts.open_sockets == 1
    assert facts.answered_ago is not None
    assert facts.answered_ago < 1
    assert bench.gate.used


async def test_ping_and_probe_are_answered(bench: Bench, client: TelegramClient) -> None:
    await client.connect(5)
    calls = bench.calls()
    await client.ping(5)
    await client.probe(5)
    assert bench.calls() >= calls + 2
    assert client.facts().calls_in_flight == 0


async def test_an_error_is_told_in_telegrams_words(bench: Bench, client: TelegramClient) -> None:
    bench.refuse(420, "FLOOD_WAIT_42")
    with pytest.raises(Refused) as refused:
        await client.connect(5)
    assert (refused.value.code, refused.value.name, refused.value.seconds) == (420, "FLOOD_WAIT_X", 42)
    assert refused.value.method == "initConnection"
    assert client.facts().open_sockets == 0


async def test_errors_on_a_live_link_leave_it_up(bench: Bench, client: TelegramClient) -> None:
    await client.connect(5)
    bench.refuse(400, "SOMETHING_NEW_THAT_NOBODY_LISTS")
    with pytest.raises(Refused) as refused:
        await client.probe(5)
    assert refused.value.name == "SOMETHING_NEW_THAT_NOBODY_LISTS"
    assert client.facts().started


async def test_silence_ends_at_the_limit(bench: Bench, client: TelegramClient) -> None:
    bench.silence()
    began = time.monotonic()
    with pytest.raises(LinkDown) as down:
        await client.connect(0.5)
    assert down.value.cause is LinkCause.NO_ANSWER
    assert time.monotonic() - began < 2
    assert client.facts().open_sockets == 0


async def test_the_end_of_a_link_is_told_and_another_can_be_made(
    bench: Bench, client: TelegramClient
) -> None:
    await client.connect(5)
    bench.drop()
    async with asyncio.timeout(5):
        assert (await client.ended()).cause is LinkCause.LINK_CLOSED
    with pytest.raises(LinkDown):
        await client.ping(1)
    assert (await client.connect(5)).user_id == bench.user_id
    await client.recover(5)
    assert client.facts().open_sockets == 1


async def test_a_call_under_way_ends_with_the_link(bench: Bench, client: TelegramClient) -> None:
    await client.connect(5)
    bench.silence()
    call = asyncio.create_task(client.probe(10))
    await asyncio.sleep(0.05)
    assert client.facts().calls_in_flight >= 1
    await client.close()
    async with asyncio.timeout(2):
        with pytest.raises(LinkDown):
            await call
    assert client.facts().calls_in_flight == 0
    assert client.facts().open_sockets == 0


async def test_a_shut_gate_stops_everything_at_once_and_for_good(
    bench: Bench, client: TelegramClient
) -> None:
    await client.connect(5)
    calls = bench.calls()
    bench.gate.close()
    assert client.facts().open_sockets == 0
    async with asyncio.timeout(2):
        await client.ended()
    for attempt in (client.ping(1), client.probe(1), client.connect(1)):
        with pytest.raises(Fenced):
            await attempt
    await asyncio.sleep(0.4)
    assert bench.calls() == calls


async def test_a_gate_that_its_owner_closed_is_noticed_before_a_byte_leaves(bench: Bench) -> None:
    allowed = True
    bench.gate = Gate(lambda: allowed)
    client = bench.client()
    await client.connect(5)
    calls = bench.calls()
    allowed = False
    with pytest.raises(Fenced):
        await client.probe(1)
    assert bench.gate.shut
    assert bench.calls() == calls
    await client.close()


async def test_messages_come_in_and_answers_go_out(bench: Bench, client: TelegramClient) -> None:
    await client.connect(5)
    bench.write("hello")
    async with asyncio.timeout(5):
        while not bench.got:
            await asyncio.sleep(0.01)
    message = bench.got[0]
    assert (message.chat_id, message.sender_id, message.text) == (bench.friend_id, bench.friend_id, "hello")
    assert (message.chat_kind, message.first_name) == (ChatKind.PRIVATE, "Friend")
    assert await client.reply(message, "hi", 5) > message.message_id
    assert bench.answers() == ["hi"]


async def test_closing_twice_is_fine(bench: Bench, client: TelegramClient) -> None:
    await client.close()
    await client.connect(5)
    await client.close()
    await client.close()
    assert client.facts().open_sockets == 0
    assert bench.user_id


async def test_a_client_that_went_deaf_is_noticed_at_once() -> None:
    """TELEGRAM.md section 3, hazard 2: the receive task dies and the library believes that all is well."""
    async with TestDataCentre() as dc:
        client = RealBench(dc).client()
        await client.connect(5)
        client._session.recv_task.cancel()  # type: ignore[attr-defined]
        async with asyncio.timeout(1):
            await client.ended()
        assert not client.facts().receiving
        await client.close()


async def test_a_burst_of_updates_waits_in_the_kernel_and_arrives_whole() -> None:
    """The library takes in whatever comes, a task for each packet: memory that a worker of many clients does
    not get back."""
    async with TestDataCentre() as dc:
        bench = RealBench(dc)
        client = bench.client()
        await client.connect(5)
        most = 0
        for number in range(1500):
            bench.write(f"message {number} " + "x" * 500)
        async with asyncio.timeout(30):
            while len(bench.got) < 1500:
                packets = [t for t in asyncio.all_tasks() if "handle_packet" in str(t.get_coro())]
                most = max(most, len(packets))
                await asyncio.sleep(0)
        assert most <= 40, f"{most} packets taken in at once"
        assert len({m.message_id for m in bench.got}) == 1500
        await client.ping(5)
        await client.close()


async def test_many_links_leave_no_task_thread_or_socket_behind() -> None:
    async with TestDataCentre() as dc:
        bench = RealBench(dc)
        client = bench.client()
        before = len(asyncio.all_tasks())
        for _ in range(5):
            await client.connect(5)
            bench.drop()
            await client.ended()
        await client.close()
        await asyncio.sleep(0.05)
        assert len(asyncio.all_tasks()) <= before
        assert sum(t.name.startswith("crypto") for t in threading.enumerate()) <= 2


@pytest.mark.parametrize("ahead", [-3600.0, -40.0, 40.0, 3600.0])
async def test_a_wrong_clock_is_corrected_by_the_servers(ahead: float) -> None:
    async with TestDataCentre() as dc:
        bench = RealBench(dc)
        dc.control.set_fault(Fault(FaultKind.WRONG_CLOCK, user_id=bench.user_id, delay=ahead))
        client = bench.client()
        assert (await client.connect(5)).user_id == bench.user_id
        await client.ping(2)
        await client.probe(2)
        bench.write("hello")
        async with asyncio.timeout(5):
            while not bench.got:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.7)  # two keepalives of 0.3 s
        assert client.facts().started
        await client.close()


@pytest.mark.parametrize("jump", [-3600.0, 3600.0])
async def test_a_clock_that_somebody_sets_ends_no_link(jump: float, monkeypatch: pytest.MonkeyPatch) -> None:
    async with TestDataCentre() as dc:
        bench = RealBench(dc)
        client = bench.client()
        await client.connect(5)
        real = time.time
        monkeypatch.setattr(time, "time", lambda: real() + jump)
        for _ in range(3):
            await client.ping(2)
            await client.probe(2)
            await asyncio.sleep(0.35)  # a keepalive of 0.3 s
        bench.write("hello")
        async with asyncio.timeout(5):
            while not bench.got:
                await asyncio.sleep(0.01)
        assert client.facts().started
        assert len(dc.control.live_connections(bench.user_id)) == 1
        await client.close()


async def test_a_link_that_ends_with_a_call_under_way_leaves_nothing_in_the_kernel() -> None:
    """A half-open link: what was written lies in a buffer, and a socket closed in good order would still
    deliver it when the other side wakes up."""
    async with TestDataCentre() as dc:
        bench = RealBench(dc)
        client = bench.client()
        await client.connect(5)
        dc.control.set_fault(Fault(FaultKind.HALF_OPEN, user_id=bench.user_id))
        await asyncio.sleep(0.05)
        call = asyncio.create_task(client.probe(10))
        async with asyncio.timeout(5):
            while not client.facts().calls_in_flight:
                await asyncio.sleep(0)
        socket = client._session.connection.protocol._socket._sock  # type: ignore[attr-defined]
        lingering: list[bytes] = []
        closing = socket.close

        class Watched:
            def __getattr__(self, name: str) -> object:
                return getattr(socket, name)

            def close(self) -> None:
                lingering.append(socket.getsockopt(SOL_SOCKET, SO_LINGER, 8))
                closing()

        client._session.connection.protocol._socket._sock = Watched()  # type: ignore[attr-defined]
        client._session._end(LinkDown(LinkCause.PING_TIMEOUT))  # type: ignore[attr-defined]
        assert lingering == [struct.pack("ii", 1, 0)], "reset, not closed in good order"
        assert client.facts().open_sockets == 0
        with pytest.raises(LinkDown):
            await call
        await client.close()
