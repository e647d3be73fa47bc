"""messages.forwardMessages with stock clients: what arrives, what is refused; all of it or nothing."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pyrogram import Client, raw
from pyrogram.errors import RPCError
from telethon.errors import ChatForwardsRestrictedError
from telethon.tl import functions as telethon_functions

from services.testdc.domain.errors import TelegramError
from services.testdc.domain.ledger import OnRepeat
from services.testdc.domain.media import MediaKind
from services.testdc.embed import Account, NewAccount, TestDataCentre, user_peer
from services.testdc.handlers_chats import Role
from tests.integration.testdc.forwarders import (
    FORWARD,
    forward,
    held,
    input_peer,
    named_ids,
    plain,
    shown,
)
from tests.support.testdc import kurigram_client, telethon_client


async def test_posts_of_a_channel_arrive_with_their_header(dc: TestDataCentre, alice: Account) -> None:
    source = dc.control.create_channel("Source", alice.user_id, broadcast=True, history=plain(5))
    target = dc.control.create_channel("Target", alice.user_id)
    async with kurigram_client(dc, alice) as client:
        there, here = await input_peer(client, source), await input_peer(client, target)
        answer = await forward(client, there, here, [2, 3, 4], silent=True)
        assert named_ids(answer) == {1: 2, 2: 3, 3: 4}
        first = shown(answer)[0]
        assert (first.fwd_from.from_id.channel_id, first.fwd_from.channel_post) == (source.peer_id, 2)
        assert (first.id, first.out, first.silent) == (2, True, True)
        assert first.message.startswith("message 2 ")
    assert [(m.source_chat, m.source_id) for m in held(dc, target)] == [(str(source), i) for i in (2, 3, 4)]


async def test_messages_of_people_name_the_person_alone(
    dc: TestDataCentre, alice: Account, bob: Account
) -> None:
    """The header of a supergroup's message tells neither its chat nor its number."""
    source = dc.control.create_channel("Source", alice.user_id, [bob.user_id])
    said = dc.control.send_message(bob.user_id, source, "mine")
    target = dc.control.create_channel("Target", alice.user_id)
    third = dc.control.create_channel("Third", alice.user_id)
    async with kurigram_client(dc, alice) as client:
        there, here, on = [await input_peer(client, chat) for chat in (source, target, third)]
        answer = await forward(client, there, here, [said.message_id])
        header = shown(answer)[0].fwd_from
        assert (header.from_id.user_id, header.channel_post, header.saved_from_peer) == (
            bob.user_id,
            None,
            None,
        )
        again = await forward(client, here, on, [shown(answer)[0].id], first=9)
        assert shown(again)[0].fwd_from.from_id.user_id == bob.user_id


async def test_hidden_people_and_saved_messages(dc: TestDataCentre, alice: Account) -> None:
    carol = dc.control.create_account(NewAccount(first_name="Carol", hidden=True, virtual=True))
    source = dc.control.create_channel("Source", alice.user_id, [carol.user_id])
    said = dc.control.send_message(carol.user_id, source, "psst")
    async with kurigram_client(dc, alice) as client:
        there, me = await input_peer(client, source), raw.types.InputPeerSelf()
        answer = await forward(client, there, me, [said.message_id])
        header = answer.updates[1].message.fwd_from
        assert (header.from_id, header.from_name, header.channel_post) == (None, "Carol", None)
        assert header.saved_from_peer.channel_id == source.peer_id
        assert header.saved_from_msg_id == said.message_id
        assert [m.text async for m in client.get_chat_history("me")] == ["psst"]


async def test_a_copy_has_no_header_and_loses_its_caption_where_asked(
    dc: TestDataCentre, alice: Account
) -> None:
    source = dc.control.create_channel("Source", alice.user_id)
    photo = dc.control.send_message(alice.user_id, source, "a caption", media=MediaKind.PHOTO)
    text = dc.control.send_message(alice.user_id, source, "a text")
    target = dc.control.create_channel("Target", alice.user_id)
    ids = [photo.message_id, text.message_id]
    async with kurigram_client(dc, alice) as client:
        there, here = await input_peer(client, source), await input_peer(client, target)
        kept = shown(await forward(client, there, here, ids, drop_author=True))
        bare = shown(
            await forward(client, there, here, ids, first=5, drop_author=True, drop_media_captions=True)
        )
    assert [(m.fwd_from, m.message) for m in kept] == [(None, "a caption"), (None, "a text")]
    assert [m.message for m in bare] == ["", "a text"]
    assert {m.media.photo.id for m in (kept[0], bare[0])} == {photo.media and photo.media.media_id}


