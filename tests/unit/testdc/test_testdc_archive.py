"""Computed messages: the same every time, laid out as asked, and paged like any others."""

from __future__ import annotations

import pickle
from collections import Counter, defaultdict
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.testdc.domain.archive import Archive, Recipe
from services.testdc.domain.boxes import Box
from services.testdc.domain.media import CAPTIONED, MediaKind
from services.testdc.domain.message import Message
from services.testdc.domain.pages import Page
from services.testdc.domain.peer import Peer, PeerKind

CHAT = Peer(PeerKind.CHANNEL, 1)
MIXED = Recipe(5, albums=0.05, media=0.2, service=0.05, deleted=0.1, captions=0.5, forwarded=0.2)


def _archive(count: int, recipe: Recipe = MIXED, first: int = 2, topic_id: int = 0) -> Archive:
    return Archive(
        recipe=recipe,
        peer=CHAT,
        first=first,
        count=count,
        number=1,
        authors=(7, 8),
        broadcast=False,
        first_uid=1,
        first_date=1_000_000,
        seconds_apart=1.0,
        topic_id=topic_id,
    )


def _box(archive: Archive, after: int = 5) -> Box:
    """One message before, some after."""
    box = Box()
    box.add(Message(0, 1, CHAT, CHAT, 7, 999_000, "first", outgoing=True))
    box.add_archive(archive)
    for _ in range(after):
        box.add(Message(0, 1, CHAT, CHAT, 7, 3_000_000, "later", outgoing=True))
    return box


def test_the_same_seed_makes_the_same_messages_wherever_one_begins() -> None:
    archive = _archive(1_000)
    everything = list(archive.all())
    assert len(everything) == len(archive)
    again = _archive(1_000)
    assert [again.find(m.message_id) for m in reversed(everything)] == everything[::-1]
    assert list(_archive(1_000, Recipe(6, media=0.2)).all()) != everything


def test_all_that_was_asked_for_is_there() -> None:
    everything = list(_archive(5_000).all())
    kinds = Counter(m.media.kind for m in everything if m.media)
    assert set(kinds) == set(MediaKind)
    assert 300 < 5_000 - len(everything) < 700
    assert any(m.service for m in everything)
    assert any(m.origin for m in everything)
    assert {m.author_id for m in everything} == {7, 8}
    texts = [m.text for m in everything if m.text]
    assert len(set(texts)) == len(texts)
    assert all(m.media.kind in CAPTIONED for m in everything if m.media and m.text)
    media = [m.media.media_id for m in everything if m.media]
    assert len(set(media)) == len(media)


def test_albums_have_up_to_ten_parts_in_a_row_by_one_person_and_one_caption() -> None:
    albums: dict[int, list[Message]] = defaultdict(list)
    everything = list(_archive(5_000).all())
    for message in everything:
        if message.grouped_id:
            albums[message.grouped_id].append(message)
    assert len(albums) > 100
    position = {m.message_id: at for at, m in enumerate(everything)}
    for parts in albums.values():
        assert 1 <= len(parts) <= 10
        assert len({m.author_id for m in parts}) == 1
        assert sum(bool(m.text) for m in parts) <= 1
        places = [position[m.message_id] for m in parts]
        assert all(b == a + 1 for a, b in pairwise(places))


def test_a_million_messages_take_no_room() -> None:
    archive = _archive(1_000_000)
    assert len(pickle.dumps(archive)) < 5_000
    box = _box(archive)
    page = box.history(CHAT, Page(offset_id=500_001, add_offset=-100, limit=100))
    assert len(page) == 100
    assert page[-1].message_id >= 500_001
    assert len(pickle.dumps(archive)) < 20_000


def test_a_removed_message_is_gone() -> None:
    archive = _archive(100, Recipe(1))
    box = _box(archive, after=0)
    assert [event.message_ids for event in box.delete([5, 6, 5])] == [(5, 6)]
    assert box.find(5) is None
    assert len(archive) == 98
    ids = [m.message_id for m in box.history(CHAT, Page(limit=100, max_id=10))]
    assert ids == [9, 8, 7, 4, 3, 2, 1]


def test_topics_are_read_apart() -> None:
    box = Box()
    box.add_archive(_archive(10, Recipe(1), first=1, topic_id=3))
    box.add_archive(_archive(10, Recipe(1), first=11))
    assert [m.message_id for m in box.history(CHAT, Page(), topic_id=3)] == list(range(10, 0, -1))
    assert len(box.history(CHAT, Page())) == 20


@settings(max_examples=300)
@given(
    limit=st.integers(1, 60),
    offset_id=st.integers(0, 260),
    offset_date=st.sampled_from([0, 999_000, 1_000_050, 1_000_120, 2_000_000, 4_000_000]),
    add_offset=st.integers(-80, 80),
    max_id=st.integers(0, 260),
    min_id=st.integers(0, 260),
)
def test_pages_are_those_of_a_plain_list(
    limit: int, offset_id: int, offset_date: int, add_offset: int, max_id: int, min_id: int
) -> None:
    box = _box(_archive(200))
    page = Page(limit, offset_id, offset_date, add_offset, max_id, min_id)
    found = [m.message_id for m in box.history(CHAT, page)]
    everything = list(box.walk(CHAT, 0))
    assert found == _expected(everything, page)


def _expected(everything: list[Message], page: Page) -> list[int]:
    """The same from a list of all messages."""
    inside = [m for m in everything if page.min_id < m.message_id < (page.max_id or 2**31)][::-1]
    if page.offset_id:
        newer = sum(m.message_id >= page.offset_id for m in inside)
    elif page.offset_date:
        newer = sum(m.date >= page.offset_date for m in inside)
    else:
        newer = 0
    start = newer + page.add_offset
    return [m.message_id for m in inside[max(start, 0) : max(start + page.limit, 0)]]


@pytest.mark.parametrize("size", [0, 500])
def test_texts_are_filled_up(size: int) -> None:
    texts = [m.text for m in _archive(20, Recipe(1, text_size=size)).all()]
    assert all(len(text) >= size for text in texts)
    assert texts[0].startswith("message 2 ")
