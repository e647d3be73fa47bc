"""One suite for the transfers' port: channels in memory and kurigram against the test data centre must give
the same answers, and transmit nothing a second time."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Protocol

import pytest

from services.runtime.addresses import HostPort
from services.runtime.clock import SystemClock
from services.testdc.domain.archive import Recipe
from services.testdc.domain.media import MediaKind
from services.testdc.embed import Account, Fault, FaultKind, NewAccount, TestDataCentre
from services.testdc.handlers_chats import History, Role
from services.worker.adapters.telegram import KurigramClients, TelegramConfig
from services.worker.adapters.telegram_route import Route
from services.worker.domain.telegram import Credentials, LinkDown, Refused
from services.worker.domain.transfer_answers import NotApplied, SourcePage, StillWaiting
from services.worker.domain.transfer_orders import (
    Attempt,
    ChatReference,
    DateRange,
    IdRange,
    InspectChats,
    LookInTarget,
    Newest,
    Range,
    ReadSource,
    SendBatch,
)
from services.worker.fakes.clock import LoopClock
from services.worker.fakes.telegram import FakeAccount, FakeTelegram
from services.worker.fakes.transfers import FakeChannel
from services.worker.gate import Gate
from services.worker.ports import Restraint, TelegramClient, Unrestrained

FORWARD = "messages.forwardMessages"
POSTS = 230
"""Message n of the source was posted n minutes after the bench's `begin`, the last one a minute ago."""


class Bench(Protocol):
    """One account that reads a source (POSTS text messages, `deleted` of them gone) and posts in a target."""

    source: ChatReference
    target: ChatReference
    first: int
    begin: datetime

    def client(self, restraint: Restraint | None = None) -> TelegramClient: ...
    def post(self, text: str, *, kind: str = "TEXT", service: bool = False) -> int: ...
    def album(self, parts: int) -> list[int]: ...
    def delete(self, *ids: int) -> None: ...
    def refuse(self, code: int, error: str, seconds: int = 0) -> None: ...
    def lose_answers(self) -> None: ...
    def heal(self) -> None: ...
    def close_target(self) -> None: ...
    def forwards(self) -> int: ...
    def target_texts(self) -> list[str]: ...


class FakeBench:
    KEY = b"k" * 256

    def __init__(self) -> None:
        self.telegram = FakeTelegram()
        self.telegram.accounts[self.KEY] = FakeAccount(11)
        self.chat = self.telegram.channels[-1001] = FakeChannel(-1001, "the_source")
        self.made = self.telegram.channels[-1002] = FakeChannel(-1002, "the_target")
        self.made.post("here it begins")
        self.begin = datetime.fromtimestamp(int(self.clock()) - 60 * (POSTS + 1), UTC)
        for number in range(1, POSTS + 1):
            self.chat.post(f"message {number}", date=self.begin.timestamp() + 60 * number)
        self.source, self.target = ChatReference("", -1001), ChatReference("", -1002)
        self.first = 1

    def client(self, restraint: Restraint | None = None) -> TelegramClient:
        credentials = Credentials(2, self.KEY, test_mode=False, user_id=0, api_id=0)
        return self.telegram.make(
            credentials, Gate(lambda: True), lambda _: None, restraint or Unrestrained()
        )

    def post(self, text: str, *, kind: str = "TEXT", service: bool = False) -> int:
        now = self.clock()
        return self.chat.post(text, kind=kind, service=service, date=now).message_id

    def clock(self) -> float:
        return LoopClock().wall().timestamp()

    def album(self, parts: int) -> list[int]:
        made = [self.chat.post("", kind="PHOTO", date=self.clock(), grouped_id=77) for _ in range(parts)]
        return [one.message_id for one in made]

    def delete(self, *ids: int) -> None:
        for one in ids:
            del self.chat.posts[one]

    def refuse(self, code: int, error: str, seconds: int = 0) -> None:
        self.made.refuse = Refused(code, error, FORWARD, seconds or None)

    def lose_answers(self) -> None:
        self.made.lose_answers = True

    def heal(self) -> None:
        self.made.refuse, self.made.lose_answers = None, False

    def close_target(self) -> None:
        self.made.readers_only = True

    def forwards(self) -> int:
        return sum(1 for *_, method in self.telegram.journal if method == FORWARD)

    def target_texts(self) -> list[str]:
        return [self.made.posts[one].text for one in sorted(self.made.posts)][1:]


