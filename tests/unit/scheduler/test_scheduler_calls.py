"""The four fleet calls: one truthful result for each account and call."""

from __future__ import annotations

import pytest

from services.scheduler.domain import commands as c
from services.scheduler.domain import events as e
from services.scheduler.domain.model import CallKind, Outcome, Reason, Report, SessionState
from tests.unit.scheduler.stage import Stage, accounts, only, outcomes, started, stopped


def test_started_only_when_the_worker_says_running_with_a_token() -> None:
    stage = Stage(accounts("a"))
    stage.attach("w1")
    call = stage.start_all("a")
    stage.report("w1", Report("a", SessionState.STARTING, command_id=stage.entry("a").command_id))
    stage.report("w1", Report("a", SessionState.RUNNING, command_id=stage.entry("a").command_id))
    assert outcomes(call) == {}
    stage.runs("w1", "a")
    assert outcomes(call) == {"a": "STARTED"}
    assert call.results[0].verdict.worker_id == "w1"
    assert call.finished is not None


def test_nothing_is_commanded_before_the_wish_is_recorded() -> None:
    stage = Stage(accounts("a"))
    stage.attach("w1")
    stage.hold_wishes = True
    stage.start_all("a")
    assert started(stage.commands) == {}
    assert started(stage.save(stage.wishes[0])) == {"w1": ["a"]}


def test_an_account_that_was_disabled_meanwhile_is_skipped() -> None:
    stage = Stage(accounts("a", "b"))
    stage.attach("w1")
    stage.hold_wishes = True
    call = stage.start_all("a", "b")
    stage.change("a", enabled=False)
    stage.save(stage.wishes[0], accepted=["b"])
    stage.runs("w1", "b")
    assert outcomes(call) == {"a": "SKIPPED/DISABLED", "b": "STARTED"}


def test_a_refused_wish_is_a_failure_and_nothing_starts() -> None:
    stage = Stage(accounts("a"))
    stage.attach("w1")
    stage.hold_wishes = True
    call = stage.start_all("a")
    stage.feed(e.WantedFailed(stage.wishes[0].batch, "no such column"))
    assert outcomes(call) == {"a": "FAILED/INTERNAL"}
    assert started(stage.commands) == {}


def test_already_running_needs_a_live_stream() -> None:
    stage = Stage(accounts("a"))
    stage.attach("w1")
    stage.up("w1", "a")
    assert outcomes(stage.start_all("a")) == {"a": "ALREADY_RUNNING"}
    stage.lose_stream("w1")
    unsure = stage.start_all("a")
    assert outcomes(unsure) == {}
    stage.attach("w1", sessions=[stage.running("a", stage.entry("a").token)])
    assert outcomes(unsure) == {"a": "ALREADY_RUNNING"}


def test_a_link_that_comes_back_during_the_call_is_started() -> None:
    stage = Stage(accounts("a"))
    stage.attach("w1")
    stage.up("w1", "a")
    token = stage.entry("a").token
    stage.report("w1", Report("a", SessionState.RECONNECTING, token))
    call = stage.start_all("a")
    assert outcomes(call) == {}
    stage.runs("w1", "a", token=token)
    assert outcomes(call) == {"a": "STARTED"}


def test_two_calls_at_once_each_get_every_account_once() -> None:
    stage = Stage(accounts("a", "b"))
    stage.attach("w1")
    one, two = stage.start_all(), stage.start_all()
    assert started(stage.commands) == {"w1": ["a", "b"]}
    stage.runs("w1", "b")
    stage.runs("w1", "a")
    assert outcomes(one) == outcomes(two) == {"a": "STARTED", "b": "STARTED"}


def test_the_same_request_id_joins_and_is_remembered_for_a_minute() -> None:
    stage = Stage(accounts("a", "b"))
    stage.attach("w1")
    first = stage.start_all(request_id="r")
    assert stage.start_all(request_id="r") is first
    stage.runs("w1", "a", "b")
    stage.pass_time(59)
    late = stage.start_all(request_id="r")
    assert late is first
    assert outcomes(late) == {"a": "STARTED", "b": "STARTED"}
    stage.pass_time(61)
    assert outcomes(stage.start_all(request_id="r")) == {"a": "ALREADY_RUNNING", "b": "ALREADY_RUNNING"}


def test_a_joining_call_with_further_ids_adds_them() -> None:
    stage = Stage(accounts("a", "b"))
    stage.attach("w1")
    first = stage.start_all("a", request_id="r")
    assert stage.start_all("b", request_id="r") is first
    stage.runs("w1", "a", "b")
    assert outcomes(first) == {"a": "STARTED", "b": "STARTED"}


def test_the_same_request_id_of_another_kind_is_another_call() -> None:
    stage = Stage(accounts("a"))
    stage.attach("w1")
    stage.start_all("a", request_id="r")
    assert outcomes(stage.call(CallKind.START_CHAT, "a", request_id="r")) == {"a": "NOT_RUNNING"}


