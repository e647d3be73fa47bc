"""Chats as they are on Telegram, through the worker's adapter over MTProto: topics, slow mode, groups that
become supergroups, saved messages, protected ones, albums cut by pages, and chats found without a name."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from services.runtime.addresses import HostPort
from services.runtime.clock import SystemClock
from services.testdc.domain.archive import Recipe
from services.testdc.domain.media import MediaKind
from services.testdc.embed import Account, NewAccount, Peer, PeerKind, TestDataCentre
from services.testdc.handlers_chats import History, Role
from services.worker.adapters.telegram import KurigramClient, KurigramClients, TelegramConfig
from services.worker.adapters.telegram_route import Route
from services.worker.domain.telegram import Credentials, Refused
from services.worker.domain.transfer_answers import NotApplied, SourceMessage
from services.worker.domain.transfer_orders import (
    Attempt,
    ChatReference,
    InspectChats,
    LookInTarget,
    Newest,
    ReadSource,
    SendBatch,
)
from services.worker.gate import Gate
from services.worker.ports import Unrestrained

FORWARD = "messages.forwardMessages"


def chat(peer: Peer) -> ChatReference:
    if peer.kind is PeerKind.CHANNEL:
        return ChatReference("", -1_000_000_000_000 - peer.peer_id)
    return ChatReference("", -peer.peer_id if peer.kind is PeerKind.CHAT else peer.peer_id)


@dataclass
class Bench:
    """One connected account of a data centre."""

    dc: TestDataCentre
    owner: int
    account: Account
    client: KurigramClient

    @property
    def me(self) -> int:
        return self.account.user_id

    def history(self, count: int, **shares: float) -> History:
        return History(count, Recipe(seed=7, **shares), author_ids=(self.owner,))

    def ids(self, peer: Peer, *, user: int = 0) -> list[int]:
        found = self.dc.control.get_messages(user or self.owner, peer, limit=2000, after_id=0)
        return [m.message_id for m in found if not m.service]

    async def send(
        self, source: Peer | ChatReference, target: Peer | ChatReference, *ids: int, **more: bool | int
    ) -> list[int]:
        batch = SendBatch(
            source if isinstance(source, ChatReference) else chat(source),
            target if isinstance(target, ChatReference) else chat(target),
            ids,
            tuple(50_000 + one for one in ids),
            **more,
        )
        return list((await self.client.transfers.send(batch, 5, Attempt())).target_ids)

    async def all(self, source: ChatReference, *, page: int = 100) -> list[SourceMessage]:
        found: list[SourceMessage] = []
        after, end = 0, False
        while not end:
            read = await self.client.transfers.read(ReadSource(source, after, limit=page), 5)
            found += read.messages
            after, end = read.looked_through_id, read.end
        return found


def make_client(dc: TestDataCentre, account: Account) -> KurigramClient:
    config = TelegramConfig(
        api_id=12345,
        api_hash="0123456789abcdef0123456789abcdef",
        route=Route(HostPort(dc.host, dc.port), live=False),
        rsa_key=dc.rsa_key_path,
        keepalive=5.0,
    )
    credentials = Credentials(2, account.auth_key, test_mode=False, user_id=account.user_id, api_id=0)
    clients = KurigramClients(config, SystemClock())
    return clients.make(credentials, Gate(lambda: True), lambda _: None, Unrestrained())


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with TestDataCentre() as dc:
        owner = dc.control.create_account(NewAccount(first_name="Owner", virtual=True)).user_id
        account = dc.control.create_account(NewAccount(first_name="Me"))
        client = make_client(dc, account)
        await client.connect(5)
        yield Bench(dc, owner, account, client)
        await client.close()


async def test_every_message_of_a_mixed_history_is_read_once_whatever_the_page(bench: Bench) -> None:
    history = bench.history(400, albums=0.1, media=0.3, service=0.05, deleted=0.1, forwarded=0.1)
    source = bench.dc.control.create_channel("S", bench.owner, [bench.me], history=history)
    there = bench.dc.control.get_messages(bench.owner, source, limit=2000, after_id=0)
    expected = [(m.message_id, "SERVICE" if m.service else None) for m in there]
    for page in (100, 33):
        found = await bench.all(chat(source), page=page)
        assert [(one.message_id, one.skip) for one in found] == expected
        assert [one.grouped_id for one in found] == [m.grouped_id for m in there]


async def test_kinds_of_media_are_told_as_the_contract_names_them(bench: Bench) -> None:
    source = bench.dc.control.create_channel("S", bench.owner, [bench.me])
    kinds = {
        MediaKind.PHOTO: "PHOTO",
        MediaKind.VIDEO: "VIDEO",
        MediaKind.VIDEO_NOTE: "VIDEO",
        MediaKind.DOCUMENT: "DOCUMENT",
        MediaKind.AUDIO: "AUDIO",
        MediaKind.VOICE: "VOICE",
        MediaKind.ANIMATION: "ANIMATION",
        MediaKind.STICKER: "STICKER",
        MediaKind.POLL: "POLL",
        MediaKind.CONTACT: "OTHER",
        MediaKind.LOCATION: "OTHER",
    }
    sent = {
        bench.dc.control.send_message(bench.owner, source, "", media=kind).message_id: name
        for kind, name in kinds.items()
    }
    sent[bench.dc.control.send_message(bench.owner, source, "words").message_id] = "TEXT"
    for name in set(sent.values()):
        read = ReadSource(chat(source), 1, media=frozenset({name}))
        page = await bench.client.transfers.read(read, 5)
        assert {one.message_id for one in page.messages if one.skip is None} == {
            message_id for message_id, kind in sent.items() if kind == name
        }, name


async def test_topics_that_are_open_closed_or_not_there(bench: Bench) -> None:
    control = bench.dc.control
    source = control.create_channel("S", bench.owner, [bench.me], history=bench.history(5))
    target = control.create_channel("T", bench.owner, [bench.me])
    topic = control.set_topic(target, 0, "News")

    async def can_post(topic_id: int) -> bool:
        work = InspectChats(chat(source), chat(target), topic_id)
        return (await bench.client.transfers.inspect(work, 5)).target.can_post

    assert await can_post(topic)
    made = await bench.send(source, target, bench.ids(source)[0], topic_id=topic)
    found = {m.message_id: m for m in control.get_messages(bench.owner, target, limit=100, after_id=0)}
    assert found[made[0]].topic_id == topic
    control.set_topic(target, topic, closed=True)
    assert not await can_post(topic)
    assert not await can_post(topic + 77)
    control.set_member(target, bench.me, Role.ADMIN)
    assert await can_post(topic) in {True, False}  # whether an admin manages topics is the owner's choice


async def test_slow_mode_is_seen_and_its_wait_is_the_chats_own(bench: Bench) -> None:
    control = bench.dc.control
    source = control.create_channel("S", bench.owner, [bench.me], history=bench.history(5))
    target = control.create_channel("T", bench.owner, [bench.me], slow_mode=30)
    found = await bench.client.transfers.inspect(InspectChats(chat(source), chat(target)), 5)
    assert (found.target.can_post, found.target.slow_mode_seconds) == (True, 30)
    one, two, three, *_ = bench.ids(source)
    await bench.send(source, target, one)
    with pytest.raises(Refused) as refused:
        await bench.send(source, target, two)
    assert refused.value.name in {"SLOWMODE_WAIT_X", "SLOWMODE_MULTI_MSGS_DISABLED"}
    assert (refused.value.seconds or 30) <= 30
    with pytest.raises(Refused):
        await bench.send(source, target, two, three)
    control.set_member(target, bench.me, Role.ADMIN)
    found = await bench.client.transfers.inspect(InspectChats(chat(source), chat(target)), 5)
    assert found.target.slow_mode_seconds == 0, "admins are exempt"


async def test_what_an_account_may_not_do_is_seen_before(bench: Bench) -> None:
    control = bench.dc.control
    source = control.create_channel("S", bench.owner, [bench.me], protected=True, history=bench.history(5))
    target = control.create_channel("T", bench.owner, [bench.me])

    async def look() -> tuple[bool, bool, bool, bool]:
        found = await bench.client.transfers.inspect(InspectChats(chat(source), chat(target)), 5)
        return (
            found.source.protected,
            found.source.can_read,
            found.target.can_read,
            found.target.can_post,
        )

    assert await look() == (True, True, True, True)
    with pytest.raises(Refused, match="CHAT_FORWARDS_RESTRICTED"):
        await bench.send(source, target, bench.ids(source)[0])
    control.set_member(target, bench.me, Role.MUTED)
    assert (await look())[3] is False
    control.set_member(target, bench.me, Role.BANNED)
    control.set_member(source, bench.me, Role.NONE)
    _, reads, reads_target, posts = await look()
    assert not posts
    assert not reads
    assert not reads_target


async def test_a_group_that_became_a_supergroup(bench: Bench) -> None:
    control = bench.dc.control
    source = control.create_channel("S", bench.owner, [bench.me], history=bench.history(5))
    group = control.create_group("G", bench.owner, [bench.me])
    one, two, *_ = bench.ids(source)
    found = await bench.client.transfers.inspect(InspectChats(chat(source), chat(group)), 5)
    assert (found.target.kind, found.target.can_post) == ("group", True)
    assert all(await bench.send(source, group, one))
    moved = control.migrate_group(group)
    found = await bench.client.transfers.inspect(InspectChats(chat(group), chat(group)), 5)
    assert found.target.migrated_to_chat_id == chat(moved).chat_id
    assert not found.target.can_post
    with pytest.raises(Refused):
        await bench.send(source, group, two)
    page = await bench.client.transfers.read(ReadSource(chat(group), 0), 5)
    assert page.migrated_to_chat_id == chat(moved).chat_id
    assert all(await bench.send(source, moved, two)), "the new chat is known without being named"


async def test_saved_messages_are_a_target(bench: Bench) -> None:
    source = bench.dc.control.create_channel(
        "S", bench.owner, [bench.me], broadcast=True, history=bench.history(5)
    )
    found = await bench.client.transfers.inspect(InspectChats(chat(source), ChatReference("me")), 5)
    assert (found.target.kind, found.target.chat_id, found.target.can_post) == ("self", bench.me, True)
    first = bench.ids(source)[0]
    made = await bench.send(source, ChatReference("", bench.me), first)
    look = LookInTarget(chat(source), ChatReference("", bench.me), (first,), above_id=made[0] - 1)
    looked = await bench.client.transfers.look(look, 5)
    assert [one.message_id for one in looked.target] == made
    assert looked.target[0].forward_message_id == first
    assert looked.target[0].outgoing


async def test_copies_leave_out_author_and_captions_and_keep_albums(bench: Bench) -> None:
    control = bench.dc.control
    source = control.create_channel("S", bench.owner, [bench.me], broadcast=True)
    album = [m.message_id for m in control.send_album(bench.owner, source, [MediaKind.PHOTO] * 3, "caption")]
    target = control.create_channel("T", bench.owner, admins=[bench.me], broadcast=True)
    made = await bench.send(source, target, *album, drop_author=True, drop_captions=True, silent=True)
    look = LookInTarget(chat(source), chat(target), tuple(album), above_id=made[0] - 1)
    looked = await bench.client.transfers.look(look, 5)
    assert [one.media_id for one in looked.target] == [one.media_id for one in looked.source]
    assert all(one.media_id for one in looked.source)
    assert {one.forward_chat_id for one in looked.target} == {0}
    assert len({one.grouped_id for one in looked.target}) == 1
    assert looked.source[0].text_hash != looked.target[0].text_hash, "the caption is gone"


async def test_messages_that_are_gone_have_no_id_and_none_left_is_an_error(bench: Bench) -> None:
    control = bench.dc.control
    source = control.create_channel("S", bench.owner, [bench.me], history=bench.history(6))
    target = control.create_channel("T", bench.owner, [bench.me])
    one, two, three, *_ = bench.ids(source)
    control.delete_messages(source, [two, three])
    made = await bench.send(source, target, one, two)
    assert made[0]
    assert made[1] == 0
    with pytest.raises(Refused, match="MESSAGE_ID_INVALID"):
        await bench.send(source, target, two, three)


async def test_a_new_process_finds_chats_without_names_in_its_dialogs(bench: Bench) -> None:
    control = bench.dc.control
    channels = [control.create_channel(f"C{n}", bench.owner, [bench.me]) for n in range(130)]
    stranger = control.create_channel("Not mine", bench.owner)
    fresh = make_client(bench.dc, bench.account)
    await bench.client.close()
    await fresh.connect(5)
    try:
        for wanted in (channels[0], channels[64], channels[-1]):
            page = await fresh.transfers.read(ReadSource(chat(wanted), 0), 5)
            assert page.messages
        with pytest.raises(NotApplied, match="CHAT_NOT_FOUND"):
            await fresh.transfers.read(ReadSource(chat(stranger), 0), 5)
        dialogs = [r for r in bench.dc.control.get_journal() if r.method == "messages.getDialogs"]
        with pytest.raises(NotApplied, match="CHAT_NOT_FOUND"):
            await fresh.transfers.read(ReadSource(chat(stranger), 0), 5)
        again = [r for r in bench.dc.control.get_journal() if r.method == "messages.getDialogs"]
        assert len(again) == len(dialogs), "the dialogs are read through once"
    finally:
        await fresh.close()


async def test_a_million_messages_are_planned_without_being_read(bench: Bench) -> None:
    history = History(1_000_000, Recipe(seed=1), interval=1.0)
    source = bench.dc.control.create_channel("S", bench.owner, [bench.me], history=history)
    target = bench.dc.control.create_channel("T", bench.owner, [bench.me])
    work = InspectChats(chat(source), chat(target), range=Newest(500_000))
    found = await bench.client.transfers.inspect(work, 5)
    assert found.last_id - found.first_id == 499_999
    calls = [r for r in bench.dc.control.get_journal() if r.kind.value == "call" and not r.service]
    assert len(calls) < 25
