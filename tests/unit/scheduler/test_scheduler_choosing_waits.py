"""Waits: by the monotonic clock while the process lives, at most the original after a restart, once however
often they are told, and ended by an operator's reset."""

from __future__ import annotations

import pytest

from services.scheduler.domain.model import Flood
from services.scheduler.domain.transfers.choosing.words import PoolAccount
from services.scheduler.domain.transfers.records import TransferPicture, WaitRecord
from tests.unit.scheduler.choosing_stage import CHAT, FORWARD, PoolStage

HOUR = 3600.0


def told(stage: PoolStage, seconds: float, account_id: str = "a", chat_id: int = 0) -> WaitRecord:
    return stage.pool.wait(account_id, FORWARD, chat_id, seconds, now=stage.now, wall=stage.wall)


def shows(stage: PoolStage, *until: float, account_id: str = "a") -> None:
    """The registry shows these waits of the account, and no other."""
    floods = tuple(Flood(FORWARD, 0, at) for at in until)
    stage.pool.update(PoolAccount(account_id, account_id, waits=floods), stage.now, stage.wall)


def remaining(stage: PoolStage, account_id: str = "a") -> float:
    end = stage.pool.waiting(account_id, FORWARD, CHAT, stage.now)
    return 0.0 if end is None else end - stage.now


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
def test_a_clock_that_jumps_wakes_nothing_early_and_nothing_late(jump: float) -> None:
    stage = PoolStage().add("a")
    told(stage, 600)
    shows(stage, stage.wall + 600)
    stage.passes(100)
    stage.wall += jump
    shows(stage, stage.wall - jump + 500)  # told again, with the end as it was
    assert remaining(stage) == 500
    assert stage.nobody().wake == stage.now + 500
    stage.passes(499)
    assert stage.chosen() == "(FLOOD_WAIT)"
    stage.passes(2)
    assert stage.chosen() == "a"


def test_a_registry_whose_clock_jumped_ahead_shows_no_wait_any_more_and_that_is_no_reset() -> None:
    stage = PoolStage().add("a")
    told(stage, 600)
    shows(stage, stage.wall + 600)
    stage.wall += HOUR
    shows(stage)
    assert remaining(stage) == 600
    assert stage.pool.waits_changed() == []


@pytest.mark.parametrize("down", [0.0, 100.0, HOUR, -HOUR])
def test_after_a_restart_at_most_the_original_remains(down: float) -> None:
    stage = PoolStage().add("a")
    record = told(stage, 600)
    assert (record.until, record.seconds) == (stage.wall + 600, 600)
    later = stage.restarted(TransferPicture((), (), (), [record], (), ()), ["a"], down)
    shows(later, record.until)
    assert remaining(later) == {0.0: 600, 100.0: 500, HOUR: 0, -HOUR: 600}[down]


def test_the_same_wait_told_by_the_batch_and_by_the_registry_is_one_wait() -> None:
    stage = PoolStage().add("a")
    told(stage, 60)
    shows(stage, stage.wall + 61.5)  # a worker's clock, a little ahead
    assert remaining(stage) == 60
    other = PoolStage().add("b")
    shows(other, other.wall + 59, account_id="b")
    told(other, 60, "b")
    assert remaining(other, "b") == 60


def test_the_longest_wait_counts() -> None:
    stage = PoolStage().add("a")
    told(stage, 60)
    told(stage, 30)
    assert remaining(stage) == 60
    shows(stage, stage.wall + 300)
    assert remaining(stage) == 300
    shows(stage, stage.wall + 300, stage.wall + 300)
    told(stage, 20, chat_id=CHAT)
    assert remaining(stage) == 300


def test_a_wait_counts_between_one_second_and_two_weeks() -> None:
    stage = PoolStage().add("a", "b")
    assert told(stage, 0).seconds == 1
    assert told(stage, 1e9, "b").seconds == 14 * 86_400


def test_an_operators_reset_ends_what_the_registry_showed() -> None:
    stage = PoolStage().add("a")
    told(stage, 600)
    shows(stage, stage.wall + 600)
    stage.passes(10)
    assert stage.chosen() == "(FLOOD_WAIT)"
    shows(stage)
    assert stage.chosen() == "a"
    assert stage.pool.waits_changed() == [WaitRecord("a", FORWARD, 0, stage.wall, 0.0)]
    assert stage.pool.waits_changed() == []


def test_a_reset_leaves_a_longer_wait_that_the_registry_never_showed() -> None:
    stage = PoolStage().add("a")
    shows(stage, stage.wall + 100)
    told(stage, 600)
    shows(stage)
    assert remaining(stage) == 600


def test_a_wait_that_the_registry_never_showed_is_not_reset_by_its_silence() -> None:
    stage = PoolStage().add("a")
    told(stage, 600)
    shows(stage)
    shows(stage)
    assert remaining(stage) == 600


def test_a_wait_shown_by_the_registry_wakes_at_its_end() -> None:
    stage = PoolStage().add("a")
    shows(stage, stage.wall + 60)
    assert stage.nobody().wake == stage.now + 60
    stage.passes(61)
    shows(stage)
    assert stage.chosen() == "a"


def test_methods_needed_beside_the_sending_one_must_not_wait_either() -> None:
    stage = PoolStage().add("a")
    stage.wait("a", 60, method="messages.getHistory")
    assert stage.chosen() == "a"
    assert stage.chosen(also=("messages.getHistory",)) == "(FLOOD_WAIT)"


def test_what_is_said_of_a_wait_stays_true_while_it_lasts() -> None:
    stage = PoolStage().add("a")
    stage.wait("a", 60)
    said = stage.nobody().detail
    assert said.endswith(f"It must wait with {FORWARD} until 2026-11-20 12:01:00 UTC.")
    stage.passes(30)
    assert stage.nobody().detail == said
