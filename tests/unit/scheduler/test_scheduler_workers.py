"""Workers that come, fall silent, die, return and contradict each other."""

from __future__ import annotations

from services.scheduler.domain import commands as c
from services.scheduler.domain import events as e
from services.scheduler.domain.model import (
    CallKind,
    KnownWorker,
    Outcome,
    Reason,
    Report,
    SessionState,
    Token,
)
from tests.unit.scheduler.stage import WALL, Stage, accounts, only, outcomes, started, stopped


def test_a_killed_workers_accounts_start_elsewhere_after_t() -> None:
    stage = Stage(accounts("a"))
    stage.attach("w1")
    stage.up("w1", "a")
    stage.attach("w2")
    stage.lose_stream("w1")
    assert started(stage.pass_time(29)) == {}
    assert started(stage.pass_time(1)) == {"w2": ["a"]}


def test_a_worker_that_comes_back_in_time_keeps_its_sessions() -> None:
    stage = Stage(accounts("a"))
    stage.attach("w1")
    stage.up("w1", "a")
    stage.attach("w2")
    stage.lose_stream("w1")
    stage.pass_time(20)
    stage.attach("w1", sessions=[stage.running("a", stage.entry("a").token)])
    assert started(stage.pass_time(100)) == {}
    assert stage.entry("a").worker_id == "w1"


def test_a_restarted_process_is_known_to_have_lost_everything() -> None:
    stage = Stage(accounts("a"))
    stage.attach("w1")
    stage.up("w1", "a")
    stage.lose_stream("w1")
    new = stage.attach("w1", incarnation="w1-2")
    assert started(new) == {"w1": ["a"]}
    crashes = only(c.ReportCrashes, new)
    assert [(crash.incarnation, crash.account_ids) for crash in crashes] == [("w1-1", ["a"])]


def test_a_start_that_was_lost_with_the_stream_is_commanded_again() -> None:
    stage = Stage(accounts("a"))
    stage.attach("w1")
    call = stage.start_all("a")
    stage.lose_stream("w1")
    new = stage.attach("w1")
    assert started(new) == {"w1": ["a"]}
    stage.runs("w1", "a")
    assert outcomes(call) == {"a": "STARTED"}


def test_a_start_that_succeeded_while_the_stream_was_down_is_started() -> None:
    stage = Stage(accounts("a"))
    stage.attach("w1")
    call = stage.start_all("a")
    stage.lose_stream("w1")
    stage.attach("w1", sessions=[stage.running("a")])
    assert outcomes(call) == {"a": "STARTED"}


def test_a_stop_that_was_lost_with_the_stream_is_commanded_again() -> None:
    stage = Stage(accounts("a"))
    stage.attach("w1")
    stage.up("w1", "a")
    token = stage.entry("a").token
    stage.lose_stream("w1")
    call = stage.call(CallKind.STOP_ALL, "a")
    assert outcomes(call) == {}
    assert stopped(stage.attach("w1", sessions=[stage.running("a", token)])) == {"w1": ["a"]}
    stage.stops("w1", "a")
    assert outcomes(call) == {"a": "STOPPED"}


def test_a_worker_lost_during_the_start_is_a_failure_that_goes_on_by_itself() -> None:
    stage = Stage(accounts("a"))
    stage.attach("w1")
    call = stage.start_all("a", within=100)
    stage.lose_stream("w1")
    stage.attach("w2")
    new = stage.pass_time(31)
    assert outcomes(call) == {"a": "FAILED/WORKER_LOST"}
    assert started(new) == {"w2": ["a"]}


def test_wait_for_goes_on_across_the_loss_of_the_worker() -> None:
    stage = Stage(accounts("a"))
    stage.attach("w1")
    call = stage.start_all("a", wait_for=90, within=200)
    stage.lose_stream("w1")
    stage.attach("w2")
    assert started(stage.pass_time(31)) == {"w2": ["a"]}
    assert outcomes(call) == {}
    stage.refuses("w2", "a", Outcome.WAITING, Reason.SETTLING, retry=stage.wall + 30)
    assert started(stage.pass_time(31)) == {"w2": ["a"]}
    stage.runs("w2", "a")
    assert outcomes(call) == {"a": "STARTED"}


