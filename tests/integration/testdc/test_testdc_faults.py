"""Every misbehaviour, as stock clients meet it (TELEGRAM.md sections 2 and 3)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from pyrogram import Client, errors, raw
from pyrogram.session.session import SessionState
from telethon import errors as telethon_errors

from services.testdc.embed import Account, Fault, FaultKind, TestDataCentre, user_peer
from tests.support.testdc import kurigram_client, leave, make_kurigram, make_telethon, telethon_client


async def _until(condition: Callable[[], bool], within: float = 5.0) -> None:
    async with asyncio.timeout(within):
        while not condition():
            await asyncio.sleep(0.01)


async def _fails_to_start(client: Client) -> BaseException:
    """What `start` says. Bounded, as TELEGRAM.md section 3 advises."""
    try:
        with pytest.raises(errors.RPCError) as caught:
            async with asyncio.timeout(5):
                await client.start()
        return caught.value
    finally:
        if client.is_connected:
            await leave(client)
        elif client.storage.conn is not None:
            await client.storage.close()


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        (FaultKind.SESSION_REVOKED, errors.SessionRevoked),
        (FaultKind.AUTH_KEY_UNREGISTERED, errors.AuthKeyUnregistered),
        (FaultKind.BANNED, errors.UserDeactivatedBan),
        (FaultKind.FROZEN, errors.FrozenMethodInvalid),
    ],
)
async def test_accounts_that_are_dead_on_arrival(
    dc: TestDataCentre, alice: Account, bob: Account, kind: FaultKind, error: type[Exception]
) -> None:
    dc.control.set_fault(Fault(kind, user_id=alice.user_id))
    assert isinstance(await _fails_to_start(make_kurigram(dc, alice.pyrogram_session)), error)
    async with kurigram_client(dc, bob) as other:
        assert other.me.id == bob.user_id
    dc.control.clear_faults(user_id=alice.user_id)
    async with kurigram_client(dc, alice) as client:
        assert client.me.id == alice.user_id


async def test_telethon_meets_the_same_errors(dc: TestDataCentre, alice: Account) -> None:
    dc.control.set_fault(Fault(FaultKind.BANNED, user_id=alice.user_id))
    client = make_telethon(dc, alice.telethon_session)
    with pytest.raises(telethon_errors.UserDeactivatedBanError):
        await client.connect()
    await client.disconnect()


async def test_a_session_revoked_while_it_runs(dc: TestDataCentre, alice: Account) -> None:
    async with kurigram_client(dc, alice) as client:
        dc.control.kill_key(alice.auth_key_id, "SESSION_REVOKED")
        with pytest.raises(errors.SessionRevoked):
            await client.get_me()
    assert dc.control.get_account(alice.user_id).dead == "SESSION_REVOKED"


async def test_a_frozen_account_reads_but_does_not_write(dc: TestDataCentre, alice: Account) -> None:
    async with kurigram_client(dc, alice) as client:
        dc.control.set_fault(Fault(FaultKind.FROZEN, user_id=alice.user_id))
        assert (await client.get_me()).id == alice.user_id
        with pytest.raises(errors.FrozenMethodInvalid):
            await client.send_message("me", "hi")
        config = await client.invoke(raw.functions.help.GetAppConfig(hash=0))
        assert "freeze_since_date" in [value.key for value in config.config.value]


async def test_a_flood_wait_counts_down_and_ends(dc: TestDataCentre, alice: Account) -> None:
    fault = Fault(FaultKind.FLOOD_WAIT, user_id=alice.user_id, seconds=1, methods=("messages.sendMessage",))
    async with kurigram_client(dc, alice, sleep_threshold=0) as client:
        dc.control.set_fault(fault)
        with pytest.raises(errors.FloodWait) as caught:
            await client.send_message("me", "hi")
        assert caught.value.value == 1
        with pytest.raises(errors.FloodWait):
            await client.send_message("me", "too early")
        assert (await client.get_me()).id == alice.user_id
        await asyncio.sleep(1)
        assert (await client.send_message("me", "hi")).text == "hi"
    assert [violation.kind.value for violation in dc.control.judge().violations] == ["flooded"]


async def test_flood_waiting_on_connect(dc: TestDataCentre, alice: Account) -> None:
    """kurigram restarts without a pause for as long as initConnection is refused: hazard 4."""
    dc.control.set_fault(
        Fault(FaultKind.FLOOD_WAIT, user_id=alice.user_id, seconds=600, methods=("initConnection",))
    )
    client = make_kurigram(dc, alice.pyrogram_session)
    starting = asyncio.create_task(client.connect())
    waits = [record async for record in _outcomes(dc, "flood_wait", 3)]
    assert {record.method for record in waits} == {"help.getConfig"}
    assert all(590 < record.wait <= 600 for record in waits)
    await starting
    dc.control.clear_faults()
    await _until(lambda: client.session.state is SessionState.STARTED)
    await leave(client)


async def _outcomes(dc: TestDataCentre, outcome: str, count: int) -> Any:
    after = 0
    for _ in range(count):
        record = await dc.until(lambda record: record.outcome.value == outcome, after=after)
        after = record.seq
        yield record


async def test_an_arbitrary_error_as_often_as_told(dc: TestDataCentre, alice: Account) -> None:
    fault = Fault(
        FaultKind.RPC_ERROR,
        user_id=alice.user_id,
        code=400,
        error="PEER_FLOOD",
        methods=("messages.sendMessage",),
        remaining=1,
    )
    async with kurigram_client(dc, alice) as client:
        dc.control.set_fault(fault)
        with pytest.raises(errors.PeerFlood):
            await client.send_message("me", "hi")
        assert (await client.send_message("me", "hi")).text == "hi"


async def test_a_silent_data_centre(dc: TestDataCentre, alice: Account) -> None:
    """TCP is accepted and nothing is answered, not even to a key exchange."""
    dc.control.set_fault(Fault(FaultKind.SILENT))
    for session in (alice.pyrogram_session, ""):
        client = make_kurigram(dc, session)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await client.connect()
        await client.storage.close()
    calls = [record for record in dc.control.get_journal() if record.kind.value == "call"]
    assert {record.outcome.value for record in calls} == {"no_answer"}
    assert {record.auth_key_id for record in calls} == {alice.auth_key_id}


async def test_silence_for_one_account(dc: TestDataCentre, alice: Account, bob: Account) -> None:
    async with kurigram_client(dc, alice) as a, kurigram_client(dc, bob) as b:
        dc.control.set_fault(Fault(FaultKind.SILENT, user_id=alice.user_id))
        with pytest.raises(TimeoutError):
            await a.invoke(raw.functions.updates.GetState(), retries=1, timeout=0.2)
        await b.send_message("alice", "anybody there?")
        dc.control.clear_faults(user_id=alice.user_id)
        assert [m.text async for m in a.get_chat_history("bob")] == ["anybody there?"]


async def test_dropped_connections_come_back(dc: TestDataCentre, alice: Account) -> None:
    async with kurigram_client(dc, alice) as client:
        first = client.session.connection
        assert dc.control.drop_connections(user_id=alice.user_id) == 1
        await _until(
            lambda: client.session.connection is not first and client.session.state is SessionState.STARTED
        )
        assert (await client.get_me()).id == alice.user_id
    assert dc.control.judge().violations == ()


async def test_half_open(dc: TestDataCentre, alice: Account) -> None:
    """Neither side hears the other and the socket stays; afterwards what was sent arrives."""
    async with telethon_client(dc, alice) as client:
        dc.control.set_fault(Fault(FaultKind.HALF_OPEN, user_id=alice.user_id))
        call = asyncio.create_task(client.get_me())
        done, _ = await asyncio.wait([call], timeout=0.2)
        assert not done
        assert client.is_connected()
        assert len(dc.control.live_connections(alice.user_id)) == 1
        dc.control.clear_faults()
        assert (await asyncio.wait_for(call, 5)).id == alice.user_id


async def test_a_client_that_leaves_a_half_open_link_is_not_noticed(
    dc: TestDataCentre, alice: Account
) -> None:
    async with telethon_client(dc, alice):
        dc.control.set_fault(Fault(FaultKind.HALF_OPEN, user_id=alice.user_id))
    await asyncio.sleep(0.1)
    assert len(dc.control.live_connections(alice.user_id)) == 1
    dc.control.clear_faults()
    await _until(lambda: not dc.control.live_connections(alice.user_id))


async def test_404_on_a_live_link_leaves_kurigram_deaf(dc: TestDataCentre, alice: Account) -> None:
    """Hazard 2: the receive task is dead while the state stays STARTED."""
    client = make_kurigram(dc, alice.pyrogram_session)
    await client.start()
    dc.control.set_fault(Fault(FaultKind.KEY_UNKNOWN, user_id=alice.user_id))
    await _until(client.session.recv_task.done)
    assert client.session.state is SessionState.STARTED
    await client.terminate()
    with pytest.raises(Exception, match="Auth key not found"):
        await client.disconnect()
    await client.disconnect()


async def test_404_for_a_key_that_is_not_known(dc: TestDataCentre, alice: Account) -> None:
    dc.control.kill_key(alice.auth_key_id, "")
    client = make_telethon(dc, alice.telethon_session)
    with pytest.raises(telethon_errors.AuthKeyNotFound):
        await client.connect()


async def test_slow_calls(dc: TestDataCentre, alice: Account) -> None:
    async with kurigram_client(dc, alice) as client:
        dc.control.set_fault(Fault(FaultKind.SLOW, user_id=alice.user_id, delay=0.2))
        began = asyncio.get_running_loop().time()
        await client.get_me()
        assert 0.2 <= asyncio.get_running_loop().time() - began < 5
    outcomes = [
        record.outcome.value for record in dc.control.get_journal() if record.method == "users.getFullUser"
    ]
    assert outcomes == ["ok", "pending", "ok"]


async def test_a_late_effect_outlives_its_link(dc: TestDataCentre, alice: Account, bob: Account) -> None:
    """The client gives up and goes; the message is sent all the same, later."""
    async with kurigram_client(dc, alice) as client:
        await client.resolve_peer("bob")
        dc.control.set_fault(
            Fault(FaultKind.LATE_EFFECT, user_id=alice.user_id, delay=0.4, methods=("messages.sendMessage",))
        )
        call = asyncio.create_task(client.send_message("bob", "late"))
        await dc.until(lambda record: record.outcome.value == "pending")
        call.cancel()
    assert dc.control.get_messages(bob.user_id, user_peer(alice.user_id)) == []
    record = await dc.until(lambda record: record.kind.value == "answer")
    assert record.effect
    assert [m.text for m in dc.control.get_messages(bob.user_id, user_peer(alice.user_id))] == ["late"]


@pytest.mark.parametrize(
    ("kind", "stored"),
    [(FaultKind.LOST_ANSWER, 1), (FaultKind.DROP_AFTER, 1), (FaultKind.DROP_BEFORE, 0)],
)
async def test_answers_that_never_come(
    dc: TestDataCentre, alice: Account, bob: Account, kind: FaultKind, stored: int
) -> None:
    """With or without an effect; the repeat with the same random_id finds out."""
    async with kurigram_client(dc, alice) as client:
        peer = await client.resolve_peer("bob")
        query = raw.functions.messages.SendMessage(peer=peer, message="once", random_id=99)
        dc.control.set_fault(
            Fault(kind, user_id=alice.user_id, methods=("messages.sendMessage",), remaining=1)
        )
        with pytest.raises(TimeoutError):
            await client.invoke(query, retries=1, timeout=0.3)
        chat = user_peer(alice.user_id)
        assert len(dc.control.get_messages(bob.user_id, chat)) == stored
        await _until(lambda: client.session.state is SessionState.STARTED)
        await client.invoke(query)
        assert len(dc.control.get_messages(bob.user_id, chat)) == 1
    call = next(r for r in dc.control.get_journal() if r.outcome.value == "no_answer" and r.random_id == 99)
    assert call.effect is bool(stored)


@pytest.mark.parametrize("offset", [-400.0, 400.0])
async def test_a_wrong_clock(dc: TestDataCentre, alice: Account, offset: float) -> None:
    """The client takes over the server's time and goes on."""
    dc.control.set_fault(Fault(FaultKind.WRONG_CLOCK, user_id=alice.user_id, delay=offset))
    async with telethon_client(dc, alice) as client:
        assert (await client.get_me()).id == alice.user_id
        assert client._sender._state.time_offset == pytest.approx(offset, abs=2)