async def test_an_album_stays_one(dc: TestDataCentre, alice: Account) -> None:
    source = dc.control.create_channel("Source", alice.user_id)
    parts = dc.control.send_album(alice.user_id, source, [MediaKind.PHOTO, MediaKind.VIDEO] * 2, "four")
    target = dc.control.create_channel("Target", alice.user_id)
    async with kurigram_client(dc, alice) as client:
        there, here = await input_peer(client, source), await input_peer(client, target)
        answer = shown(await forward(client, there, here, [part.message_id for part in parts]))
    grouped = {message.grouped_id for message in answer}
    assert len(grouped) == 1
    assert grouped != {parts[0].grouped_id}
    assert [m.message for m in answer] == ["four", "", "", ""]


async def test_more_than_a_hundred_are_cut_without_a_word(dc: TestDataCentre, alice: Account) -> None:
    source = dc.control.create_channel("Source", alice.user_id, history=plain(150))
    target = dc.control.create_channel("Target", alice.user_id)
    async with kurigram_client(dc, alice) as client:
        there, here = await input_peer(client, source), await input_peer(client, target)
        answer = await forward(client, there, here, range(2, 132))
        assert len(named_ids(answer)) == 100
    assert [m.source_id for m in held(dc, target)] == list(range(2, 102))


async def test_gaps_and_service_messages_are_passed_over(dc: TestDataCentre, alice: Account) -> None:
    source = dc.control.create_channel("Source", alice.user_id, history=plain(4))
    target = dc.control.create_channel("Target", alice.user_id)
    dc.control.delete_messages(source, [3])
    async with kurigram_client(dc, alice) as client:
        there, here = await input_peer(client, source), await input_peer(client, target)
        answer = await forward(client, there, here, [1, 2, 3, 4, 99])
        assert set(named_ids(answer)) == {2, 4}
        record = next(r for r in reversed(dc.control.get_journal()) if r.method == FORWARD)
        assert (record.source_ids, record.target_ids) == ((1, 2, 3, 4, 99), (0, 2, 0, 3, 0))
        with pytest.raises(RPCError, match="MESSAGE_ID_INVALID"):
            await forward(client, there, here, [1, 3], first=10)
        dc.control.set_refuses_missing(True)
        with pytest.raises(RPCError, match="MESSAGE_ID_INVALID"):
            await forward(client, there, here, [4, 99], first=20)


@pytest.mark.parametrize(
    ("ids", "randoms", "error"),
    [
        ([], [], "MESSAGE_IDS_EMPTY"),
        ([3, 2], [1, 2], "MESSAGE_ID_INVALID"),
        ([2, 2], [1, 2], "MESSAGE_ID_INVALID"),
        ([2, 3], [1], "RANDOM_ID_INVALID"),
        ([2, 3], [1, 0], "RANDOM_ID_EMPTY"),
        ([2, 3], [5, 5], "RANDOM_ID_DUPLICATE"),
    ],
)
async def test_bad_lists_are_refused(
    dc: TestDataCentre, alice: Account, ids: list[int], randoms: list[int], error: str
) -> None:
    source = dc.control.create_channel("Source", alice.user_id, history=plain(4))
    target = dc.control.create_channel("Target", alice.user_id)
    async with kurigram_client(dc, alice) as client:
        there, here = await input_peer(client, source), await input_peer(client, target)
        call = raw.functions.messages.ForwardMessages(
            from_peer=there, to_peer=here, id=ids, random_id=randoms
        )
        await _refused(client, call, error, dc)
    assert held(dc, target) == []


async def _refused(client: Client, call: Any, error: str, dc: TestDataCentre) -> None:
    """kurigram hides every 5xx behind a TimeoutError, so the journal is asked."""
    with pytest.raises((RPCError, TimeoutError)):
        await client.invoke(call, retries=1, timeout=3, sleep_threshold=0)
    assert [r.error for r in dc.control.get_journal() if r.method == FORWARD] == [error]