def test_wait_for_that_ends_before_another_worker_came_says_what_was_lost() -> None:
    stage = Stage(accounts("a"))
    stage.attach("w1")
    call = stage.start_all("a", wait_for=40, within=200)
    stage.lose_stream("w1")
    stage.pass_time(39)
    assert outcomes(call) == {}
    stage.pass_time(2)
    assert outcomes(call) == {"a": "WAITING/NO_WORKER_CAPACITY"}


def test_a_restart_of_the_worker_within_wait_for_is_no_failure() -> None:
    stage = Stage(accounts("a"))
    stage.attach("w1")
    call = stage.start_all("a", wait_for=20)
    stage.lose_stream("w1")
    assert started(stage.attach("w1", incarnation="w1-2")) == {"w1": ["a"]}
    stage.runs("w1", "a")
    assert outcomes(call) == {"a": "STARTED"}


def test_accounts_that_ran_for_long_are_no_suspects_of_a_crash() -> None:
    stage = Stage(accounts("old", "young"))
    stage.attach("w1")
    stage.up("w1", "old")
    stage.pass_time(700)
    stage.up("w1", "young")
    stage.lose_stream("w1")
    crashes = only(c.ReportCrashes, stage.pass_time(61))
    assert [crash.account_ids for crash in crashes] == [["young"]]


def test_a_process_that_was_only_out_of_reach_did_not_crash() -> None:
    stage = Stage(accounts("a"))
    stage.attach("w1")
    stage.up("w1", "a")
    token = stage.entry("a").token
    stage.lose_stream("w1")
    stage.pass_time(40)
    stage.attach("w1", sessions=[stage.running("a", token)])
    assert stage.entry("a").worker_id == "w1"
    stage.pass_time(100)
    assert only(c.ReportCrashes, stage.commands) == []


def test_a_silent_worker_is_cut_off_after_three_periods() -> None:
    stage = Stage(accounts("a"))
    stage.attach("w1")
    del stage.beating["w1"]
    assert only(c.CloseStream, stage.pass_time(29)) == []
    assert [close.worker_id for close in only(c.CloseStream, stage.pass_time(2))] == ["w1"]
    assert outcomes(stage.start_all("a")) == {"a": "WAITING/NO_WORKER_CAPACITY"}


def test_a_live_workers_name_is_taken() -> None:
    stage = Stage(accounts("a"))
    stage.attach("w1")
    stage.up("w1", "a")
    refused = only(c.CloseStream, stage.attach("w1", incarnation="other"))
    assert [close.name_taken for close in refused] == [True]
    assert outcomes(stage.start_all("a")) == {"a": "ALREADY_RUNNING"}


def test_the_same_process_may_replace_its_own_stream() -> None:
    stage = Stage(accounts("a"))
    stage.attach("w1")
    old = stage.beating["w1"]
    closed = only(c.CloseStream, stage.attach("w1"))
    assert [(close.attachment, close.name_taken) for close in closed] == [(old, False)]
    assert stage.feed(e.StreamLost("w1", old)) == []
    assert started(stage.feed(e.Tick())) == {}


def test_words_under_an_older_token_change_nothing() -> None:
    stage = Stage(accounts("a"))
    stage.attach("w1")
    stage.up("w1", "a")
    old = stage.entry("a").token
    assert old is not None
    stage.report("w1", stage.running("a", Token(old.generation, old.revision + 5)))
    stage.report("w1", Report("a", SessionState.STOPPED, old, "x", Outcome.FAILED, Reason.SESSION_REVOKED))
    assert stage.entry("a").state is SessionState.RUNNING
    assert outcomes(stage.start_all("a")) == {"a": "ALREADY_RUNNING"}


def test_of_two_workers_with_one_session_the_older_grant_is_stopped() -> None:
    stage = Stage(accounts("a"))
    stage.attach("w1")
    stage.up("w1", "a")
    token = stage.entry("a").token
    assert token is not None
    newer = Token(token.generation, token.revision + 1)
    new = stage.attach("w2", sessions=[stage.running("a", newer, command_id="x")])
    assert stopped(new) == {"w1": ["a"]}
    assert stage.entry("a").worker_id == "w2"
    told = [event.detail for event in only(c.PublishSession, new) if event.reason is Reason.SESSION_CONFLICT]
    assert len(told) == 1
    assert "w1" in told[0]
    assert "w2" in told[0]
    late = stage.attach("w3", sessions=[stage.running("a", token, command_id="x")])
    assert stopped(late) == {"w3": ["a"]}