async def test_kurigram_follows_a_clock_that_is_ahead(dc: TestDataCentre, alice: Account) -> None:
    """Not one that is behind: its message ids never go back, so they stay too high."""
    dc.control.set_fault(Fault(FaultKind.WRONG_CLOCK, user_id=alice.user_id, delay=400))
    async with kurigram_client(dc, alice) as client:
        assert (await client.get_me()).id == alice.user_id
        assert client.server_time - time.time() == pytest.approx(400, abs=2)


async def _says(client: Client) -> str:
    try:
        await client.get_me()
    except errors.RPCError as e:
        return str(e.ID)
    return "ok"


async def test_two_live_links_in_turn_kill_the_key(dc: TestDataCentre, alice: Account) -> None:
    """A, B, A: from then on both get 406, and so does whoever comes."""
    async with kurigram_client(dc, alice) as a, kurigram_client(dc, alice) as b:
        assert await _says(b) == "ok"
        assert await _says(a) == "AUTH_KEY_DUPLICATED"
        assert await _says(b) == "AUTH_KEY_DUPLICATED"
    died = next(record for record in dc.control.get_journal() if record.kind.value == "key_died")
    assert (died.error, died.auth_key_id) == ("AUTH_KEY_DUPLICATED", alice.auth_key_id)
    assert isinstance(
        await _fails_to_start(make_kurigram(dc, alice.pyrogram_session)), errors.AuthKeyDuplicated
    )
    verdict = dc.control.judge()
    assert len(verdict.duplicated) >= 1
    assert len(verdict.overlaps) >= 1


