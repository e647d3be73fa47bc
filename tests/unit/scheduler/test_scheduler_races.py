"""Things that cross on their way: two wishes, two streams, two timers, a word that comes late."""

from __future__ import annotations

from services.scheduler.domain import drains
from services.scheduler.domain import events as e
from services.scheduler.domain.model import (
    CallKind,
    KnownWorker,
    Outcome,
    Reason,
    Report,
    Rules,
    SessionState,
    Token,
)
from tests.unit.scheduler.stage import WALL, Stage, accounts, outcomes, started, stopped

SLOW = Rules(start_rate=1.0, start_burst=1)


def test_of_two_wishes_on_their_way_the_later_one_counts() -> None:
    stage = Stage(accounts("a", wanted_running=True))
    stage.attach("w1")
    stage.hold_wishes = True
    stop = stage.call(CallKind.STOP_ALL, "a")
    start = stage.start_all("a")
    stage.save(stage.wishes[0])
    assert len(stage.wishes) == 2
    stage.save(stage.wishes[1])
    assert stage.entry("a").spec.wanted_running
    stage.stops("w1", "a")
    stage.runs("w1", "a")
    assert outcomes(stop) == {"a": "STOPPED"}
    assert outcomes(start) == {"a": "STARTED"}


def test_a_stop_after_an_unrecorded_start_is_recorded_too() -> None:
    stage = Stage(accounts("a"))
    stage.attach("w1")
    stage.hold_wishes = True
    start = stage.start_all("a")
    stop = stage.call(CallKind.STOP_ALL, "a")
    stage.save(stage.wishes[0])
    stage.save(stage.wishes[1])
    stage.stops("w1", "a")
    assert not stage.entry("a").spec.wanted_running
    assert outcomes(start) == {"a": "SKIPPED"}
    assert outcomes(stop) == {"a": "STOPPED"}


def test_joining_without_naming_accounts_adds_none() -> None:
    stage = Stage(accounts("a", "b"))
    stage.attach("w1")
    first = stage.start_all("a", request_id="r")
    assert stage.start_all(request_id="r") is first
    stage.runs("w1", "a")
    assert outcomes(first) == {"a": "STARTED"}
    assert stage.entry("b").worker_id == ""


def test_an_old_timer_does_not_shorten_a_later_wait() -> None:
    stage = Stage(accounts("a"))
    stage.attach("w1")
    stage.start_all("a")
    stage.refuses("w1", "a", Outcome.WAITING, Reason.SETTLING, retry=stage.wall + 5)
    stage.start_all("a")
    stage.refuses("w1", "a", Outcome.WAITING, Reason.SETTLING, retry=stage.wall + 20)
    stage.commands.clear()
    stage.pass_time(19)
    assert started(stage.commands) == {}


def test_a_queued_account_that_turns_out_to_run_was_not_started_by_this_call() -> None:
    stage = Stage(accounts("a", "b"), rules=SLOW)
    stage.attach("w1")
    call = stage.start_all()
    assert started(stage.commands) == {"w1": ["a"]}
    stage.report("w1", Report("b", SessionState.RUNNING, Token(1, 500), "older"))
    assert outcomes(call) == {"b": "ALREADY_RUNNING"}


def test_queued_accounts_of_a_lost_worker_move_on_without_a_failure() -> None:
    stage = Stage(accounts("a", "b"), rules=Rules(start_rate=0.01, start_burst=1))
    stage.attach("w1")
    call = stage.start_all(within=200)
    stage.attach("w2")
    stage.lose_stream("w1")
    stage.pass_time(60)
    assert outcomes(call) == {"a": "FAILED/WORKER_LOST"}
    assert stage.entry("b").worker_id == "w2"


def test_queued_accounts_leave_a_draining_worker_at_once() -> None:
    stage = Stage(accounts("a", "b"), rules=SLOW)
    stage.attach("w1")
    stage.start_all()
    stage.attach("w2")
    stage.feed(e.DrainStarted("w1", stage.now + 60))
    w1 = stage.core.fleet.workers.get("w1")
    assert w1 is not None
    assert [entry.account_id for entry, _ in drains.remaining(w1)] == ["a"]
    assert stage.entry("b").worker_id == "w2"


