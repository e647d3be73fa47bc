"""Pages become units, units batches: albums whole, bounds kept, every id accounted for once."""

import random
from itertools import pairwise

import pytest

from services.scheduler.domain.transfers.batching import Bounds, Intake
from services.scheduler.domain.transfers.orders import SourceMessage, SourcePage

Source = dict[int, SourceMessage]


def page(source: Source, after: int, through: int, limit: int) -> SourcePage:
    last = through or max(source, default=0)
    ids = [one for one in sorted(source) if after < one <= last]
    taken = ids[:limit]
    end = len(taken) == len(ids)
    return SourcePage([source[one] for one in taken], last if end else taken[-1], end)


def read_all(source: Source, bounds: Bounds, limit: int, checkpoint: int | None = None) -> Intake:
    intake = Intake(bounds, bounds.first_id - 1 if checkpoint is None else checkpoint)
    while not intake.ended:
        intake.feed(page(source, intake.after_id, intake.through_id, limit))
    return intake


def plain(*ids: int, grouped: int = 0, skip: str = "") -> Source:
    return {one: SourceMessage(one, grouped, skip) for one in ids}


def units(intake: Intake) -> list[tuple[int, ...]]:
    return [unit.message_ids for unit in intake.units]


def test_an_album_over_two_pages_stays_whole() -> None:
    source = plain(1, 2) | plain(3, 4, 5, grouped=9) | plain(6)
    assert units(read_all(source, Bounds(1, 6, 1, 6), limit=4)) == [(1,), (2,), (3, 4, 5), (6,)]


def test_an_album_is_never_in_two_batches() -> None:
    intake = read_all(plain(1, 2, 3) | plain(4, 5, 6, grouped=9), Bounds(1, 6, 1, 6), limit=100)
    assert [unit.message_ids for unit in intake.cut(5)] == [(1,), (2,), (3,)]
    assert [unit.message_ids for unit in intake.cut(2)] == [(4, 5, 6)]


def test_an_album_belongs_to_the_shard_of_its_first_message() -> None:
    source = plain(*range(1, 10)) | plain(10, 11, 12, grouped=9) | plain(*range(13, 21))
    assert units(read_all(source, Bounds(1, 10, 1, 20), limit=100))[-1] == (10, 11, 12)
    assert units(read_all(source, Bounds(11, 20, 1, 20), limit=100))[0] == (13,)


def test_the_ranges_bounds_cut_an_album() -> None:
    source = plain(*range(1, 9)) | plain(9, 10, 11, 12, grouped=9)
    assert units(read_all(source, Bounds(10, 11, 10, 11), limit=100)) == [(10, 11)]


def test_a_filters_word_on_a_part_counts_only_when_it_is_on_all() -> None:
    mixed = plain(1, grouped=5, skip="MEDIA") | plain(2, grouped=5)
    none = plain(4, 5, grouped=6, skip="NO_MATCH")
    intake = read_all(mixed | none | plain(6, skip="SERVICE"), Bounds(1, 6, 1, 6), limit=100)
    assert units(intake) == [(1, 2)]
    assert intake.tail == (6, {"DELETED": 1, "NO_MATCH": 2, "SERVICE": 1})


def test_missing_ids_are_deleted_only_where_ids_are_the_chats_own() -> None:
    source = plain(3, 7)
    assert read_all(source, Bounds(1, 9, 1, 9), limit=100).units[0].skipped == {"DELETED": 2}
    private = read_all(source, Bounds(1, 9, 1, 9, gaps=False), limit=100)
    assert [unit.skipped for unit in private.units] == [{}, {}]


def test_what_is_given_back_goes_first_again() -> None:
    intake = read_all(plain(1, 2, 3), Bounds(1, 3, 1, 3), limit=100)
    taken = intake.cut(2)
    intake.give_back(taken)
    assert units(intake) == [(1,), (2,), (3,)]


def test_halves_are_cut_by_units() -> None:
    intake = read_all(plain(*range(1, 9)), Bounds(1, 8, 1, 8), limit=100)
    assert len(intake.cut(100, units=3)) == 3


@pytest.mark.parametrize("seed", range(60))
def test_every_id_is_in_exactly_one_place(seed: int) -> None:
    rng = random.Random(seed)
    source, last = _random_source(rng)
    shards = rng.randint(1, 4)
    edges = [1 + last * part // shards for part in range(shards + 1)]
    seen: list[int] = []
    passed = 0
    for first, end in pairwise(edges):
        seen_here, passed_here = _interrupted(rng, source, Bounds(first, end - 1, 1, last))
        seen += seen_here
        passed += passed_here
    assert sorted(seen) == sorted(set(seen))
    wanted = {one for one, message in source.items() if not message.skip}
    assert set(seen) == wanted
    assert len(seen) + passed == last


def _interrupted(rng: random.Random, source: Source, bounds: Bounds) -> tuple[list[int], int]:
    """A shard whose leader is replaced after some of the batches: nothing is counted twice."""
    seen: list[int] = []
    passed = 0
    checkpoint = bounds.first_id - 1
    while True:
        intake = read_all(source, bounds, rng.randint(1, 30), checkpoint)
        taken = intake.cut(rng.randint(1, 40))
        while taken:
            seen += [one for unit in taken for one in unit.message_ids]
            passed += sum(sum(unit.skipped.values()) for unit in taken)
            checkpoint = taken[-1].through_id
            if rng.random() < 0.3:
                break
            taken = intake.cut(rng.randint(1, 40))
        else:
            return seen, passed + sum(intake.tail[1].values())


def _random_source(rng: random.Random) -> tuple[Source, int]:
    source: Source = {}
    last = rng.randint(50, 200)
    one, album = 0, 0
    while one < last:
        one += 1
        kind = rng.random()
        if kind < 0.1:
            continue
        if kind < 0.15:
            source[one] = SourceMessage(one, 0, "SERVICE")
        elif kind < 0.35:
            album += 1
            for part in range(one, min(last, one + rng.randint(1, 9)) + 1):
                source[part] = SourceMessage(part, album)
                one = part
        else:
            source[one] = SourceMessage(one)
    return source, last