async def test_a_takeover_while_the_first_is_silent_is_legal(dc: TestDataCentre, alice: Account) -> None:
    async with telethon_client(dc, alice) as a:
        await a.get_me()
        async with telethon_client(dc, alice) as b:
            assert (await b.get_me()).id == alice.user_id
            assert (await b.get_me()).id == alice.user_id
            assert len(dc.control.live_connections(alice.user_id)) == 2
            await _cut_silently(a)
    verdict = dc.control.judge()
    assert verdict.duplicated == []
    assert verdict.overlaps == []
    assert len(verdict.stale_open) == 1


async def _cut_silently(client: Any) -> None:
    """Close a Telethon client's socket without another word, as a killed process does."""
    writer = client._sender._connection._writer
    client._sender._auto_reconnect = False
    writer.transport.abort()


async def test_another_login_of_the_account_is_no_duplicate(dc: TestDataCentre, alice: Account) -> None:
    second = dc.control.add_login(alice.user_id)
    assert second.auth_key_id != alice.auth_key_id
    async with kurigram_client(dc, alice) as a, kurigram_client(dc, second) as b:
        for client in (a, b, a, b):
            assert await _says(client) == "ok"
    assert dc.control.judge().violations == ()


async def test_updates_reach_every_login(dc: TestDataCentre, alice: Account, bob: Account) -> None:
    second = dc.control.add_login(alice.user_id)
    async with kurigram_client(dc, alice) as a, kurigram_client(dc, second) as b:
        heard: asyncio.Queue[str] = asyncio.Queue()
        for client in (a, b):
            client.on_message()(_hear_into(heard))
        dc.control.send_message(bob.user_id, user_peer(alice.user_id), "hi")
        assert [await asyncio.wait_for(heard.get(), 5) for _ in range(2)] == ["hi", "hi"]
        await a.send_message("bob", "mine")
        assert await asyncio.wait_for(heard.get(), 5) == "mine"


