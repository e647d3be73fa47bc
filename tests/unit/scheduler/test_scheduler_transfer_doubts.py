"""Batches of unknown outcome: every way of settling one, and what must not be done meanwhile."""

from dataclasses import replace

import pytest

from services.scheduler.domain.transfers import commands as c
from services.scheduler.domain.transfers import events as e
from services.scheduler.domain.transfers import orders as o
from services.scheduler.domain.transfers.records import (
    BatchRecord,
    BatchState,
    TransferPicture,
    TransferState,
    Wish,
)
from tests.unit.scheduler.transfer_stage import EMPTY, NAME, RULES, SOURCE, Stage, send_of


@pytest.fixture
def stage() -> Stage:
    stage = Stage()
    stage.run("a1", "a2", user_id=77)
    stage.create(range(1, 41), "a1", "a2")
    return stage


def traces(ids: tuple[int, ...], above: int = 500, sender: int = 77) -> list[o.MessageTrace]:
    return [
        o.MessageTrace(above + n, sender_id=sender, forward_chat_id=SOURCE, forward_message_id=one)
        for n, one in enumerate(ids, 1)
    ]


def look(stage: Stage, found: tuple[int, ...] = (), *, complete: bool = True, worker: str = "w1") -> None:
    order = stage.looks.pop(0)
    assert isinstance(order.work, o.LookInTarget)
    source = [o.MessageTrace(one) for one in order.work.message_ids]
    stage.answer(order, o.Looked(traces(found), source, complete), worker)


def settled(stage: Stage) -> list[BatchRecord]:
    rows = [row for changes in stage.written for row in changes.batches]
    return [row for row in rows if row.state is BatchState.SETTLED]


def test_a_repeat_has_the_same_ids_and_account_and_settles_it(stage: Stage) -> None:
    first = stage.unknown()
    stage.pass_time(1)
    repeat = stage.sends[0]
    assert (repeat.account_id, send_of(repeat)) == (first.account_id, send_of(first))
    assert repeat.order_id != first.order_id
    stage.sent()
    assert send_of(stage.sends[0]).message_ids[0] == 11


def test_the_repeats_number_is_on_disk_first(stage: Stage) -> None:
    stage.hold_commits = True
    stage.unknown()
    while stage.commits:
        stage.commit()
    stage.pass_time(1)
    assert not stage.sends
    assert stage.commits[-1].changes.batches[0].attempt == 2
    stage.commit()
    assert len(stage.sends) == 1


def test_nothing_else_is_sent_while_it_is_unknown(stage: Stage) -> None:
    order = stage.unknown()
    stage.stop(order.account_id)
    stage.pass_time(600)
    assert not stage.sends


def test_a_known_random_id_means_delivered(stage: Stage) -> None:
    order = stage.unknown()
    stage.pass_time(1)
    stage.refuse("RANDOM_ID_DUPLICATE", 500)
    look(stage, send_of(order).message_ids)
    assert settled(stage)[-1].target_ids == tuple(range(501, 511))
    assert send_of(stage.sends[0]).message_ids[0] == 11


def test_a_flood_wait_on_a_repeat_proves_nothing(stage: Stage) -> None:
    order = stage.unknown()
    stage.pass_time(1)
    stage.flood(100)
    assert not stage.sends
    stage.pass_time(1)
    look(stage)
    assert not stage.sends
    stage.pass_time(101)
    assert send_of(stage.sends[0]) == send_of(order)
    assert stage.sends[0].account_id == order.account_id


def test_within_a_wait_it_is_found_by_reading(stage: Stage) -> None:
    order = stage.unknown()
    stage.pass_time(1)
    stage.flood(1000)
    stage.pass_time(1)
    look(stage, send_of(order).message_ids)
    assert settled(stage)[-1].target_ids == tuple(range(501, 511))
    assert stage.sends[0].account_id != order.account_id


def test_after_the_window_it_is_looked_for_before_it_is_repeated(stage: Stage) -> None:
    order = stage.unknown()
    stage.stop(order.account_id)
    stage.pass_time(RULES.repeat_window + 1)
    assert stage.state() is TransferState.UNDECIDED
    stage.run(order.account_id, user_id=77)
    assert not stage.sends
    look(stage)
    assert send_of(stage.sends[0]) == send_of(order)


def test_a_short_absence_of_its_account_makes_it_not_undecided(stage: Stage) -> None:
    order = stage.unknown()
    stage.pass_time(1)
    stage.flood(1000)
    stage.pass_time(1)
    look(stage)
    stage.pass_time(300)
    stage.stop(order.account_id)
    stage.pass_time(RULES.takeover_delay - 1)
    assert stage.state() is TransferState.WAITING
    stage.pass_time(2)
    assert stage.state() is TransferState.UNDECIDED


def test_half_of_it_found_is_no_proof(stage: Stage) -> None:
    order = stage.unknown()
    stage.stop(order.account_id)
    stage.pass_time(RULES.repeat_window + 1)
    stage.run(order.account_id, user_id=77)
    look(stage, send_of(order).message_ids[:5])
    assert not stage.sends
    assert stage.state() is TransferState.UNDECIDED
    assert stage.shard().batch is not None
    assert stage.shard().batch.state is BatchState.UNDECIDED


