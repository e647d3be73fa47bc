"""The core of transfers from outside: events in, commands out. Nothing is sent before its intent is on disk,
and nothing follows a batch before it is settled."""

import pytest

from services.scheduler.domain.transfers import commands as c
from services.scheduler.domain.transfers import events as e
from services.scheduler.domain.transfers import orders as o
from services.scheduler.domain.transfers.batch import RandomIds
from services.scheduler.domain.transfers.records import BatchState, TransferState, Wish
from tests.unit.scheduler.transfer_stage import NAME, TARGET, Stage, send_of


@pytest.fixture
def stage() -> Stage:
    stage = Stage()
    stage.run("a1", "a2")
    return stage


def test_all_messages_go_in_order_and_in_full_batches(stage: Stage) -> None:
    stage.create(range(1, 36))
    sizes = []
    sent: list[int] = []
    while stage.sends:
        sizes.append(len(send_of(stage.sends[0]).message_ids))
        sent.extend(send_of(stage.sends[0]).message_ids)
        stage.sent()
    assert sizes == [10, 10, 10, 5]
    assert sent == list(range(1, 36))
    assert NAME not in stage.core.transfers
    assert stage.last_row().state is TransferState.COMPLETED


def test_nothing_is_sent_before_its_intent_is_on_disk(stage: Stage) -> None:
    stage.hold_commits = True
    stage.create()
    assert not stage.sends
    intent = stage.commits[-1].changes.batches[0]
    assert intent.state is BatchState.INTENDED
    assert intent.random_ids == tuple(map(RandomIds(NAME, TARGET).of, intent.message_ids))
    assert intent.target_top_id == 500
    while stage.commits:
        stage.commit()
    assert send_of(stage.sends[0]).random_ids == intent.random_ids


def test_a_result_and_the_next_intent_are_one_commit(stage: Stage) -> None:
    stage.create()
    stage.hold_commits = True
    new = stage.sent()
    commits = [command for command in new if isinstance(command, c.Commit)]
    assert len(commits) == 1
    states = {row.batch: row.state for row in commits[0].changes.batches}
    assert states == {1: BatchState.SETTLED, 2: BatchState.INTENDED}
    assert commits[0].changes.shards[0].checkpoint == 10
    assert not stage.sends


def test_an_answer_is_acknowledged_once_it_is_on_disk(stage: Stage) -> None:
    stage.create()
    stage.hold_commits = True
    order = stage.sends[0]
    stage.sent()
    assert not [one for one in stage.of(c.Acknowledge) if order.order_id in one.order_ids]
    stage.answer(order, o.OrderUnknown("a repetition of the answer changes nothing"))
    stage.commit()
    assert [one for one in stage.of(c.Acknowledge) if order.order_id in one.order_ids]


def test_a_flood_wait_switches_at_once_and_is_on_disk(stage: Stage) -> None:
    stage.create(range(1, 41), "a1", "a2")
    first = stage.sends[0]
    stage.flood(100)
    assert len(stage.sends) == 1
    second = stage.sends[0]
    assert {first.account_id, second.account_id} == {"a1", "a2"}
    assert send_of(second).message_ids == send_of(first).message_ids
    waits = [wait for changes in stage.written for wait in changes.waits]
    assert [(wait.account_id, wait.seconds) for wait in waits] == [(first.account_id, 100)]


def test_with_nobody_left_it_waits_and_wakes_by_itself(stage: Stage) -> None:
    stage.create(range(1, 41), "a1", "a2")
    stage.flood(100)
    stage.flood(50)
    record = stage.transfer().record
    assert record.state is TransferState.WAITING
    assert record.reason == "FLOOD_WAIT"
    assert record.wake == pytest.approx(stage.wall + 50, abs=2)
    stage.pass_time(49)
    assert not stage.sends
    stage.pass_time(3)
    assert len(stage.sends) == 1
    assert stage.state() is TransferState.RUNNING


def test_a_wall_clock_that_jumps_wakes_nobody_early(stage: Stage) -> None:
    stage.create()
    stage.flood(100)
    stage.shift = 3600.0
    stage.pass_time(60)
    assert not stage.sends
    stage.shift = -3600.0
    stage.pass_time(42)
    assert len(stage.sends) == 1


