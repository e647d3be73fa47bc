"""What is pickled in chunks comes back whole, whatever happened between two snapshots."""

from __future__ import annotations

import pickle
from typing import TypeVar

from hypothesis import given
from hypothesis import strategies as st

from services.testdc.domain.frozenlog import CHUNK, FrozenLog
from services.testdc.domain.ledger import Entry, Ledger
from services.testdc.domain.message import Message
from services.testdc.domain.peer import Peer, PeerKind
from services.testdc.domain.shelf import Shelf

T = TypeVar("T")
CHAT = Peer(PeerKind.CHANNEL, 1)


def _again(kept: T) -> T:
    copy: T = pickle.loads(pickle.dumps(kept))
    return copy


def _message(number: int, topic_id: int = 0) -> Message:
    return Message(number, number, CHAT, CHAT, 1, 0, f"text {number}", outgoing=True, topic_id=topic_id)


@given(st.lists(st.integers(0, 2 * CHUNK), max_size=4))
def test_a_log_comes_back_whole(steps: list[int]) -> None:
    log: FrozenLog[int] = FrozenLog()
    for step in steps:
        for item in range(step):
            log.append(item)
        assert list(_again(log)) == list(log)
    restored = _again(_again(log))
    restored.append(7)
    assert list(_again(restored)) == [*log, 7]


def test_messages_come_back_with_their_places() -> None:
    shelf = Shelf()
    for number in range(1, 3 * CHUNK):
        shelf.put(_message(number, topic_id=number % 2))
        if number % 100 == 0:
            assert len(_again(shelf)) == len(shelf)
    shelf.take(5)
    shelf.take(CHUNK + 5)
    restored = _again(shelf)
    for number in range(3 * CHUNK, 4 * CHUNK):
        restored.put(_message(number))
    again = _again(restored)
    assert [m.message_id for m in again] == [i for i in range(1, 4 * CHUNK) if i not in {5, CHUNK + 5}]
    assert again.by_peer[CHAT] == [m.message_id for m in again]
    assert again.by_topic[1] == [m.message_id for m in again if m.topic_id]
    assert again.by_uid[77] == 77
    assert again[77] == _message(77, topic_id=1)


def test_a_message_filed_late_comes_back_so() -> None:
    shelf = Shelf()
    for number in range(1, 2 * CHUNK):
        shelf.put(_message(number))
    _again(shelf)
    shelf.file_under(9, shelf[3])
    assert _again(shelf)[3].topic_id == 9


def test_random_ids_come_back() -> None:
    ledger = Ledger()
    for number in range(1, 2 * CHUNK):
        ledger.keep(Entry(1, number, CHAT, number + 1, 0))
    ledger.life = 60
    again = _again(ledger)
    found = again.find(1, 700, now=59)
    assert found is not None
    assert found.message_id == 701
    assert again.find(1, 700, now=60) is None
    assert again.find(2, 700, now=0) is None
