"""Accounts and targets are shared: turns, limits, borrowing, following, and what is read ahead."""

from dataclasses import replace

import pytest

from services.scheduler.domain.transfers import commands as c
from services.scheduler.domain.transfers import events as e
from services.scheduler.domain.transfers import orders as o
from services.scheduler.domain.transfers.choosing.words import Nobody
from services.scheduler.domain.transfers.records import TransferState, Wish
from tests.unit.scheduler.transfer_stage import EMPTY, NAME, RULES, Stage, send_of


@pytest.fixture
def stage() -> Stage:
    stage = Stage()
    stage.run("a1", "a2")
    return stage


def test_an_account_is_given_away_after_its_turn() -> None:
    stage = Stage(replace(RULES, turn=2))
    stage.run("a1")
    stage.create(range(1, 101), name="tr_1")
    stage.create(range(1, 101), name="tr_2")
    turns = []
    while stage.sends:
        turns.append(stage.sends[0].order_id.split("/")[0])
        stage.sent()
    assert turns[:8] == ["tr_1", "tr_1", "tr_2", "tr_2", "tr_1", "tr_1", "tr_2", "tr_2"]
    assert len(turns) == 20


def test_a_hundred_transfers_share_twenty_accounts_fairly() -> None:
    stage = Stage()
    accounts = [f"a{number}" for number in range(20)]
    stage.run(*accounts)
    names = [f"tr_{number}" for number in range(100)]
    for name in names:
        stage.create(range(1, 201), *accounts, name=name)
    done = dict.fromkeys(names, 0)
    while stage.sends:
        order = stage.sends[0]
        done[order.order_id.split("/")[0]] += 1
        stage.sent()
        if sum(done.values()) == 1000:
            assert max(done.values()) - min(done.values()) <= 2 * RULES.turn
    assert set(done.values()) == {20}


def test_a_million_messages_are_read_a_few_batches_ahead() -> None:
    stage = Stage(replace(RULES, batch_size=100, page_size=100))
    stage.run("a1")
    stage.endless = True
    stage.create([1_000_000], shards=[(1, 1_000_000)])
    most = 0
    for _ in range(200):
        most = max(most, stage.shard().intake.ids)
        stage.sent()
    assert stage.shard().record.checkpoint == 20_000
    assert most <= RULES.read_ahead * 100


def test_shards_side_by_side_use_one_account_each(stage: Stage) -> None:
    stage.create(range(1, 41), "a1", "a2", shards=[(1, 20), (21, 40)])
    assert {order.account_id for order in stage.sends} == {"a1", "a2"}
    assert [send_of(order).message_ids[0] for order in stage.sends] == [1, 21]


def test_the_targets_limit_holds_over_all_transfers() -> None:
    stage = Stage(replace(RULES, max_per_hour=25))
    stage.run("a1", "a2")
    stage.create(range(1, 41), "a1", name="tr_1")
    stage.create(range(1, 41), "a2", name="tr_2")
    count = 0
    while stage.sends:
        count += len(send_of(stage.sends[0]).message_ids)
        stage.sent()
    assert count == 25
    assert {stage.state("tr_1"), stage.state("tr_2")} == {TransferState.WAITING}
    assert stage.transfer("tr_1").record.reason == "MAX_PER_HOUR"
    stage.pass_time(3500)
    assert not stage.sends
    stage.pass_time(130)
    assert stage.sends


def test_the_targets_limit_outlives_a_leader() -> None:
    stage = Stage(replace(RULES, max_per_hour=25))
    stage.run("a1")
    stage.create(range(1, 41))
    stage.finish()
    counts = [count for changes in stage.written for count in changes.targets]
    assert sum(count.count for count in counts) == 25
    later = Stage(replace(RULES, max_per_hour=25), replace(EMPTY, targets=counts), term=2)
    later.run("a1")
    later.create(range(1, 41), name="tr_2")
    assert later.state("tr_2") is TransferState.WAITING
    assert not later.sends
    later.pass_time(3800)
    assert later.sends


def test_a_following_transfer_polls_and_goes_on(stage: Stage) -> None:
    stage.create(range(1, 11), shards=[(1, 0)], follow=True)
    stage.finish()
    assert stage.state() is TransferState.FOLLOWING
    assert not stage.shard().account_id
    stage.messages[11] = o.SourceMessage(11)
    stage.pass_time(RULES.follow_interval + 0.1)
    assert send_of(stage.sends[0]).message_ids == (11,)
    stage.sent()
    assert stage.state() is TransferState.FOLLOWING