async def test_one_bad_message_refuses_the_whole_call(dc: TestDataCentre, alice: Account) -> None:
    source = dc.control.create_channel("Source", alice.user_id, history=plain(10))
    target = dc.control.create_channel("Target", alice.user_id)
    dc.control.spoil_messages(source, [5], TelegramError(400, "MEDIA_EMPTY"))
    async with kurigram_client(dc, alice) as client:
        there, here = await input_peer(client, source), await input_peer(client, target)
        with pytest.raises(RPCError, match="MEDIA_EMPTY"):
            await forward(client, there, here, range(2, 9))
        assert held(dc, target) == []
        await forward(client, there, here, [2, 3, 4, 6])
        dc.control.spoil_messages(source, [5])
        await forward(client, there, here, [5], first=50)
    assert [m.source_id for m in held(dc, target)] == [2, 3, 4, 6, 5]


async def test_a_protected_chat_lets_nothing_out(dc: TestDataCentre, alice: Account) -> None:
    source = dc.control.create_channel("Source", alice.user_id, protected=True, history=plain(3))
    target = dc.control.create_channel("Target", alice.user_id)
    async with telethon_client(dc, alice) as client:
        await client.get_dialogs()
        there = await client.get_input_entity(-1_000_000_000_000 - source.peer_id)
        here = await client.get_input_entity(-1_000_000_000_000 - target.peer_id)
        entity = await client.get_entity(there)
        assert entity.noforwards
        call = telethon_functions.messages.ForwardMessagesRequest(
            from_peer=there, id=[2, 3], to_peer=here, random_id=[1, 2]
        )
        with pytest.raises(ChatForwardsRestrictedError):
            await client(call)
        dc.control.update_chat(source, protected=False)
        answer = await client(call)
        assert len(answer.updates) == 4
        messages = await client.get_messages(here, limit=10)
        assert [m.fwd_from.from_id.user_id for m in messages[:2]] == [alice.user_id] * 2


async def test_rights_decide_who_may_write(dc: TestDataCentre, alice: Account, bob: Account) -> None:
    source = dc.control.create_channel("Source", alice.user_id, [bob.user_id], history=plain(9))
    target = dc.control.create_channel("Target", alice.user_id, [bob.user_id], broadcast=True)
    group = dc.control.create_channel("Group", alice.user_id, [bob.user_id])
    async with kurigram_client(dc, bob) as client:
        there, post, talk = [await input_peer(client, chat) for chat in (source, target, group)]
        channel = raw.types.InputChannel(channel_id=post.channel_id, access_hash=post.access_hash)
        itself = raw.functions.channels.GetParticipant(channel=channel, participant=raw.types.InputPeerSelf())
        with pytest.raises(RPCError, match="CHAT_WRITE_FORBIDDEN"):
            await forward(client, there, post, [2])
        dc.control.set_member(target, bob.user_id, Role.ADMIN)
        await forward(client, there, post, [2])
        assert isinstance((await client.invoke(itself)).participant, raw.types.ChannelParticipantAdmin)
        dc.control.set_member(group, bob.user_id, Role.MUTED)
        with pytest.raises(RPCError, match="CHAT_WRITE_FORBIDDEN"):
            await forward(client, there, talk, [2], first=3)
        dc.control.set_member(source, bob.user_id, Role.BANNED)
        with pytest.raises(RPCError, match="CHANNEL_PRIVATE"):
            await forward(client, there, post, [3], first=4)
        dc.control.set_member(target, bob.user_id, Role.NONE)
        with pytest.raises(RPCError, match="CHANNEL_PRIVATE"):
            await client.invoke(itself)


