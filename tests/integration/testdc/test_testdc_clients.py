"""Stock kurigram and Telethon connect, write, read and hear of each other."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from pyrogram import Client, raw
from pyrogram.errors import ChatWriteForbidden
from pyrogram.types import Message
from telethon import events
from telethon.errors import PeerIdInvalidError
from telethon.network import ConnectionTcpAbridged, ConnectionTcpFull, ConnectionTcpIntermediate
from telethon.tl import functions
from telethon.tl.types import InputPeerUser

from services.testdc.adapters.sessions import Login, write_session_file
from services.testdc.embed import Account, NewAccount, TestDataCentre, channel_peer, user_peer
from tests.support.testdc import kurigram_client, leave, make_kurigram, make_telethon, telethon_client


async def test_kurigram_starts_with_a_stored_session(dc: TestDataCentre, alice: Account) -> None:
    async with kurigram_client(dc, alice) as client:
        assert client.me.id == alice.user_id
        assert (await client.get_me()).phone_number == alice.phone
    records = dc.control.get_journal()
    methods = [record.method for record in records if record.method]
    assert methods[:5] == ["rejected", "ping", "help.getConfig", "updates.getState", "users.getFullUser"]
    assert {record.auth_key_id for record in records if record.method} == {alice.auth_key_id}
    assert records[-1].kind.value == "connection_closed"


@pytest.mark.parametrize("connection", [ConnectionTcpAbridged, ConnectionTcpIntermediate, ConnectionTcpFull])
async def test_telethon_starts_with_a_stored_session(
    dc: TestDataCentre, alice: Account, connection: type
) -> None:
    async with telethon_client(dc, alice, connection) as client:
        assert (await client.get_me()).id == alice.user_id
        assert await client.is_user_authorized()


async def test_both_libraries_exchange_a_new_key(dc: TestDataCentre) -> None:
    telethon = make_telethon(dc)
    await telethon.connect()
    assert not await telethon.is_user_authorized()
    await telethon.disconnect()
    kurigram = make_kurigram(dc)
    assert await kurigram.connect() is False
    key_id = kurigram.session.auth_key_id.hex()
    await kurigram.disconnect()
    made = [record.auth_key_id for record in dc.control.get_journal() if record.kind.value == "key_created"]
    assert len(made) == 2
    assert made[1] == key_id


async def test_a_session_file_starts(dc: TestDataCentre, alice: Account, tmp_path: Path) -> None:
    login = Login(alice.auth_key, alice.user_id, 12345, alice.dc_id, dc.host, dc.port)
    write_session_file(tmp_path / "testdc.session", login)
    client = make_kurigram(dc, in_memory=False, workdir=tmp_path)
    await client.start()
    assert client.me.id == alice.user_id
    await leave(client)


async def test_private_messages_go_both_ways(dc: TestDataCentre, alice: Account, bob: Account) -> None:
    """kurigram here, Telethon there: they agree on what was said."""
    async with kurigram_client(dc, alice) as a, telethon_client(dc, bob) as b:
        heard_by_alice: asyncio.Queue[Message] = asyncio.Queue()
        heard_by_bob: asyncio.Queue[Any] = asyncio.Queue()

        @a.on_message()
        async def on_message(_: Client, message: Message) -> None:
            await heard_by_alice.put(message)

        b.add_event_handler(heard_by_bob.put, events.NewMessage(incoming=True))

        sent = await a.send_message("bob", "**hello** Bob")
        event = await asyncio.wait_for(heard_by_bob.get(), 5)
        assert (event.raw_text, (await event.get_sender()).first_name) == ("hello Bob", "Alice")
        assert event.message.entities[0].length == len("hello")

        await event.reply("hello Alice")
        answer = await asyncio.wait_for(heard_by_alice.get(), 5)
        assert (answer.text, answer.from_user.id, answer.chat.id) == ("hello Alice", bob.user_id, bob.user_id)
        assert answer.from_user.first_name == "Bob"

        history = [(m.text, m.outgoing) async for m in a.get_chat_history("bob")]
        assert history == [("hello Alice", False), ("hello Bob", True)]
        theirs = [(m.text, m.out) async for m in b.iter_messages("alice")]
        assert theirs == [("hello Alice", True), ("**hello** Bob", False)]
        assert sent.id == 1


async def test_writing_to_oneself(dc: TestDataCentre, alice: Account) -> None:
    async with kurigram_client(dc, alice) as client:
        sent = await client.send_message("me", "note")
        assert sent.text == "note"
        assert [m.text async for m in client.get_chat_history("me")] == ["note"]


async def test_dialogs_and_read_marks(dc: TestDataCentre, alice: Account, bob: Account) -> None:
    for text in ("one", "two"):
        dc.control.send_message(bob.user_id, user_peer(alice.user_id), text)
    async with kurigram_client(dc, alice) as client:
        dialogs = [dialog async for dialog in client.get_dialogs()]
        assert [(d.chat.id, d.unread_messages_count, d.top_message.text) for d in dialogs] == [
            (bob.user_id, 2, "two")
        ]
        await client.read_chat_history(bob.user_id)
        assert [d.unread_messages_count async for d in client.get_dialogs()] == [0]


async def test_many_dialogs_come_in_pages(dc: TestDataCentre, alice: Account) -> None:
    people = [dc.control.create_account(NewAccount(virtual=True)) for _ in range(120)]
    for person in people:
        dc.control.send_message(person.user_id, user_peer(alice.user_id), "hi")
    expected = [person.user_id for person in reversed(people)]
    async with kurigram_client(dc, alice) as client:
        assert [dialog.chat.id async for dialog in client.get_dialogs()] == expected
    async with telethon_client(dc, alice) as other:
        assert [dialog.id async for dialog in other.iter_dialogs()] == expected


async def test_a_group_hears_its_members(dc: TestDataCentre, alice: Account, bob: Account) -> None:
    group = dc.control.create_group("Friends", alice.user_id, [bob.user_id])
    async with kurigram_client(dc, alice) as a, telethon_client(dc, bob) as b:
        heard: asyncio.Queue[Message] = asyncio.Queue()

        @a.on_message()
        async def on_message(_: Client, message: Message) -> None:
            await heard.put(message)

        await b.get_dialogs()
        await b.send_message(-group.peer_id, "hello all")
        message = await asyncio.wait_for(heard.get(), 5)
        assert (message.text, message.chat.id, message.chat.title) == ("hello all", -group.peer_id, "Friends")
        assert message.from_user.id == bob.user_id


async def test_a_supergroup_has_one_numbering(dc: TestDataCentre, alice: Account, bob: Account) -> None:
    channel = dc.control.create_channel("Team", alice.user_id, [bob.user_id], username="teamchat")
    async with kurigram_client(dc, alice) as a, telethon_client(dc, bob) as b:
        heard: asyncio.Queue[Message] = asyncio.Queue()

        @a.on_message()
        async def on_message(_: Client, message: Message) -> None:
            await heard.put(message)

        sent = await b.send_message("teamchat", "hello team")
        message = await asyncio.wait_for(heard.get(), 5)
        assert (message.text, message.id, message.from_user.first_name) == ("hello team", sent.id, "Bob")
        assert message.chat.id == int(f"-100{channel.peer_id}")
        found = await a.get_messages("teamchat", [sent.id])
        assert found[0].text == "hello team"
        assert [m.text async for m in a.get_chat_history("teamchat")][:1] == ["hello team"]
        dialogs = [dialog async for dialog in a.get_dialogs()]
        assert dialogs[0].unread_messages_count == 1


async def test_messages_missed_while_away_are_caught_up(
    dc: TestDataCentre, alice: Account, bob: Account
) -> None:
    async with kurigram_client(dc, alice) as client:
        heard: asyncio.Queue[Message] = asyncio.Queue()

        @client.on_message()
        async def on_message(_: Client, message: Message) -> None:
            await heard.put(message)

        state = await client.invoke(raw.functions.updates.GetState())
        dc.control.send_message(bob.user_id, user_peer(alice.user_id), "missed")
        difference = await client.invoke(
            raw.functions.updates.GetDifference(pts=state.pts, date=state.date, qts=0)
        )
        assert [message.message for message in difference.new_messages] == ["missed"]
        assert difference.state.pts == state.pts + 1
        assert (await asyncio.wait_for(heard.get(), 5)).text == "missed"


async def test_telegrams_own_messages_come_from_777000(dc: TestDataCentre, alice: Account) -> None:
    async with kurigram_client(dc, alice) as client:
        heard: asyncio.Queue[Message] = asyncio.Queue()

        @client.on_message()
        async def on_message(_: Client, message: Message) -> None:
            await heard.put(message)

        dc.control.send_message(777000, user_peer(alice.user_id), "Login code: 12345")
        message = await asyncio.wait_for(heard.get(), 5)
        assert (message.from_user.id, message.text) == (777000, "Login code: 12345")
    lines = [record.as_json() for record in dc.control.get_journal()]
    assert "12345" not in str([line.get("detail", "") + line.get("text_digest", "") for line in lines])


async def test_contacts(dc: TestDataCentre, alice: Account, bob: Account) -> None:
    dc.control.add_contact(alice.user_id, bob.user_id)
    async with kurigram_client(dc, alice) as client:
        contacts = await client.get_contacts()
        assert [(user.id, user.is_contact, user.phone_number) for user in contacts] == [
            (bob.user_id, True, bob.phone)
        ]
        dc.control.send_message(bob.user_id, user_peer(alice.user_id), "hi")
        message = await anext(client.get_chat_history(bob.user_id))
        assert message.from_user.is_contact


async def test_the_same_random_id_is_sent_once(dc: TestDataCentre, alice: Account, bob: Account) -> None:
    async with kurigram_client(dc, alice) as client:
        peer = await client.resolve_peer("bob")
        query = raw.functions.messages.SendMessage(peer=peer, message="once", random_id=4711)
        first, second = await client.invoke(query), await client.invoke(query)
        assert first.updates[0].id == second.updates[0].id
    assert len(dc.control.get_messages(bob.user_id, user_peer(alice.user_id))) == 1
    stored = [record for record in dc.control.get_journal() if record.kind.value == "message"]
    assert [record.random_id for record in stored] == [4711]


async def test_access_hashes_of_others_are_refused(dc: TestDataCentre, alice: Account, bob: Account) -> None:
    async with telethon_client(dc, alice) as a, telethon_client(dc, bob) as b:
        mine = await a.get_input_entity("bob")
        theirs = InputPeerUser(bob.user_id, (await b.get_input_entity("alice")).access_hash)
        await a(functions.messages.GetHistoryRequest(mine, 0, None, 0, 10, 0, 0, 0))
        with pytest.raises(PeerIdInvalidError):
            await a(functions.messages.GetHistoryRequest(theirs, 0, None, 0, 10, 0, 0, 0))


async def test_the_configuration_names_loopback_only(dc: TestDataCentre, alice: Account) -> None:
    async with kurigram_client(dc, alice) as client:
        config = await client.invoke(raw.functions.help.GetConfig())
        options = [(o.ip_address, o.port, bool(o.media_only)) for o in config.dc_options]
        assert options == [("127.0.0.1", dc.port, False), ("127.0.0.1", dc.media_port, True)]


async def test_media_connections_use_their_own_port(dc: TestDataCentre, alice: Account) -> None:
    async with kurigram_client(dc, alice) as client:
        session = await client.get_session(is_media=True)
        await session.invoke(raw.functions.help.GetNearestDc())
        await client.get_me()
        await session.invoke(raw.functions.help.GetNearestDc())
        await client.get_me()
        calls = [r for r in dc.control.get_journal() if r.method == "help.getNearestDc"]
        assert [record.media for record in calls] == [True, True]
    assert dc.control.judge().violations == ()


async def test_500_clients_connect(dc: TestDataCentre) -> None:
    """Many at once, as a fleet does (20 at a time: TELEGRAM.md section 3, 11)."""
    accounts = [dc.control.create_account(NewAccount()) for _ in range(500)]
    clients = [make_kurigram(dc, account.pyrogram_session) for account in accounts]
    gate = asyncio.Semaphore(20)

    async def start(client: Client) -> None:
        async with gate:
            await client.start()

    await asyncio.gather(*map(start, clients))
    assert [client.me.id for client in clients] == [account.user_id for account in accounts]
    await asyncio.gather(*map(leave, clients))
    assert dc.control.judge().violations == ()


async def test_a_channel_is_private_to_its_members(dc: TestDataCentre, alice: Account, bob: Account) -> None:
    channel = dc.control.create_channel("Secret", alice.user_id)
    dc.control.send_message(alice.user_id, channel_peer(channel.peer_id), "psst")
    async with telethon_client(dc, bob) as client:
        assert [dialog.name async for dialog in client.iter_dialogs()] == []


async def test_a_restarted_client_recovers_what_it_missed(
    dc: TestDataCentre, alice: Account, bob: Account, tmp_path: Path
) -> None:
    """The session file keeps the update state; recover_gaps asks for the difference."""
    login = Login(alice.auth_key, alice.user_id, 12345, alice.dc_id, dc.host, dc.port)
    write_session_file(tmp_path / "testdc.session", login)
    channel = dc.control.create_channel("Team", alice.user_id, [bob.user_id])
    first = make_kurigram(dc, in_memory=False, workdir=tmp_path)
    await first.start()
    assert [dialog async for dialog in first.get_dialogs()]
    dc.control.send_message(bob.user_id, user_peer(alice.user_id), "seen")
    dc.control.send_message(bob.user_id, channel, "seen too")
    await first.get_me()
    await leave(first)
    dc.control.send_message(bob.user_id, user_peer(alice.user_id), "missed")
    dc.control.send_message(bob.user_id, channel, "missed too")
    second = make_kurigram(dc, in_memory=False, workdir=tmp_path)
    heard: asyncio.Queue[str] = asyncio.Queue()

    @second.on_message()
    async def on_message(_: Client, message: Message) -> None:
        await heard.put(message.text)

    await second.start()
    await second.recover_gaps()
    assert {await asyncio.wait_for(heard.get(), 5) for _ in range(2)} == {"missed", "missed too"}
    await leave(second)
    assert heard.empty()


async def test_deleted_messages_are_gone_for_both(dc: TestDataCentre, alice: Account, bob: Account) -> None:
    async with kurigram_client(dc, alice) as a, telethon_client(dc, bob) as b:
        gone: asyncio.Queue[Any] = asyncio.Queue()
        b.add_event_handler(gone.put, events.MessageDeleted())
        sent = await a.send_message("bob", "oops")
        (theirs,) = [message async for message in b.iter_messages("alice")]
        assert await a.delete_messages("bob", sent.id) == 1
        assert (await asyncio.wait_for(gone.get(), 5)).deleted_ids == [theirs.id]
        assert [m async for m in a.get_chat_history("bob")] == []
        assert [m async for m in b.iter_messages("alice")] == []


async def test_looking_at_chats(dc: TestDataCentre, alice: Account, bob: Account) -> None:
    group = dc.control.create_group("Friends", alice.user_id, [bob.user_id])
    dc.control.create_channel("News", bob.user_id, [alice.user_id], broadcast=True, username="newschannel")
    async with kurigram_client(dc, alice) as client:
        friends = await client.get_chat(-group.peer_id)
        assert (friends.title, friends.members_count) == ("Friends", 2)
        news = await client.get_chat("newschannel")
        assert (news.title, news.type.name, news.members_count) == ("News", "CHANNEL", 2)
        person = await client.get_chat("bob")
        assert person.first_name == "Bob"
        with pytest.raises(ChatWriteForbidden):
            await client.send_message("newschannel", "me too")