class RealBench:
    def __init__(self, dc: TestDataCentre) -> None:
        self.dc = dc
        self.owner = dc.control.create_account(NewAccount(first_name="Owner", virtual=True))
        self.account: Account = dc.control.create_account(NewAccount(first_name="Me"))
        me = self.account.user_id
        history = History(POSTS, Recipe(seed=1), interval=60.0)
        self.chat = dc.control.create_channel(
            "Source", self.owner.user_id, [me], broadcast=True, username="the_source", history=history
        )
        self.made = dc.control.create_channel(
            "Target", self.owner.user_id, admins=[me], broadcast=True, username="the_target"
        )
        self.source = ChatReference("", -1_000_000_000_000 - self.chat.peer_id)
        self.target = ChatReference("", -1_000_000_000_000 - self.made.peer_id)
        first = next(m for m in self.messages(self.chat) if not m.service)
        self.first, self.begin = first.message_id, datetime.fromtimestamp(first.date - 60, UTC)

    def messages(self, chat: object) -> list[object]:
        return self.dc.control.get_messages(self.owner.user_id, chat, limit=1000, after_id=0)

    def client(self, restraint: Restraint | None = None) -> TelegramClient:
        config = TelegramConfig(
            api_id=12345,
            api_hash="0123456789abcdef0123456789abcdef",
            route=Route(HostPort(self.dc.host, self.dc.port), live=False),
            rsa_key=self.dc.rsa_key_path,
            keepalive=5.0,
        )
        credentials = Credentials(2, self.account.auth_key, test_mode=False, user_id=0, api_id=0)
        clients = KurigramClients(config, SystemClock())
        return clients.make(credentials, Gate(lambda: True), lambda _: None, restraint or Unrestrained())

    def post(self, text: str, *, kind: str = "TEXT", service: bool = False) -> int:
        if service:
            self.dc.control.generate(self.chat, History(1, Recipe(seed=1, service=1.0)))
            return self.messages(self.chat)[-1].message_id
        media = None if kind == "TEXT" else MediaKind[kind]
        return self.dc.control.send_message(self.owner.user_id, self.chat, text, media=media).message_id

    def album(self, parts: int) -> list[int]:
        kinds = [MediaKind.PHOTO] * parts
        return [m.message_id for m in self.dc.control.send_album(self.owner.user_id, self.chat, kinds)]

    def delete(self, *ids: int) -> None:
        self.dc.control.delete_messages(self.chat, list(ids))

    def refuse(self, code: int, error: str, seconds: int = 0) -> None:
        kind = FaultKind.FLOOD_WAIT if seconds else FaultKind.RPC_ERROR
        fault = Fault(kind, methods=(FORWARD,), code=code, error=error, seconds=seconds)
        self.dc.control.set_fault(fault)

    def lose_answers(self) -> None:
        self.dc.control.set_fault(Fault(FaultKind.LOST_ANSWER, methods=(FORWARD,)))

    def heal(self) -> None:
        self.dc.control.clear_faults()

    def close_target(self) -> None:
        self.dc.control.set_member(self.made, self.account.user_id, Role.MEMBER)

    def forwards(self) -> int:
        return sum(1 for r in self.dc.control.get_journal() if r.kind.value == "call" and r.method == FORWARD)

    def target_texts(self) -> list[str]:
        return [m.text for m in self.messages(self.made)][1:]


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
    await made.connect(5)
    yield made
    await made.close()