def test_a_chat_call_in_doubt_is_decided_when_the_worker_is_given_up() -> None:
    stage = Stage(accounts("a"))
    stage.attach("w1")
    stage.up("w1", "a")
    stage.lose_stream("w1")
    call = stage.call(CallKind.START_CHAT, "a")
    assert outcomes(call) == {}
    stage.pass_time(31)
    assert outcomes(call) == {"a": "NOT_RUNNING"}
    assert not stage.entry("a").spec.wanted_chatting


def test_a_chat_call_in_doubt_is_decided_when_the_worker_returns() -> None:
    stage = Stage(accounts("a"))
    stage.attach("w1")
    stage.up("w1", "a")
    token = stage.entry("a").token
    stage.lose_stream("w1")
    call = stage.call(CallKind.START_CHAT, "a")
    stage.attach("w1", sessions=[stage.running("a", token)])
    stage.runs("w1", "a", token=token, chatting=True)
    assert outcomes(call) == {"a": "CHAT_STARTED"}


def test_a_new_leader_does_not_call_stopped_what_it_has_not_heard_of() -> None:
    known = [KnownWorker("w1", "w1-1", 500, WALL, lost=False)]
    stage = Stage(accounts("a", wanted_running=True), known=known)
    call = stage.call(CallKind.STOP_ALL, "a")
    assert outcomes(call) == {}
    new = stage.attach("w1", sessions=[Report("a", SessionState.RUNNING, Token(1, 1), "old")])
    assert stopped(new) == {"w1": ["a"]}
    stage.stops("w1", "a")
    assert outcomes(call) == {"a": "STOPPED"}


def test_a_stop_lost_with_the_stream_reaches_a_session_that_still_starts() -> None:
    stage = Stage(accounts("a"))
    stage.attach("w1")
    stage.start_all("a")
    command_id = stage.entry("a").command_id
    stage.call(CallKind.STOP_ALL, "a")
    stage.lose_stream("w1")
    again = stage.attach("w1", sessions=[Report("a", SessionState.STARTING, None, command_id)])
    assert stopped(again) == {"w1": ["a"]}


def test_a_lost_worker_that_returns_still_starting_does_not_take_the_account_back() -> None:
    stage = Stage(accounts("a"))
    stage.attach("w1")
    stage.start_all("a")
    command_id = stage.entry("a").command_id
    stage.lose_stream("w1")
    stage.attach("w2")
    stage.pass_time(31)
    assert stage.entry("a").worker_id == "w2"
    stage.attach("w1", sessions=[Report("a", SessionState.STARTING, None, command_id)])
    assert stage.entry("a").worker_id == "w2"
    new = stage.report("w1", Report("a", SessionState.RUNNING, Token(1, 900), command_id))
    assert stage.entry("a").worker_id == "w1"
    assert stopped(new) == {"w2": ["a"]}


def test_running_that_crosses_a_stop_does_not_make_a_second_one() -> None:
    stage = Stage(accounts("a"))
    stage.attach("w1")
    stage.start_all("a")
    call = stage.call(CallKind.STOP_ALL, "a")
    assert stopped(stage.runs("w1", "a")) == {}
    assert outcomes(call) == {}
    stage.stops("w1", "a")
    assert outcomes(call) == {"a": "STOPPED"}


def test_an_end_that_is_told_again_does_not_end_a_later_life() -> None:
    stage = Stage(accounts("a"))
    stage.attach("w1")
    stage.start_all("a")
    old = Report("a", SessionState.STOPPED, None, "gone", state_time=stage.wall)
    stage.pass_time(1)
    stage.runs("w1", "a")
    token = stage.entry("a").token
    stage.lose_stream("w1")
    stage.attach("w1", sessions=[stage.running("a", token)])
    stage.commands.clear()
    stage.report("w1", old)
    assert started(stage.commands) == {}
    assert stage.entry("a").state is SessionState.RUNNING


def test_a_chat_answer_does_not_hide_whose_start_it_was() -> None:
    stage = Stage(accounts("a"))
    stage.attach("w1")
    stage.up("w1", "a")
    command_id = stage.entry("a").command_id
    stage.call(CallKind.START_CHAT, "a")
    stage.runs("w1", "a", token=stage.entry("a").token, chatting=True, command_id="chat")
    assert stage.entry("a").command_id == command_id