def test_an_album_that_still_grows_is_awaited_when_following(stage: Stage) -> None:
    stage.create([1], shards=[(1, 0)], follow=True)
    stage.finish()
    stage.messages[2] = o.SourceMessage(2, 77)
    stage.pass_time(RULES.follow_interval + 0.1)
    assert not stage.sends
    stage.messages[3] = o.SourceMessage(3, 77)
    stage.pass_time(RULES.follow_min_age + 0.1)
    stage.pass_time(RULES.follow_min_age + 0.1)
    assert send_of(stage.sends[0]).message_ids == (2, 3)


def test_a_stopped_account_is_borrowed_and_given_back(stage: Stage) -> None:
    stage.view("a3", wanted=False, startable=True)
    stage.create(range(1, 11), "a3")
    assert [one.account_id for one in stage.of(c.Borrow)] == ["a3"]
    assert stage.state() is TransferState.WAITING
    stage.run("a3", wanted=False, startable=False)
    stage.finish()
    assert stage.last_row().state is TransferState.COMPLETED
    stage.pass_time(RULES.idle_release - 1)
    assert not stage.of(c.GiveBack)
    stage.pass_time(2)
    assert [one.account_id for one in stage.of(c.GiveBack)] == ["a3"]


def test_a_wake_up_that_comes_to_nothing_makes_no_busy_loop(stage: Stage) -> None:
    stage.create(range(1, 41), "a1")
    stage.core.desk.pool.choose = lambda _ask, now, _wall: Nobody(now, "RESTING", "It rests.")  # type: ignore[method-assign]
    stage.flood(1)
    ticks = len(stage.log)
    for _ in range(100):
        due = stage.core.next_due
        assert due is not None
        stage.now = max(stage.now, due)
        stage.feed(e.Tick())
    assert stage.now >= 1009.0, f"{len(stage.log) - ticks} commands in {stage.now - 1000:.3f} s"


def test_only_running_accounts_are_used_when_so_asked(stage: Stage) -> None:
    stage.view("a3", wanted=False, startable=True)
    stage.create(range(1, 11), "a3", only_running=True)
    assert not stage.of(c.Borrow)
    assert stage.state() is TransferState.WAITING


def test_after_a_wait_the_account_used_last_is_preferred() -> None:
    stage = Stage()
    stage.run("a1")
    stage.run("a2", priority=0)
    stage.create(range(1, 101), "a1", "a2")
    used = stage.sends[0].account_id
    stage.sent()
    stage.feed(e.Wished(NAME, Wish.PAUSE))
    stage.sent()
    stage.feed(e.Wished(NAME, Wish.RUN))
    assert stage.sends[0].account_id == used


def test_waiting_long_sets_no_timer_twice(stage: Stage) -> None:
    stage.create()
    stage.flood(10_000)
    before = len(stage.core.desk.timers)
    for number in range(100):
        stage.view("a1", priority=number)
    assert len(stage.core.desk.timers) <= before + 1


def test_a_frozen_workers_reading_holds_nobody_up(stage: Stage) -> None:
    stage.hold_reads = True
    stage.create(range(1, 41), "a1", "a3")
    assert stage.reads
    stage.hold_reads = False
    stage.feed(e.Detached("w1", lost=False))
    stage.stop("a1")
    stage.run("a3", worker_id="w2")
    assert [order.account_id for order in stage.sends] == ["a3"]


def test_a_reading_that_must_wait_moves_to_another_account(stage: Stage) -> None:
    stage.hold_reads = True
    stage.create(range(1, 41), "a1", "a2")
    order = next(one for one in stage.reads if isinstance(one.work, o.ReadSource))
    inspection = next(one for one in stage.reads if isinstance(one.work, o.InspectChats))
    stage.hold_reads = False
    stage.obey(inspection)
    stage.answer(order, o.OrderRefused(420, "FLOOD_WAIT_X", 500, "messages.getHistory"))
    stage.pass_time(1)
    assert stage.sends
    assert stage.sends[0].account_id != order.account_id