def test_what_nobody_knows_or_wants_is_stopped() -> None:
    stage = Stage(accounts("unwanted"))
    sessions = [
        Report("unknown", SessionState.RUNNING, Token(1, 1)),
        Report("unwanted", SessionState.RUNNING, Token(1, 2)),
    ]
    assert stopped(stage.attach("w1", sessions=sessions)) == {"w1": ["unknown", "unwanted"]}


def test_what_is_wanted_but_nowhere_starts_by_itself() -> None:
    stage = Stage(accounts("a", wanted_running=True))
    assert started(stage.attach("w1")) == {"w1": ["a"]}


def test_chat_that_is_wanted_but_off_is_switched_on() -> None:
    stage = Stage(accounts("a", wanted_running=True, wanted_chatting=True))
    new = stage.attach("w1", sessions=[Report("a", SessionState.RUNNING, Token(1, 1), chatting=False)])
    assert [(s.account_ids, s.chat) for s in only(c.SetChat, new)] == [(["a"], True)]


def test_a_worker_that_shuts_down_gets_nothing_back() -> None:
    stage = Stage(accounts("a"))
    stage.attach("w1")
    stage.up("w1", "a")
    stage.attach("w2")
    token = stage.entry("a").token
    stage.report("w1", Report("a", SessionState.STOPPING, token))
    new = stage.report("w1", Report("a", SessionState.STOPPED, token, released=True))
    assert started(new) == {"w2": ["a"]}


def test_workers_learn_whom_nobody_answers_and_changed_settings() -> None:
    one, two = accounts("a", "b")
    one.user_id, two.user_id = 7, 5
    stage = Stage([one, two])
    assert only(c.FleetUsers, stage.attach("w1"))[0].user_ids == [5, 7]
    stage.change("b", user_id=6)
    assert [users.user_ids for users in only(c.FleetUsers, stage.pass_time(1))] == [[6, 7]]
    stage.up("w1", "a")
    config = stage.entry("a").spec.config._replace(chat_ids=(-100,))
    sent = only(c.ConfigureSessions, stage.change("a", config=config))
    assert [s.sessions for s in sent] == [[("a", config)]]


def known(worker_id: str, *, lost: bool = False) -> KnownWorker:
    return KnownWorker(worker_id, f"{worker_id}-1", 500, WALL, lost)


def test_a_new_leader_waits_for_known_workers_and_adopts_what_they_run() -> None:
    stage = Stage(accounts("a", "b", wanted_running=True), known=[known("w1"), known("w2")])
    call = stage.start_all()
    assert started(stage.attach("w1")) == {}
    sessions = [Report("a", SessionState.RUNNING, Token(1, 1), "0.1:somebody")]
    new = stage.attach("w2", sessions=sessions)
    assert started(new) == {"w1": ["b"]}
    stage.runs("w1", "b")
    assert outcomes(call) == {"a": "ALREADY_RUNNING", "b": "STARTED"}


def test_a_new_leader_places_after_t_at_the_latest() -> None:
    stage = Stage(accounts("a", wanted_running=True), known=[known("gone")])
    stage.attach("w1")
    assert started(stage.pass_time(29)) == {}
    assert started(stage.pass_time(2)) == {"w1": ["a"]}


def test_a_new_leader_does_not_wait_for_workers_that_were_given_up() -> None:
    stage = Stage(accounts("a", wanted_running=True), known=[known("gone", lost=True)])
    assert started(stage.attach("w1")) == {"w1": ["a"]}


def test_a_new_leader_knows_what_the_call_itself_started_under_the_old_one() -> None:
    stage = Stage(accounts("a", "b", wanted_running=True), known=[known("w1")])
    call = stage.start_all(request_id="r")
    sessions = [
        Report("a", SessionState.RUNNING, Token(1, 1), "1.7:r"),
        Report("b", SessionState.RUNNING, Token(1, 2), "1.3:older"),
    ]
    stage.attach("w1", sessions=sessions)
    assert outcomes(call) == {"a": "STARTED", "b": "ALREADY_RUNNING"}


def test_a_new_leader_says_nothing_of_stops_and_chats_before_it_knows() -> None:
    stage = Stage(accounts("a"), known=[known("w1")])
    stop = stage.call(CallKind.STOP_ALL)
    chat = stage.call(CallKind.START_CHAT)
    assert outcomes(stop) == outcomes(chat) == {}
    stage.attach("w1")
    assert outcomes(stop) == {"a": "ALREADY_STOPPED"}
    assert outcomes(chat) == {"a": "NOT_RUNNING"}