async def test_slow_mode_takes_one_at_a_time(dc: TestDataCentre, alice: Account, bob: Account) -> None:
    source = dc.control.create_channel("Source", alice.user_id, [bob.user_id], history=plain(9))
    target = dc.control.create_channel("Target", alice.user_id, [bob.user_id], slow_mode=30)
    async with kurigram_client(dc, bob) as client, kurigram_client(dc, alice) as admin:
        there, here = await input_peer(client, source), await input_peer(client, target)
        with pytest.raises(RPCError, match="SLOWMODE_MULTI_MSGS_DISABLED"):
            await forward(client, there, here, [2, 3])
        await forward(client, there, here, [2])
        with pytest.raises(RPCError, match="SLOWMODE_WAIT") as told:
            await forward(client, there, here, [3], first=5)
        assert told.value.ID == "SLOWMODE_WAIT_X"
        assert 28 <= told.value.value <= 30
        full = await client.invoke(
            raw.functions.channels.GetFullChannel(
                channel=raw.types.InputChannel(channel_id=here.channel_id, access_hash=here.access_hash)
            )
        )
        assert full.full_chat.slowmode_seconds == 30
        assert full.full_chat.slowmode_next_send_date
        theirs = [await input_peer(admin, chat) for chat in (source, target)]
        await forward(admin, *theirs, [4, 5, 6])
        with pytest.raises(RPCError):
            await forward(client, there, here, [3], first=6)
    inside = [r for r in dc.control.get_journal() if r.inside_wait]
    assert [(r.user_id, r.random_ids) for r in inside] == [(bob.user_id, (6,))]


@pytest.mark.parametrize("on_repeat", OnRepeat)
async def test_a_repeated_call_changes_nothing(
    dc: TestDataCentre, alice: Account, bob: Account, on_repeat: OnRepeat
) -> None:
    source = dc.control.create_channel("Source", alice.user_id, [bob.user_id], history=plain(9))
    target = dc.control.create_channel("Target", alice.user_id, [bob.user_id])
    dc.control.set_repeats(on_repeat)
    async with kurigram_client(dc, alice) as client, kurigram_client(dc, bob) as other:
        there, here = await input_peer(client, source), await input_peer(client, target)
        first = await forward(client, there, here, [2, 3])
        if on_repeat is OnRepeat.RESULT:
            again = await forward(client, there, here, [2, 3])
            assert named_ids(again) == named_ids(first)
            assert [m.id for m in shown(again)] == [m.id for m in shown(first)]
        else:
            with pytest.raises(TimeoutError):
                await forward(client, there, here, [2, 3])
            errors = {r.error for r in dc.control.get_journal() if r.method == FORWARD} - {""}
            assert errors == {"RANDOM_ID_DUPLICATE"}
        assert len(held(dc, target)) == 2
        theirs = [await input_peer(other, chat) for chat in (source, target)]
        await forward(other, *theirs, [2, 3])
    assert len(held(dc, target)) == 4, "random_ids belong to an account"


async def test_a_random_id_is_forgotten(dc: TestDataCentre, alice: Account) -> None:
    source = dc.control.create_channel("Source", alice.user_id, history=plain(9))
    target = dc.control.create_channel("Target", alice.user_id)
    dc.control.set_repeats(OnRepeat.ERROR, life=1)
    async with kurigram_client(dc, alice) as client:
        there, here = await input_peer(client, source), await input_peer(client, target)
        await forward(client, there, here, [2])
        await asyncio.sleep(1.1)
        await forward(client, there, here, [2])
    assert [m.source_id for m in held(dc, target)] == [2, 2]


async def test_from_a_private_chat_and_a_group_into_both(
    dc: TestDataCentre, alice: Account, bob: Account
) -> None:
    group = dc.control.create_group("Friends", alice.user_id, [bob.user_id])
    said = dc.control.send_message(bob.user_id, user_peer(alice.user_id), "psst")
    mine = next(m for m in dc.control.get_messages(alice.user_id, user_peer(bob.user_id)))
    async with kurigram_client(dc, alice) as client:
        they = await client.resolve_peer("bob")
        friends = await input_peer(client, group)
        await forward(client, they, friends, [mine.message_id])
        here = dc.control.get_messages(bob.user_id, group)[-1]
        assert (here.text, here.origin and here.origin.peer) == ("psst", user_peer(bob.user_id))
        top = dc.control.get_messages(alice.user_id, group)[-1]
        await forward(client, friends, they, [top.message_id], first=4, drop_author=True)
    back = dc.control.get_messages(bob.user_id, user_peer(alice.user_id))
    assert [(m.text, m.origin) for m in back] == [("psst", None), ("psst", None)]
    assert said.message_id == back[0].message_id


