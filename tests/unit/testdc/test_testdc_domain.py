"""Faults, keys, boxes and framing decide without any network."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.testdc.domain.afterwards import delete, read
from services.testdc.domain.errors import TelegramError
from services.testdc.domain.faults import Fault, FaultBook, FaultKind, Subject
from services.testdc.domain.journal import Journal, Record, RecordKind
from services.testdc.domain.keyuse import KeyUse
from services.testdc.domain.pages import Page
from services.testdc.domain.peer import Peer, PeerKind
from services.testdc.domain.peers import Channel, User, access_hash
from services.testdc.domain.speech import Draft, open_channel, send
from services.testdc.domain.world import World
from services.testdc.mtproto.framing import Abridged, FramingError, Full, Intermediate, detect

ALICE, BOB = 1, 2
SUBJECT = Subject(user_id=ALICE, auth_key_id="aa" * 8, connection_id=5)


def _world() -> World:
    world = World()
    world.add_user(User(ALICE, "1", "Alice", username="alice"))
    world.add_user(User(BOB, "2", "Bob"))
    return world


def _user(user_id: int) -> Peer:
    return Peer(PeerKind.USER, user_id)


@pytest.mark.parametrize(
    ("order", "caught"),
    [
        ("A", None),
        ("AAB", None),
        ("ABBB", None),
        ("ABC", None),
        ("ABA", "A"),
        ("AABBA", "A"),
        ("ABCA", "A"),
        ("ABbA", None),
        ("ABaA", None),
    ],
)
def test_telegrams_rule_needs_a_b_a(order: str, caught: str | None) -> None:
    """A capital letter is a request of that connection, a small one its end."""
    use, found = KeyUse(), None
    for letter in order:
        if letter.islower():
            use.closed(ord(letter.upper()))
        elif use.request(ord(letter)) is not None:
            found = found or letter
    assert found == caught


def test_updates_go_to_the_last_active_connection() -> None:
    use = KeyUse()
    use.request(1)
    use.request(2)
    assert use.latest == 2
    use.closed(2)
    assert use.latest == 1


def test_a_flood_wait_begins_at_the_first_call_and_ends() -> None:
    book = FaultBook()
    book.set(Fault(FaultKind.FLOOD_WAIT, user_id=ALICE, seconds=30, methods=("messages.sendMessage",)))
    names = ("messages.sendMessage",)
    assert book.on_call(SUBJECT, ("users.getUsers",), now=10).error is None
    first = book.on_call(SUBJECT, names, now=100)
    assert first.error is not None
    assert (first.error.code, first.error.name, first.wait) == (420, "FLOOD_WAIT_30", 30)
    assert book.on_call(SUBJECT, names, now=120.5).wait == 10
    assert book.on_call(SUBJECT, names, now=130).error is None
    assert book.on_call(SUBJECT, names, now=131).error is None


@given(st.floats(min_value=0, max_value=1e9), st.integers(min_value=1, max_value=86_400))
def test_a_wait_is_never_longer_than_told(now: float, seconds: int) -> None:
    book = FaultBook()
    book.set(Fault(FaultKind.FLOOD_WAIT, seconds=seconds))
    assert book.on_call(SUBJECT, ("users.getUsers",), now).wait == seconds


def test_a_counted_fault_is_used_up() -> None:
    book = FaultBook()
    book.set(Fault(FaultKind.RPC_ERROR, code=500, error="RPC_CALL_FAIL", remaining=2))
    errors = [book.on_call(SUBJECT, ("users.getUsers",), now=0).error for _ in range(3)]
    assert [error.name if error else None for error in errors] == ["RPC_CALL_FAIL", "RPC_CALL_FAIL", None]


@pytest.mark.parametrize("scope", [{"user_id": BOB}, {"auth_key_id": "bb" * 8}, {"connection_id": 6}])
def test_a_fault_hits_nobody_else(scope: dict[str, int]) -> None:
    book = FaultBook()
    book.set(Fault(FaultKind.BANNED, **scope))
    assert book.on_call(SUBJECT, ("users.getUsers",), now=0).error is None


def test_a_wrapper_can_be_hit() -> None:
    book = FaultBook()
    book.set(Fault(FaultKind.FLOOD_WAIT, seconds=60, methods=("initConnection",)))
    assert book.on_call(SUBJECT, ("help.getConfig",), now=0).wait == 0
    assert book.on_call(SUBJECT, ("invokeWithLayer", "initConnection", "help.getConfig"), now=0).wait == 60


@pytest.mark.parametrize(
    ("method", "refused"),
    [
        ("updates.getState", True),
        ("messages.sendMessage", True),
        ("messages.getHistory", False),
        ("help.getConfig", False),
        ("users.getFullUser", False),
    ],
)
def test_what_a_frozen_account_may_do(method: str, refused: bool) -> None:
    book = FaultBook()
    book.set(Fault(FaultKind.FROZEN))
    assert (book.on_call(SUBJECT, (method,), now=0).error is not None) is refused


def test_an_unregistered_key_may_still_connect() -> None:
    book = FaultBook()
    book.set(Fault(FaultKind.AUTH_KEY_UNREGISTERED))
    assert book.on_call(SUBJECT, ("help.getConfig",), now=0).error is None
    error = book.on_call(SUBJECT, ("users.getUsers",), now=0).error
    assert error is not None
    assert error.code == 401


def test_a_random_id_counts_once_per_account() -> None:
    world = _world()
    first = send(world, ALICE, _user(BOB), Draft("hi", random_id=9), now=1)
    again = send(world, ALICE, _user(BOB), Draft("hi", random_id=9), now=2)
    other = send(world, BOB, _user(ALICE), Draft("hi", random_id=9), now=3)
    assert again.repeated
    assert not other.repeated
    assert again.message is first.message
    assert again.deliveries == ()
    assert len(world.users[BOB].box.messages) == 2


def test_a_random_id_counts_once_in_a_channel() -> None:
    world = _world()
    peer = open_channel(world, Channel(0, "c", ALICE, 0, members={BOB})).message.peer
    first = send(world, ALICE, peer, Draft("hi", random_id=9), now=1)
    assert send(world, ALICE, peer, Draft("hi", random_id=9), now=2).message is first.message
    assert send(world, BOB, peer, Draft("hi", random_id=9), now=2).message.message_id == 3


def test_a_random_id_stays_used_after_its_message_is_deleted() -> None:
    world = _world()
    sent = send(world, ALICE, _user(BOB), Draft("hi", random_id=9), now=1)
    told = delete(world, ALICE, [sent.message.message_id], revoke=True)
    assert sorted(delivery.user_id for delivery in told) == [ALICE, BOB]
    with pytest.raises(TelegramError, match="RANDOM_ID_DUPLICATE"):
        send(world, ALICE, _user(BOB), Draft("hi", random_id=9), now=2)
    assert not len(world.users[BOB].box.messages)


def test_reading_tells_the_author_in_its_own_numbering() -> None:
    world = _world()
    send(world, ALICE, _user(ALICE), Draft("to myself"), now=1)
    sent = send(world, ALICE, _user(BOB), Draft("hi"), now=1)
    mine, theirs = read(world, BOB, _user(ALICE), 0)
    assert (mine.user_id, mine.events[0].max_id) == (BOB, 1)
    assert (theirs.user_id, theirs.events[0].max_id) == (ALICE, sent.message.message_id)
    assert sent.message.message_id == 2
    assert read(world, BOB, _user(ALICE), 0) == []


def test_only_members_and_admins_write() -> None:
    world = _world()
    closed = open_channel(world, Channel(0, "c", ALICE, 0)).message.peer
    news = open_channel(world, Channel(0, "n", ALICE, 0, broadcast=True, members={BOB})).message.peer
    with pytest.raises(TelegramError, match="CHANNEL_PRIVATE"):
        send(world, BOB, closed, Draft("hi"), now=1)
    with pytest.raises(TelegramError, match="CHAT_WRITE_FORBIDDEN"):
        send(world, BOB, news, Draft("hi"), now=1)
    assert send(world, ALICE, news, Draft("hi"), now=1).message.sender == news


@pytest.mark.parametrize(
    ("page", "ids"),
    [
        (Page(limit=3), [10, 9, 8]),
        (Page(limit=3, offset_id=5), [4, 3, 2]),
        (Page(limit=3, offset_id=5, add_offset=-2), [6, 5, 4]),
        (Page(limit=4, offset_id=2), [1]),
        (Page(limit=10, min_id=7), [10, 9, 8]),
        (Page(limit=10, max_id=3), [2, 1]),
        (Page(limit=2, add_offset=1), [9, 8]),
        (Page(limit=3, offset_id=1, add_offset=-3), [3, 2, 1]),
        (Page(limit=10, offset_date=4), [3, 2, 1]),
    ],
)
def test_pages_of_a_history(page: Page, ids: list[int]) -> None:
    world = _world()
    for number in range(1, 11):
        send(world, ALICE, _user(BOB), Draft(f"m{number}"), now=number)
    assert [m.message_id for m in world.users[ALICE].box.history(_user(BOB), page)] == ids


def test_a_difference_is_what_came_after_pts() -> None:
    world = _world()
    before = world.users[BOB].box.pts
    for text in ("a", "b"):
        send(world, ALICE, _user(BOB), Draft(text), now=1)
    events = world.users[BOB].box.since(before + 1)
    assert [world.users[BOB].box.messages[i].text for e in events for i in e.message_ids] == ["b"]


def test_access_hashes_are_per_account() -> None:
    assert access_hash(b"s", ALICE, _user(BOB)) != access_hash(b"s", BOB, _user(BOB))
    assert access_hash(b"s", ALICE, _user(BOB)) == access_hash(b"s", ALICE, _user(BOB))


def test_a_full_journal_forgets_the_oldest() -> None:
    journal = Journal(limit=3)
    for seq in range(1, 6):
        journal.append(Record(seq=seq, kind=RecordKind.CALL))
    assert [record.seq for record in journal.since(0)] == [3, 4, 5]
    assert [record.seq for record in journal.since(3, limit=1)] == [4]
    assert journal.next_seq == 6


def test_errors_survive_pickling() -> None:
    error = pickle.loads(pickle.dumps(TelegramError(406, "AUTH_KEY_DUPLICATED")))
    assert (error.code, error.name) == (406, "AUTH_KEY_DUPLICATED")


@pytest.mark.parametrize("framing", [Abridged, Intermediate, Full])
@pytest.mark.parametrize("size", [4, 500, 504, 508, 4096])
def test_framings_cut_what_they_frame_at_any_split(framing: type, size: int) -> None:
    packet = bytes(range(256)) * 16
    wire, buffer, reader, cut = framing().frame(packet[:size]) * 2, bytearray(), framing(), []
    for byte in wire:
        buffer.append(byte)
        if (whole := reader.cut(buffer)) is not None:
            cut.append(whole)
    assert cut == [packet[:size]] * 2
    assert not buffer


def test_framings_are_told_by_their_first_bytes() -> None:
    assert isinstance(detect(bytearray(b"\xef")), Abridged)
    assert isinstance(detect(bytearray(b"\xee\xee\xee\xee")), Intermediate)
    assert isinstance(detect(bytearray(b"\x10\0\0\0")), Full)
    assert detect(bytearray(b"\xee\xee")) is None


def test_a_damaged_full_packet_is_refused() -> None:
    wire = bytearray(Full().frame(bytes(16)))
    wire[10] ^= 1
    with pytest.raises(FramingError):
        Full().cut(wire)