def test_at_the_deadline_the_rest_is_still_starting_and_goes_on() -> None:
    stage = Stage(accounts("a"))
    stage.attach("w1")
    call = stage.start_all("a", within=5)
    stage.pass_time(6)
    assert outcomes(call) == {"a": "WAITING/STILL_STARTING"}
    stage.runs("w1", "a")
    assert outcomes(call) == {"a": "WAITING/STILL_STARTING"}
    assert outcomes(stage.start_all("a")) == {"a": "ALREADY_RUNNING"}


def test_waiting_ends_the_call_unless_wait_for_was_given() -> None:
    stage = Stage(accounts("a"))
    impatient, patient = stage.start_all("a"), stage.start_all("a", wait_for=30)
    assert outcomes(impatient) == {"a": "WAITING/NO_WORKER_CAPACITY"}
    assert outcomes(patient) == {}
    stage.attach("w1")
    stage.runs("w1", "a")
    assert outcomes(patient) == {"a": "STARTED"}


def test_wait_for_ends_with_what_is_known() -> None:
    stage = Stage(accounts("a"))
    call = stage.start_all("a", wait_for=10, within=100)
    stage.pass_time(9)
    assert outcomes(call) == {}
    stage.pass_time(2)
    assert outcomes(call) == {"a": "WAITING/NO_WORKER_CAPACITY"}


def test_a_start_under_way_when_wait_for_ends_gives_its_own_result() -> None:
    stage = Stage(accounts("a"))
    call = stage.start_all("a", wait_for=10, within=100)
    stage.pass_time(9)
    stage.attach("w1")
    stage.pass_time(2)
    assert outcomes(call) == {}, "what it waited for has come"
    stage.refuses("w1", "a", Outcome.WAITING, Reason.LEASE_HELD)
    assert outcomes(call) == {"a": "WAITING/LEASE_HELD"}


def test_wait_for_does_not_hide_a_failure_that_a_person_may_have_to_act_on() -> None:
    stage = Stage(accounts("a"))
    stage.attach("w1")
    call = stage.start_all("a", wait_for=30)
    stage.refuses("w1", "a", Outcome.FAILED, Reason.PROXY_ERROR)
    assert outcomes(call) == {"a": "FAILED/PROXY_ERROR"}


def test_a_fleet_with_nothing_running_chats_with_nobody() -> None:
    stage = Stage(accounts("a", "b"))
    stage.attach("w1")
    before = len(stage.commands)
    for kind in (CallKind.START_CHAT, CallKind.STOP_CHAT):
        call = stage.call(kind)
        assert outcomes(call) == {"a": "NOT_RUNNING", "b": "NOT_RUNNING"}
    assert only(c.SetWanted, stage.commands[before:]) == []


def test_chat_is_switched_on_and_off() -> None:
    stage = Stage(accounts("a"))
    stage.attach("w1")
    stage.up("w1", "a")
    token = stage.entry("a").token
    call = stage.call(CallKind.START_CHAT, "a")
    assert outcomes(call) == {}
    assert [(s.account_ids, s.chat) for s in only(c.SetChat, stage.commands)] == [(["a"], True)]
    stage.runs("w1", "a", token=token, chatting=True)
    assert outcomes(call) == {"a": "CHAT_STARTED"}
    assert outcomes(stage.call(CallKind.START_CHAT, "a")) == {"a": "ALREADY_CHATTING"}
    off = stage.call(CallKind.STOP_CHAT, "a")
    stage.runs("w1", "a", token=token, chatting=False)
    assert outcomes(off) == {"a": "CHAT_STOPPED"}
    assert outcomes(stage.call(CallKind.STOP_CHAT, "a")) == {"a": "NOT_CHATTING"}


def test_the_wish_to_chat_outlives_a_stop() -> None:
    stage = Stage(accounts("a"))
    stage.attach("w1")
    stage.up("w1", "a")
    stage.call(CallKind.START_CHAT, "a")
    stage.runs("w1", "a", token=stage.entry("a").token, chatting=True)
    stage.call(CallKind.STOP_ALL, "a")
    stage.stops("w1", "a")
    stage.start_all("a")
    start = only(c.StartSessions, stage.commands)[-1]
    assert start.sessions[0].chat


def test_a_switch_that_is_not_confirmed_is_sent_again() -> None:
    stage = Stage(accounts("a"))
    stage.attach("w1")
    stage.up("w1", "a")
    stage.call(CallKind.START_CHAT, "a")
    again = only(c.SetChat, stage.pass_time(6))
    assert [s.account_ids for s in again] == [["a"]]


def test_stop_all_stops_and_says_what_ran() -> None:
    stage = Stage(accounts("a", "b"))
    stage.attach("w1")
    stage.up("w1", "a")
    call = stage.call(CallKind.STOP_ALL)
    assert outcomes(call) == {"b": "ALREADY_STOPPED"}
    assert stopped(stage.commands) == {"w1": ["a"]}
    stage.stops("w1", "a")
    assert outcomes(call) == {"a": "STOPPED", "b": "ALREADY_STOPPED"}
    assert stage.entry("a").worker_id == ""