def ids(page: SourcePage) -> list[int]:
    return [one.message_id for one in page.messages]


def batch(bench: Bench, *offsets: int, **more: bool) -> SendBatch:
    chosen = tuple(bench.first + one for one in offsets)
    return SendBatch(bench.source, bench.target, chosen, tuple(7000 + one for one in chosen), **more)


async def test_pages_go_upwards_without_gaps_or_repeats(bench: Bench, client: TelegramClient) -> None:
    seen: list[int] = []
    after, pages = bench.first - 1, 0
    while True:
        page = await client.transfers.read(ReadSource(bench.source, after), 5)
        seen += ids(page)
        pages += 1
        assert page.looked_through_id == (seen[-1] if page.messages else after)
        after = page.looked_through_id
        if page.end:
            break
    assert seen == list(range(bench.first, bench.first + POSTS))
    assert pages == 4


async def test_a_range_ends_where_it_should(bench: Bench, client: TelegramClient) -> None:
    first = bench.first
    page = await client.transfers.read(ReadSource(bench.source, first + 4, first + 9), 5)
    assert ids(page) == list(range(first + 5, first + 10))
    assert (page.end, page.looked_through_id) == (True, first + 9)
    page = await client.transfers.read(ReadSource(bench.source, first + 4, first + 9, limit=3), 5)
    assert (len(page.messages), page.end, page.looked_through_id) == (3, False, first + 7)


async def test_deleted_messages_are_gaps_and_are_looked_through(bench: Bench, client: TelegramClient) -> None:
    first = bench.first
    bench.delete(first + 1, first + 2, first + 5)
    page = await client.transfers.read(ReadSource(bench.source, first - 1, first + 5), 5)
    assert ids(page) == [first, first + 3, first + 4]
    assert (page.end, page.looked_through_id) == (True, first + 5)


async def test_filters_say_why_a_message_is_passed_over(bench: Bench, client: TelegramClient) -> None:
    text = bench.post("just words")
    photo = bench.post("a photo of a cat", kind="PHOTO")
    video = bench.post("", kind="VIDEO")
    service = bench.post("", service=True)
    read = ReadSource(bench.source, text - 1)
    page = await client.transfers.read(read, 5)
    assert [(one.message_id, one.skip) for one in page.messages] == [
        (text, None),
        (photo, None),
        (video, None),
        (service, "SERVICE"),
    ]
    read = ReadSource(bench.source, text - 1, media=frozenset({"PHOTO", "VIDEO"}), match=r"(?i)\bCAT$")
    page = await client.transfers.read(read, 5)
    assert [one.skip for one in page.messages] == ["MEDIA", None, "NO_MATCH", "SERVICE"]
    with pytest.raises(NotApplied, match="BAD_MATCH"):
        await client.transfers.read(ReadSource(bench.source, 0, match="(?<=a)b"), 5)


async def test_what_is_too_young_waits_with_its_whole_album(bench: Bench, client: TelegramClient) -> None:
    before = bench.first + POSTS - 1
    album = bench.album(3)
    page = await client.transfers.read(ReadSource(bench.source, before - 2, min_age=30.0), 5)
    assert (ids(page), page.end, page.looked_through_id) == ([before - 1, before], True, before)
    page = await client.transfers.read(ReadSource(bench.source, before), 5)
    assert ids(page) == album
    assert len({one.grouped_id for one in page.messages}) == 1
    assert page.messages[0].grouped_id


async def test_both_chats_are_found_by_name_link_and_id(bench: Bench, client: TelegramClient) -> None:
    for source, target in (
        ("@the_source", "https://t.me/the_target"),
        (str(bench.source.chat_id), str(bench.target.chat_id)),
        ("t.me/THE_SOURCE/15", "the_target"),
    ):
        work = InspectChats(ChatReference(source), ChatReference(target))
        found = await client.transfers.inspect(work, 5)
        assert (found.source.chat_id, found.target.chat_id) == (bench.source.chat_id, bench.target.chat_id)
        assert (found.source.error, found.target.error) == ("", "")
        assert found.source.kind == "channel"
        assert (found.source.can_read, found.target.can_post) == (True, True)
        assert found.source.top_message_id == bench.first + POSTS - 1