def test_another_transfer_of_the_same_messages_makes_traces_ambiguous(stage: Stage) -> None:
    stage.create(range(1, 41), "a3", name="tr_2")
    order = stage.unknown()
    stage.pass_time(1)
    stage.flood(1000)
    stage.pass_time(1)
    look(stage, send_of(order).message_ids)
    assert stage.state() is TransferState.UNDECIDED


@pytest.mark.parametrize("sent", [True, False])
def test_a_person_decides(stage: Stage, sent: bool) -> None:
    test_half_of_it_found_is_no_proof(stage)
    stage.feed(e.SettledByPerson(NAME, 1, 1, sent=sent))
    assert send_of(stage.sends[0]).message_ids[0] == (11 if sent else 1)
    assert stage.state() is TransferState.RUNNING


def test_a_word_on_another_batch_is_ignored(stage: Stage) -> None:
    test_half_of_it_found_is_no_proof(stage)
    stage.feed(e.SettledByPerson(NAME, 1, 2, sent=True))
    assert not stage.sends


def test_another_account_takes_over_only_when_the_first_is_gone(stage: Stage) -> None:
    order = stage.unknown()
    stage.stop(order.account_id)
    stage.pass_time(300)
    assert not stage.looks
    stage.view(order.account_id, enabled=False)
    stage.pass_time(1)
    assert [one.account_id for one in stage.looks] != [order.account_id]
    look(stage)
    stage.pass_time(RULES.relook_delay - 1)
    assert not stage.looks
    stage.pass_time(2)
    look(stage)
    assert send_of(stage.sends[0]) == send_of(order)
    assert stage.sends[0].account_id != order.account_id
    assert settled(stage)[-1].detail.startswith("not sent")


def test_the_take_over_waits_after_the_abort(stage: Stage) -> None:
    order = stage.unknown()
    stage.stop(order.account_id, enabled=False)
    stage.pass_time(RULES.takeover_delay - 1)
    assert not stage.looks
    stage.pass_time(2)
    assert len(stage.looks) == 1


def test_an_operator_who_resumes_lets_another_account_look(stage: Stage) -> None:
    order = stage.unknown()
    stage.stop(order.account_id)
    stage.pass_time(100)
    stage.feed(e.Wished(NAME, Wish.RUN))
    stage.pass_time(1)
    assert len(stage.looks) == 1
    assert stage.looks[0].account_id != order.account_id


def test_in_a_private_chat_only_its_account_settles() -> None:
    stage = Stage()
    stage.run("a1", "a2")
    stage.create(range(1, 41), "a1", "a2", kind="group")
    order = stage.unknown()
    stage.stop(order.account_id, enabled=False)
    stage.pass_time(1000)
    assert not stage.looks
    assert stage.state() is TransferState.UNDECIDED


def test_a_lost_worker_makes_it_unknown_and_the_account_repeats_elsewhere(stage: Stage) -> None:
    order = stage.sends.pop(0)
    stage.feed(e.Detached("w1", lost=False))
    stage.stop("a1")
    stage.stop("a2")
    stage.pass_time(30)
    assert not stage.sends
    stage.feed(e.Detached("w1", lost=True))
    stage.run(order.account_id, worker_id="w2")
    stage.pass_time(1)
    assert send_of(stage.sends[0]) == send_of(order)


def test_the_same_process_gets_its_orders_again(stage: Stage) -> None:
    order = stage.sends.pop(0)
    stage.feed(e.Detached("w1", lost=False))
    stage.attach("w1")
    assert stage.sends == [order]
    stage.sent()
    assert len(settled(stage)) == 1


def test_another_process_under_its_name_knows_nothing_of_them(stage: Stage) -> None:
    order = stage.sends.pop(0)
    stage.attach("w1", "w1-2")
    stage.run("a1", "a2")
    stage.pass_time(1)
    assert stage.sends[0].order_id != order.order_id
    assert send_of(stage.sends[0]) == send_of(order)


def test_a_late_answer_to_an_earlier_attempt_is_evidence(stage: Stage) -> None:
    order = stage.unknown()
    stage.pass_time(1)
    stage.sent(order)
    assert not settled(stage)
    stage.answer(stage.sends.pop(0), o.OrderUnknown("LINK_CLOSED"))
    assert settled(stage)[-1].target_ids
    assert send_of(stage.sends[0]).message_ids[0] == 11


def test_ids_that_the_answer_does_not_name_are_looked_for(stage: Stage) -> None:
    order = stage.sends.pop(0)
    ids = send_of(order).message_ids
    stage.answer(order, o.Sent(ids, (0, *range(502, 511))))
    assert not stage.sends
    look(stage, ids)
    assert settled(stage)[-1].target_ids == tuple(range(501, 511))