async def test_a_group_that_became_a_supergroup(dc: TestDataCentre, alice: Account, bob: Account) -> None:
    group = dc.control.create_group("Friends", alice.user_id, [bob.user_id])
    source = dc.control.create_channel("Source", alice.user_id, history=plain(5))
    async with kurigram_client(dc, alice) as client:
        there, friends = await input_peer(client, source), await input_peer(client, group)
        await forward(client, there, friends, [2])
        new = dc.control.migrate_group(group)
        with pytest.raises(RPCError, match="PEER_ID_INVALID"):
            await forward(client, there, friends, [3], first=2)
        chats = await client.invoke(raw.functions.messages.GetChats(id=[group.peer_id]))
        assert chats.chats[0].deactivated
        assert chats.chats[0].migrated_to.channel_id == new.peer_id
        moved = chats.chats[0].migrated_to
        target = raw.types.InputPeerChannel(channel_id=moved.channel_id, access_hash=moved.access_hash)
        await forward(client, there, target, [3], first=2)
    assert [m.source_id for m in held(dc, new)] == [3]


async def test_topics_have_their_own_history(dc: TestDataCentre, alice: Account, bob: Account) -> None:
    source = dc.control.create_channel("Source", alice.user_id, [bob.user_id], history=plain(9))
    forum = dc.control.create_channel("Forum", alice.user_id, [bob.user_id])
    news, old = dc.control.set_topic(forum, 0, "News"), dc.control.set_topic(forum, 0, "Old", closed=True)
    async with kurigram_client(dc, bob) as client:
        there, here = await input_peer(client, source), await input_peer(client, forum)
        await forward(client, there, here, [2, 3], top_msg_id=news)
        await forward(client, there, here, [4], first=5)
        with pytest.raises(RPCError, match="TOPIC_CLOSED"):
            await forward(client, there, here, [5], first=6, top_msg_id=old)
        with pytest.raises(RPCError, match="TOPIC_DELETED"):
            await forward(client, there, here, [5], first=6, top_msg_id=77)
        replies = await client.invoke(
            raw.functions.messages.GetReplies(
                peer=here, msg_id=news, offset_id=0, offset_date=0, add_offset=0, limit=100,
                max_id=0, min_id=0, hash=0,
            )
        )  # fmt: skip
        texts = [getattr(m, "message", "service")[:9] for m in replies.messages]
        assert texts == ["message 3", "message 2", "service"]
        assert replies.messages[0].reply_to.reply_to_msg_id == news
        found = await client.invoke(
            raw.functions.messages.Search(
                peer=here, q="message 2", filter=raw.types.InputMessagesFilterEmpty(), min_date=0,
                max_date=0, offset_id=0, add_offset=0, limit=10, max_id=0, min_id=0, hash=0, top_msg_id=news,
            )
        )  # fmt: skip
        assert len(found.messages) == 1
        topics = await client.invoke(
            raw.functions.messages.GetForumTopicsByID(peer=here, topics=[news, old, 77])
        )
        assert [getattr(t, "title", "-") for t in topics.topics] == ["News", "Old", "-"]
        assert [getattr(t, "closed", None) for t in topics.topics[:2]] == [False, True]


async def test_members_hear_of_forwards(dc: TestDataCentre, alice: Account, bob: Account) -> None:
    """Of a few one by one, of many at once only that there are many."""
    source = dc.control.create_channel("Source", alice.user_id, history=plain(60))
    target = dc.control.create_channel("Target", alice.user_id, [bob.user_id])
    async with kurigram_client(dc, alice) as a, kurigram_client(dc, bob) as b:
        heard: asyncio.Queue[Any] = asyncio.Queue()

        @b.on_raw_update()
        async def on_update(_: Client, update: Any, __: Any, ___: Any) -> None:
            await heard.put(update)

        there, here = await input_peer(a, source), await input_peer(a, target)
        await forward(a, there, here, [2, 3])
        told = [await asyncio.wait_for(heard.get(), 5) for _ in range(2)]
        assert [u.message.message[:9] for u in told] == ["message 2", "message 3"]
        await forward(a, there, here, range(4, 40), first=100)
        assert isinstance(await asyncio.wait_for(heard.get(), 5), raw.types.UpdateChannelTooLong)