def test_a_newly_running_account_wakes_it_at_once(stage: Stage) -> None:
    stage.create(range(1, 41), "a1", "a3")
    stage.flood(1000)
    assert stage.state() is TransferState.WAITING
    stage.run("a3")
    assert [order.account_id for order in stage.sends] == ["a3"]


def test_slow_mode_counts_for_the_chat_only(stage: Stage) -> None:
    stage.create()
    stage.refuse("SLOWMODE_WAIT_X", 420, 30)
    waits = [wait for changes in stage.written for wait in changes.waits]
    assert [(wait.chat_id, wait.seconds) for wait in waits] == [(TARGET, 30)]


def test_in_slow_mode_nothing_is_tried_too_early(stage: Stage) -> None:
    stage.create()
    stage.refuse("SLOWMODE_WAIT_X", 420, 30)
    stage.pass_time(31)
    stage.sent()
    assert not stage.sends
    stage.pass_time(29)
    assert not stage.sends
    stage.pass_time(2)
    assert len(stage.sends) == 1


def test_a_culprit_is_found_by_halves_and_skipped(stage: Stage) -> None:
    stage.create(range(1, 11))
    delivered: list[int] = []
    for _ in range(50):
        if not stage.sends:
            break
        ids = send_of(stage.sends[0]).message_ids
        if 7 in ids:
            stage.refuse("MEDIA_EMPTY")
        else:
            delivered.extend(ids)
            stage.sent()
    assert delivered == [1, 2, 3, 4, 5, 6, 8, 9, 10]
    rows_of = [row for changes in stage.written for row in changes.batches]
    refused = {key: value for row in rows_of for key, value in row.refused.items()}
    assert refused == {7: "MEDIA_EMPTY"}
    rows = [row for changes in stage.written for row in changes.shards]
    assert (rows[-1].done, rows[-1].skipped, rows[-1].finished) == (9, {"MEDIA_EMPTY": 1}, True)


def test_a_strict_transfer_stops_at_the_culprit(stage: Stage) -> None:
    stage.create(range(1, 3), strict=True)
    while stage.sends:
        if 2 in send_of(stage.sends[0]).message_ids:
            stage.refuse("MEDIA_EMPTY")
        else:
            stage.sent()
    record = stage.transfer().record
    assert (record.state, record.reason) == (TransferState.PAUSED, "MEDIA_EMPTY")


@pytest.mark.parametrize(
    ("name", "code"), [("PEER_FLOOD", 400), ("FROZEN_METHOD_INVALID", 420), ("USER_DEACTIVATED_BAN", 401)]
)
def test_a_verdict_pauses_the_whole_transfer(stage: Stage, name: str, code: int) -> None:
    stage.create(range(1, 41), "a1", "a2", shards=[(1, 20), (21, 40)])
    stage.refuse(name, code)
    assert stage.state() is TransferState.PAUSING
    stage.sent()
    assert stage.state() is TransferState.PAUSED
    assert stage.transfer().record.reason == name
    assert not stage.sends
    stage.feed(e.Wished(NAME, Wish.RUN))
    assert len(stage.sends) == 2


def test_a_protected_source_fails_it(stage: Stage) -> None:
    stage.create()
    stage.refuse("CHAT_FORWARDS_RESTRICTED", 406)
    assert stage.last_row().state is TransferState.FAILED
    assert stage.last_row().reason == "CHAT_PROTECTED"


def test_an_account_that_cannot_post_is_not_asked_again(stage: Stage) -> None:
    stage.create(range(1, 41), "a1", "a2")
    first = stage.sends[0].account_id
    stage.refuse("CHAT_WRITE_FORBIDDEN", 403)
    assert stage.sends[0].account_id != first
    stage.refuse("CHAT_WRITE_FORBIDDEN", 403)
    record = stage.transfer().record
    assert (record.state, record.reason) == (TransferState.WAITING, "NO_ACCOUNT_LEFT")
    stage.feed(e.Wished(NAME, Wish.RUN))
    assert len(stage.sends) == 1


def test_slow_mode_may_want_one_at_a_time(stage: Stage) -> None:
    stage.create()
    stage.refuse("SLOWMODE_MULTI_MSGS_DISABLED")
    assert send_of(stage.sends[0]).message_ids == (1,)
    stage.sent()
    assert send_of(stage.sends[0]).message_ids == (2,)