def _hear_into(heard: asyncio.Queue[str]) -> Callable[..., Awaitable[None]]:
    async def hear(_: Client, message: Any) -> None:
        await heard.put(message.text)

    return hear


async def test_the_link_closes_when_pings_stop(dc: TestDataCentre, alice: Account) -> None:
    """ping_delay_disconnect: a frozen client's link does not live for ever."""
    async with kurigram_client(dc, alice) as client:
        await client.session.send(
            raw.functions.PingDelayDisconnect(ping_id=1, disconnect_delay=1), wait_response=False
        )
        record = await dc.until(lambda record: record.kind.value == "connection_closed")
        assert record.detail == "no ping within disconnect_delay"


async def test_calls_without_a_login_are_refused(dc: TestDataCentre) -> None:
    client = make_kurigram(dc)
    await client.connect()
    with pytest.raises(errors.AuthKeyUnregistered):
        await client.invoke(raw.functions.updates.GetState())
    await leave(client)


async def test_unknown_methods_are_refused_without_harm(dc: TestDataCentre, alice: Account) -> None:
    async with kurigram_client(dc, alice) as client:
        with pytest.raises(errors.MethodInvalid):
            await client.invoke(raw.functions.phone.GetCallConfig())
        assert (await client.get_me()).id == alice.user_id


async def test_nonsense_on_the_wire_closes_the_link(dc: TestDataCentre, alice: Account) -> None:
    reader, writer = await asyncio.open_connection(dc.host, dc.port)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert await asyncio.wait_for(reader.read(), 5) == b""
    writer.close()
    reader, writer = await asyncio.open_connection(dc.host, dc.port)
    writer.write(b"\xef" + bytes([10]) + bytes.fromhex(alice.auth_key_id) + bytes(32))
    assert await asyncio.wait_for(reader.read(5), 5) == b"\x01" + (-404).to_bytes(4, "little", signed=True)
    writer.close()
    async with kurigram_client(dc, alice) as client:
        assert client.me.id == alice.user_id


async def test_a_second_link_that_has_gone_again_kills_nothing(
    dc: TestDataCentre, alice: Account, bob: Account
) -> None:
    """Telegram wants two live links; the judge calls it use by two all the same."""
    async with kurigram_client(dc, alice) as a:
        heard: asyncio.Queue[str] = asyncio.Queue()
        a.on_message()(_hear_into(heard))
        async with telethon_client(dc, alice) as b:
            await b.get_me()
        await _until(lambda: len(dc.control.live_connections(alice.user_id)) == 1)
        dc.control.send_message(bob.user_id, user_peer(alice.user_id), "hi")
        assert await asyncio.wait_for(heard.get(), 5) == "hi"
        assert await _says(a) == "ok"
    verdict = dc.control.judge()
    assert verdict.duplicated == []
    assert len(verdict.overlaps) == 1
