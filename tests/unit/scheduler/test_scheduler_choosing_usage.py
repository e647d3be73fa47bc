"""Counts by day: every message once, on the day its batch was reserved for, over midnight, restarts and
clocks that are put back."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from services.scheduler.domain.transfers.choosing.words import PoolAccount
from services.scheduler.domain.transfers.records import (
    BatchRecord,
    BatchState,
    TransferPicture,
    Usage,
    UsageChange,
)
from tests.unit.scheduler.choosing_stage import PoolStage, at

BERLIN = "Europe/Berlin"
CAPPED = PoolAccount("a", "a", time_zone=BERLIN, daily_cap=150)


def stage_at(text: str) -> PoolStage:
    return PoolStage(wall=at(text)).add(CAPPED)


def test_the_cap_counts_what_is_reserved_and_what_was_sent() -> None:
    stage = stage_at("2026-11-20T12:00")
    assert stage.pool.reserve("a", "t/1/1", 100, stage.wall) == UsageChange("a", "2026-11-20", reserved=100)
    assert stage.nobody(count=60).reason == "DAILY_CAP"
    assert stage.pool.settle("t/1/1", 90) == UsageChange("a", "2026-11-20", reserved=-100, sent=90)
    assert stage.pool.allowance(stage.ask(), "a", "h", stage.now, stage.wall) == 60
    told = stage.explained()["a"]
    assert (told.sent_today, told.daily_cap, told.sent_total) == (90, 150, 90)


def test_a_batch_is_reserved_once_and_settled_once() -> None:
    stage = stage_at("2026-11-20T12:00")
    stage.pool.reserve("a", "t/1/1", 100, stage.wall)
    assert stage.pool.reserve("a", "t/1/1", 100, stage.wall) == UsageChange("a", "2026-11-20")
    assert stage.pool.settle("t/1/1", 100) is not None
    assert stage.pool.settle("t/1/1", 100) is None
    assert stage.explained()["a"].sent_total == 100


def test_a_new_day_begins_at_the_accounts_midnight() -> None:
    stage = stage_at("2026-11-20T22:50")
    stage.pool.reserve("a", "t/1/1", 150, stage.wall)
    stage.pool.settle("t/1/1", 150)
    nobody = stage.nobody()
    assert (nobody.reason, nobody.wake) == ("DAILY_CAP", stage.now + 600)
    stage.passes(599)
    assert stage.chosen() == "(DAILY_CAP)"
    stage.passes(1)
    assert stage.chosen() == "a"
    assert stage.explained()["a"].sent_today == 0
    assert stage.explained()["a"].sent_total == 150


def test_a_batch_that_is_settled_after_midnight_counts_for_its_own_day() -> None:
    stage = stage_at("2026-11-20T22:59")
    stage.pool.reserve("a", "t/1/1", 100, stage.wall)
    stage.passes(120)
    assert stage.choose().allowance == 150  # type: ignore[union-attr]
    assert stage.pool.settle("t/1/1", 100) == UsageChange("a", "2026-11-20", reserved=-100, sent=100)
    assert stage.choose().allowance == 150  # type: ignore[union-attr]
    assert stage.explained()["a"].sent_total == 100


def test_a_clock_that_is_put_back_over_midnight_opens_no_day_again() -> None:
    stage = stage_at("2026-11-20T22:59")
    stage.pool.reserve("a", "t/1/1", 150, stage.wall)
    stage.pool.settle("t/1/1", 150)
    stage.passes(120)
    stage.pool.reserve("a", "t/1/2", 150, stage.wall)
    stage.wall -= 3600
    assert stage.chosen() == "(DAILY_CAP)"
    stage.wall += 3600
    assert stage.chosen() == "(DAILY_CAP)"


def batch(number: int, count: int, first_sent: float) -> BatchRecord:
    ids = tuple(range(1, count + 1))
    return BatchRecord("t", 1, number, BatchState.INTENDED, "a", ids, ids, 0, count, first_sent=first_sent)


def test_after_a_restart_open_batches_hold_what_they_reserved() -> None:
    wall = at("2026-11-20T12:00")
    usage = [Usage("a", "2026-11-20", 60, 20, 500)]
    picture = TransferPicture((), (), [batch(3, 60, wall - 5), batch(1, 70, wall - 90_000)], (), usage, ())
    stage = PoolStage(picture, wall=wall).add(CAPPED)
    assert stage.choose().allowance == 70  # type: ignore[union-attr]
    old = stage.pool.settle("t/1/1", 70)  # reserved on an earlier day: for the total only
    assert old is not None
    assert old.day < "2026-11-20"
    assert stage.choose().allowance == 70  # type: ignore[union-attr]
    assert stage.pool.settle("t/1/3", 0) == UsageChange("a", "2026-11-20", reserved=-60)
    assert stage.choose().allowance == 130  # type: ignore[union-attr]
    assert stage.explained()["a"].sent_total == 570


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 100), st.floats(0, 40_000), st.floats(0, 1)), max_size=40))
def test_every_message_counts_once_and_the_cap_holds_on_every_day(
    batches: list[tuple[int, float, float]],
) -> None:
    stage = stage_at("2026-11-20T12:00")
    sent_by_day: dict[str, int] = {}
    reserved_by_day: dict[str, int] = {}
    total = 0
    for number, (count, pause, share) in enumerate(batches):
        stage.passes(pause)
        allowance = stage.pool.allowance(stage.ask(), "a", "h", stage.now, stage.wall)
        if not allowance:
            continue
        changes = [stage.pool.reserve("a", f"t/1/{number}", min(count, allowance), stage.wall)]
        stage.passes(pause * share)
        sent = int(min(count, allowance) * share)
        settled = stage.pool.settle(f"t/1/{number}", sent)
        assert settled is not None
        for change in (*changes, settled):
            sent_by_day[change.day] = sent_by_day.get(change.day, 0) + change.sent
            reserved_by_day[change.day] = reserved_by_day.get(change.day, 0) + change.reserved
        total += sent
    assert all(count <= 150 for count in sent_by_day.values())
    assert all(count == 0 for count in reserved_by_day.values())
    assert sum(sent_by_day.values()) == total == stage.explained()["a"].sent_total