async def test_chats_that_are_not_there_are_told_so(bench: Bench, client: TelegramClient) -> None:
    work = InspectChats(ChatReference("@nobody_has_this"), ChatReference("-1009999999999"))
    found = await client.transfers.inspect(work, 5)
    assert found.source.error
    assert found.target.error == "CHAT_NOT_FOUND"
    assert (found.source.can_read, found.target.can_post) == (False, False)
    assert (found.first_id, found.last_id) == (0, 0)
    with pytest.raises(NotApplied, match="CHAT_NOT_FOUND"):
        await client.transfers.read(ReadSource(ChatReference("", -1009999999999), 0), 5)


async def test_a_target_that_only_reads_is_seen(bench: Bench, client: TelegramClient) -> None:
    bench.close_target()
    found = await client.transfers.inspect(InspectChats(bench.source, bench.target), 5)
    assert (found.target.can_read, found.target.can_post) == (True, False)


@pytest.mark.parametrize(
    ("wanted", "first", "last"),
    [
        (IdRange(11, 20), 11, 20),
        (IdRange(POSTS - 5, 100_000), POSTS - 5, POSTS),
        (IdRange(100_000, 200_000), 0, 0),
        (Newest(10), POSTS - 9, POSTS),
        ((11.0, 20.0), 11, 19),
        ((11.01, None), 12, POSTS),
        ((None, 200.0), 1, 199),
        ((9999.0, None), 0, 0),
    ],
)
async def test_a_range_is_found_without_reading_it(
    bench: Bench,
    client: TelegramClient,
    wanted: Range | tuple[float | None, float | None],
    first: int,
    last: int,
) -> None:
    shift = bench.first - 1
    if isinstance(wanted, IdRange):
        wanted = IdRange(wanted.first + shift, wanted.last + shift)
    if isinstance(wanted, tuple):
        since, until = (None if one is None else bench.begin + timedelta(minutes=one) for one in wanted)
        wanted = DateRange(since, until)
    found = await client.transfers.inspect(InspectChats(bench.source, bench.target, range=wanted), 5)
    assert found.last_id == (last + shift if last else 0)
    # What is before the first message (its channel was made) belongs to a range that begins nowhere.
    assert found.first_id == (first + shift if first > 1 else first)


async def test_a_batch_is_forwarded_and_its_ids_are_named(bench: Bench, client: TelegramClient) -> None:
    attempt = Attempt()
    sent = await client.transfers.send(batch(bench, 0, 1, 5), 5, attempt)
    assert sent.message_ids == (bench.first, bench.first + 1, bench.first + 5)
    assert len(set(sent.target_ids)) == 3
    assert list(sent.target_ids) == sorted(sent.target_ids)
    assert all(sent.target_ids)
    assert len(bench.target_texts()) == 3
    assert bench.forwards() == 1
    assert attempt.transmitted


async def test_traces_tell_what_was_forwarded(bench: Bench, client: TelegramClient) -> None:
    sent = await client.transfers.send(batch(bench, 0, 1), 5, Attempt())
    await client.transfers.send(batch(bench, 2, drop_author=True), 5, Attempt())
    three = tuple(bench.first + n for n in range(3))
    look = LookInTarget(bench.source, bench.target, three, above_id=sent.target_ids[0] - 1)
    found = await client.transfers.look(look, 5)
    assert found.complete
    assert [one.message_id for one in found.source] == list(three)
    source = bench.source.chat_id
    forwards = [(one.forward_chat_id, one.forward_message_id) for one in found.target]
    assert forwards == [(source, three[0]), (source, three[1]), (0, 0)]
    assert [one.text_hash for one in found.target] == [one.text_hash for one in found.source]
    assert all(one.sender_id == bench.target.chat_id for one in found.target)
    short = await client.transfers.look(LookInTarget(bench.source, bench.target, (), 0, limit=2), 5)
    assert (len(short.target), short.complete) == (2, False)