def test_a_stop_ends_a_start_that_is_under_way() -> None:
    stage = Stage(accounts("a"))
    stage.attach("w1")
    start = stage.start_all("a")
    stop = stage.call(CallKind.STOP_ALL, "a")
    assert outcomes(start) == {"a": "SKIPPED"}
    stage.stops("w1", "a")
    assert outcomes(stop) == {"a": "STOPPED"}
    assert started(stage.pass_time(600)) == {}


def test_a_stop_takes_back_a_planned_retry() -> None:
    stage = Stage(accounts("a"))
    stage.attach("w1")
    stage.start_all("a")
    stage.refuses("w1", "a", Outcome.FAILED, Reason.CONNECT_TIMEOUT)
    assert outcomes(stage.call(CallKind.STOP_ALL, "a")) == {"a": "ALREADY_STOPPED"}
    assert started(stage.pass_time(600)) == {}


def test_a_start_during_a_stop_starts_again() -> None:
    stage = Stage(accounts("a"))
    stage.attach("w1")
    stage.up("w1", "a")
    stop = stage.call(CallKind.STOP_ALL, "a")
    start = stage.start_all("a")
    new = stage.stops("w1", "a")
    assert outcomes(stop) == {"a": "STOPPED"}
    assert started(new) == {"w1": ["a"]}
    stage.runs("w1", "a")
    assert outcomes(start) == {"a": "STARTED"}


def test_disabling_and_deleting_stop_a_session_and_end_its_calls() -> None:
    stage = Stage(accounts("a", "b"))
    stage.attach("w1")
    call = stage.start_all()
    assert stopped(stage.change("a", enabled=False)) == {"w1": ["a"]}
    assert stopped(stage.feed(e.AccountsChanged(deleted=["b"], revision=99))) == {"w1": ["b"]}
    assert outcomes(call) == {"a": "SKIPPED/DISABLED", "b": "SKIPPED/DISABLED"}


def test_an_account_deleted_before_the_call_gets_its_result_too() -> None:
    stage = Stage(accounts("a"))
    stage.attach("w1")
    assert outcomes(stage.start_all("gone")) == {"gone": "SKIPPED/DISABLED"}
    assert outcomes(stage.call(CallKind.STOP_ALL, "gone")) == {"gone": "ALREADY_STOPPED"}
    assert outcomes(stage.call(CallKind.START_CHAT, "gone")) == {"gone": "NOT_RUNNING"}


@pytest.mark.parametrize("reason", [Reason.SESSION_INVALID, Reason.ACCOUNT_BANNED, Reason.PROXY_ERROR])
def test_every_failure_has_a_sentence_and_something_to_do(reason: Reason) -> None:
    stage = Stage(accounts("a"))
    stage.attach("w1")
    call = stage.start_all("a")
    stage.refuses("w1", "a", Outcome.FAILED, reason)
    verdict = call.results[0].verdict
    assert (verdict.outcome, verdict.reason) == (Outcome.FAILED, reason)
    assert verdict.detail.endswith(".")
    assert verdict.action


def test_an_older_word_of_the_registry_does_not_take_a_wish_back() -> None:
    stage = Stage(accounts("a"))
    stage.attach("w1")
    stage.start_all("a")
    stale = accounts("a")[0]
    stale.labels = {"x": "y"}
    assert stopped(stage.feed(e.AccountsChanged([stale], revision=stage.revision - 1))) == {}
    assert stage.entry("a").spec.wanted_running
    stage.revision += 1
    assert stopped(stage.feed(e.AccountsChanged([accounts("a")[0]], revision=stage.revision))) == {
        "w1": ["a"]
    }


def test_a_call_that_began_under_an_earlier_leader_counts_what_came_up_meanwhile() -> None:
    stage = Stage(accounts("a", "b", wanted_running=True))
    stage.attach("w1")
    stage.pass_time(10)
    stage.runs("w1", "a")
    stage.pass_time(5)
    began = stage.now - 7

    def asked_again(kind: CallKind, request_id: str, since: float) -> dict[str, str]:
        stage.feed(e.CallStarted(request_id, kind, ["a"], stage.now + 60, began=since))
        call = stage.core.call(kind, request_id)
        assert call is not None
        return outcomes(call)

    assert asked_again(CallKind.START_ALL, "r", began) == {"a": "STARTED"}
    assert asked_again(CallKind.START_ALL, "s", stage.now - 3) == {"a": "ALREADY_RUNNING"}
    stage.call(CallKind.START_CHAT, "a")
    stage.runs("w1", "a", token=stage.entry("a").token, chatting=True)
    stage.pass_time(5)
    assert asked_again(CallKind.START_CHAT, "t", began) == {"a": "CHAT_STARTED"}
    assert asked_again(CallKind.START_CHAT, "u", stage.now - 3) == {"a": "ALREADY_CHATTING"}
    stage.call(CallKind.STOP_ALL, "a")
    stage.stops("w1", "a")
    stage.pass_time(5)
    assert asked_again(CallKind.STOP_ALL, "v", began) == {"a": "STOPPED"}
    assert asked_again(CallKind.STOP_ALL, "x", stage.now - 3) == {"a": "ALREADY_STOPPED"}