def test_a_pause_lets_the_batch_settle_and_sends_nothing_more(stage: Stage) -> None:
    stage.create()
    stage.feed(e.Wished(NAME, Wish.PAUSE))
    assert stage.state() is TransferState.PAUSING
    stage.sent()
    assert stage.state() is TransferState.PAUSED
    assert stage.last_row().state is TransferState.PAUSED
    assert not stage.sends
    assert stage.shard().record.checkpoint == 10
    stage.feed(e.Wished(NAME, Wish.RUN))
    assert send_of(stage.sends[0]).message_ids[0] == 11


def test_the_last_wish_wins(stage: Stage) -> None:
    stage.create()
    for wish in (Wish.PAUSE, Wish.PAUSE, Wish.RUN, Wish.PAUSE, Wish.RUN):
        stage.feed(e.Wished(NAME, wish))
    stage.finish()
    assert stage.last_row().state is TransferState.COMPLETED


def test_a_pause_while_the_intent_is_on_its_way_sends_nothing(stage: Stage) -> None:
    stage.hold_commits = True
    stage.create()
    stage.feed(e.Wished(NAME, Wish.PAUSE))
    while stage.commits:
        stage.commit()
    assert not stage.sends
    assert stage.state() is TransferState.PAUSED
    settled = [row for changes in stage.written for row in changes.batches if row.state is BatchState.SETTLED]
    assert settled[0].detail.startswith("not sent")


def test_a_cancellation_is_for_good(stage: Stage) -> None:
    stage.create()
    stage.feed(e.Wished(NAME, Wish.CANCEL))
    stage.feed(e.Wished(NAME, Wish.RUN))
    assert stage.state() is TransferState.CANCELLING
    stage.sent()
    assert stage.last_row().state is TransferState.CANCELLED
    assert NAME not in stage.core.transfers


def test_an_account_that_goes_away_before_the_send_costs_nothing(stage: Stage) -> None:
    stage.hold_commits = True
    stage.create(range(1, 41), "a1", "a2")
    account_id = stage.shard().account_id
    stage.stop(account_id)
    while stage.commits:
        stage.commit()
    assert [order.account_id for order in stage.sends] == [({"a1", "a2"} - {account_id}).pop()]


def test_a_wait_that_is_heard_of_while_the_intent_is_written_is_kept(stage: Stage) -> None:
    stage.hold_commits = True
    stage.create()
    stage.core.desk.pool.wait("a1", "messages.forwardMessages", 0, 50, now=stage.now, wall=stage.wall)
    while stage.commits:
        stage.commit()
    assert not stage.sends


def test_the_target_is_followed_when_it_migrates(stage: Stage) -> None:
    stage.create()
    order = stage.sends.pop(0)
    ids = send_of(order).message_ids
    stage.answer(order, o.Sent(ids, tuple(range(600, 610)), migrated_to_chat_id=-1009))
    assert send_of(stage.sends[0]).target.chat_id == -1009
    assert send_of(stage.sends[0]).random_ids[0] == RandomIds(NAME, TARGET).of(11)


def test_a_group_that_is_gone_is_asked_what_became_of_it(stage: Stage) -> None:
    stage.create(range(1, 41), target_kind="group")
    stage.migrated = -1009
    stage.refuse("PEER_ID_INVALID")
    assert send_of(stage.sends[0]).target.chat_id == -1009
    assert stage.transfer().record.target.kind == "supergroup"


def test_a_group_that_is_simply_gone_cannot_be_posted_in(stage: Stage) -> None:
    stage.create(range(1, 41), target_kind="group")
    stage.refuse("PEER_ID_INVALID")
    assert stage.transfer().record.reason == "NO_ACCOUNT_LEFT"


def test_a_source_that_migrates_ends_it_with_a_reason(stage: Stage) -> None:
    stage.hold_reads = True
    stage.create()
    for order in list(stage.reads):
        if isinstance(order.work, o.ReadSource):
            stage.answer(order, o.SourcePage([], 5, migrated_to_chat_id=-1009))
    assert stage.last_row().state is TransferState.FAILED
    assert stage.last_row().reason == "SOURCE_MIGRATED"