async def test_an_error_is_telegrams_word_and_leaves_the_link_up(
    bench: Bench, client: TelegramClient
) -> None:
    bench.refuse(420, "FLOOD_WAIT_X", 40)
    with pytest.raises(Refused) as refused:
        await client.transfers.send(batch(bench, 0), 5, Attempt())
    error = refused.value
    assert (error.code, error.name, error.seconds, error.method) == (420, "FLOOD_WAIT_X", 40, FORWARD)
    assert client.facts().started
    bench.heal()
    bench.refuse(400, "CHAT_FORWARDS_RESTRICTED")
    with pytest.raises(Refused, match="CHAT_FORWARDS_RESTRICTED"):
        await client.transfers.send(batch(bench, 0), 5, Attempt())
    assert bench.forwards() == 2, "no library tries again"


async def test_an_answer_that_does_not_come_leaves_the_link_cut_and_nothing_is_sent_again(
    bench: Bench, client: TelegramClient
) -> None:
    bench.lose_answers()
    attempt, began = Attempt(), time.monotonic()
    with pytest.raises(LinkDown):
        await client.transfers.send(batch(bench, 0, 1), 0.5, attempt)
    assert time.monotonic() - began < 2
    assert attempt.transmitted
    assert (client.facts().open_sockets, client.facts().cut) == (0, True)
    bench.heal()
    await client.connect(5)
    await client.recover(5)
    await asyncio.sleep(0.3)
    assert bench.forwards() == 1
    assert not client.facts().cut
    # The same random_ids: whatever Telegram answers, nothing is there twice.
    with contextlib.suppress(Refused):
        await client.transfers.send(batch(bench, 0, 1), 5, Attempt())
    assert len(bench.target_texts()) == 2


async def test_a_cancelled_transmission_is_cut_off_first(bench: Bench, client: TelegramClient) -> None:
    bench.lose_answers()
    attempt = Attempt()
    sending = asyncio.create_task(client.transfers.send(batch(bench, 0), 60, attempt))
    while not attempt.transmitted:
        await asyncio.sleep(0.01)
    sending.cancel()
    await asyncio.wait({sending})
    assert sending.cancelled()
    assert client.facts().open_sockets == 0
    assert client.facts().calls_in_flight == 0


class Waiting(Unrestrained):
    def __init__(self) -> None:
        self.waiting: set[tuple[str, int]] = set()

    def check(self, method: str, chat_id: int) -> None:
        if (method, 0) in self.waiting or (method, chat_id) in self.waiting:
            raise StillWaiting(method, chat_id, 9.0)


async def test_no_call_is_made_inside_a_wait(bench: Bench) -> None:
    restraint = Waiting()
    waiting = restraint.waiting
    client = bench.client(restraint)
    await client.connect(5)
    await client.transfers.inspect(InspectChats(bench.source, bench.target), 5)
    waiting.add((FORWARD, bench.target.chat_id))
    attempt = Attempt()
    with pytest.raises(StillWaiting):
        await client.transfers.send(batch(bench, 0), 5, attempt)
    assert not attempt.transmitted
    assert client.facts().started
    await client.transfers.read(ReadSource(bench.source, 0), 5)
    waiting.add(("messages.getHistory", 0))
    with pytest.raises(StillWaiting):
        await client.transfers.read(ReadSource(bench.source, 0), 5)
    waiting.clear()
    await client.transfers.send(batch(bench, 0), 5, Attempt())
    assert bench.forwards() == 1
    await client.close()