def test_what_was_deleted_meanwhile_is_counted_so(stage: Stage) -> None:
    order = stage.sends.pop(0)
    ids = send_of(order).message_ids
    stage.answer(order, o.Sent(ids, (0, *range(501, 510))))
    sought = stage.looks.pop(0)
    stage.answer(sought, o.Looked(traces(ids[1:]), [], complete=True))
    assert settled(stage)[-1].refused == {1: "DELETED"}
    assert stage.shard().record.done == 9


def test_an_order_that_was_not_begun_is_planned_anew(stage: Stage) -> None:
    order = stage.sends.pop(0)
    stage.answer(order, o.OrderNotDone("LINK_DOWN"))
    stage.pass_time(1)
    assert send_of(stage.sends[0]).message_ids == send_of(order).message_ids
    assert stage.sends[0].order_id == f"{NAME}/1/2/1"


def test_a_worker_that_knows_of_a_wait_is_believed(stage: Stage) -> None:
    order = stage.sends.pop(0)
    stage.answer(order, o.OrderNotDone("FLOOD_WAIT", stage.wall + 50))
    assert [one.account_id for one in stage.sends] == [({"a1", "a2"} - {order.account_id}).pop()]
    stage.answer(stage.sends.pop(0), o.OrderNotDone("FLOOD_WAIT", stage.wall - 3600))
    assert not stage.sends
    stage.pass_time(1.1)
    assert len(stage.sends) == 1


def test_a_pause_ends_although_a_batch_stays_undecided(stage: Stage) -> None:
    order = stage.unknown()
    stage.stop(order.account_id)
    stage.feed(e.Wished(NAME, Wish.PAUSE))
    stage.pass_time(200)
    assert stage.state() is TransferState.PAUSED
    assert stage.shard().batch is not None
    stage.run(order.account_id)
    stage.pass_time(1)
    assert not stage.sends
    stage.feed(e.Wished(NAME, Wish.RUN))
    assert send_of(stage.sends[0]) == send_of(order)


def picture_of(stage: Stage) -> TransferPicture:
    transfers, shards, batches = {}, {}, {}
    for changes in stage.written:
        transfers |= {row.transfer_id: row for row in changes.transfers}
        shards |= {(row.transfer_id, row.shard): row for row in changes.shards}
        batches |= {row.batch: row for row in changes.batches}
    open_batches = [row for row in batches.values() if row.state is not BatchState.SETTLED]
    transfers.setdefault(NAME, stage.transfer().record)
    return replace(
        EMPTY,
        transfers=list(transfers.values()),
        shards=[replace(row) for row in shards.values()],
        batches=[replace(row) for row in open_batches],
    )


def successor(stage: Stage) -> Stage:
    later = Stage(picture=picture_of(stage), term=2)
    later.messages = stage.messages
    later.top = stage.top
    return later


def test_a_new_leader_awaits_the_hello_and_takes_the_answer(stage: Stage) -> None:
    order = stage.sends.pop(0)
    later = successor(stage)
    later.pass_time(5)
    assert not later.sends
    later.attach("w1", order_ids=[order.order_id])
    later.run("a1", "a2")
    later.pass_time(20)
    assert not later.sends
    later.sent(order)
    assert send_of(later.sends[0]).message_ids[0] == 11


def test_a_new_leader_takes_an_answer_that_was_kept(stage: Stage) -> None:
    order = stage.sends.pop(0)
    later = successor(stage)
    later.run("a1", "a2")
    later.answer(order, o.OrderRefused(420, "FLOOD_WAIT_X", 100, "messages.forwardMessages"))
    assert send_of(later.sends[0]).message_ids == send_of(order).message_ids
    assert later.sends[0].account_id != order.account_id


def test_a_new_leader_without_an_answer_repeats(stage: Stage) -> None:
    order = stage.sends.pop(0)
    later = successor(stage)
    later.run("a1", "a2", user_id=77)
    assert not later.sends
    later.pass_time(3)
    assert send_of(later.sends[0]) == send_of(order)
    assert later.sends[0].account_id == order.account_id
    later.finish()
    assert later.last_row().state is TransferState.COMPLETED


def test_after_long_a_new_leader_looks_first(stage: Stage) -> None:
    stage.sends.pop(0)
    later = successor(stage)
    later.shift = 3600.0
    later = Stage(picture=_older(picture_of(stage), 3600.0), term=2)
    later.run("a1", "a2", user_id=77)
    later.pass_time(3)
    assert not later.sends
    assert len(later.looks) == 1


def _older(picture: TransferPicture, seconds: float) -> TransferPicture:
    batches = [replace(row, first_sent=row.first_sent - seconds) for row in picture.batches]
    return replace(picture, batches=batches)


def test_an_overdue_order_is_asked_for_again_and_never_guessed(stage: Stage) -> None:
    order = stage.sends.pop(0)
    stage.pass_time(RULES.send_limit + RULES.answer_grace + 1)
    assert stage.sends == [order]
    assert [one.order_ids for one in stage.of(c.CancelOrders)] == [(order.order_id,)]
