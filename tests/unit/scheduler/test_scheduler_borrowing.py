"""Accounts that a transfer keeps running: people outrank it."""

from __future__ import annotations

import pytest

from services.scheduler.domain import events as e
from services.scheduler.domain import views
from services.scheduler.domain.accounts import Phase
from services.scheduler.domain.model import CallKind
from tests.unit.scheduler.stage import Stage, accounts, outcomes, started, stopped


@pytest.fixture
def stage() -> Stage:
    made = Stage(accounts("ann"))
    made.attach("w1")
    return made


def borrow(stage: Stage) -> None:
    assert started(stage.feed(e.Borrowed("ann"))) == {"w1": ["ann"]}
    stage.runs("w1", "ann")


def test_a_borrowed_account_runs_and_is_stopped_when_it_is_given_back(stage: Stage) -> None:
    assert views.why_running(stage.entry("ann")) == ""
    borrow(stage)
    assert stage.feed(e.Borrowed("ann")) == []
    assert stage.entry("ann").phase is Phase.UP
    assert "A transfer needs it" in views.why_running(stage.entry("ann"))
    assert stopped(stage.feed(e.GivenBack("ann"))) == {"w1": ["ann"]}
    assert not stage.entry("ann").spec.wanted_running


def test_an_account_that_people_want_runs_on_when_it_is_given_back(stage: Stage) -> None:
    stage.up("w1", "ann")
    stage.feed(e.Borrowed("ann"))
    assert views.why_running(stage.entry("ann")) == ""
    assert stopped(stage.feed(e.GivenBack("ann"))) == {}


def test_a_borrowed_account_starts_elsewhere_when_its_worker_is_gone(stage: Stage) -> None:
    borrow(stage)
    stage.attach("w2")
    stage.lose_stream("w1")
    assert started(stage.pass_time(31)) == {"w2": ["ann"]}


@pytest.mark.parametrize("phase", [Phase.STARTING, Phase.UP])
def test_stop_all_stops_a_borrowed_account_and_it_is_not_lent_again(stage: Stage, phase: Phase) -> None:
    stage.feed(e.Borrowed("ann"))
    if phase is Phase.UP:
        stage.runs("w1", "ann")
    assert stage.entry("ann").phase is phase
    call = stage.call(CallKind.STOP_ALL, "ann")
    assert stopped(stage.commands) == {"w1": ["ann"]}
    stage.stops("w1", "ann")
    assert outcomes(call) == {"ann": "STOPPED"}
    assert started(stage.feed(e.Borrowed("ann"))) == {}
    stage.pass_time(600)
    assert stage.entry("ann").phase is Phase.IDLE


def test_stop_all_wins_also_over_an_account_that_people_and_a_transfer_want(stage: Stage) -> None:
    stage.up("w1", "ann")
    stage.feed(e.Borrowed("ann"))
    call = stage.call(CallKind.STOP_ALL, "ann")
    stage.stops("w1", "ann")
    assert outcomes(call) == {"ann": "STOPPED"}
    stage.pass_time(600)
    assert stage.entry("ann").phase is Phase.IDLE


def test_an_account_that_a_person_stopped_is_not_lent_until_the_transfer_is_resumed(stage: Stage) -> None:
    assert outcomes(stage.call(CallKind.STOP_ALL, "ann")) == {"ann": "ALREADY_STOPPED"}
    assert started(stage.feed(e.Borrowed("ann"))) == {}
    stage.feed(e.LendingAllowed(["ann", "nobody"]))
    borrow(stage)


def test_an_account_that_a_person_started_may_be_lent_again(stage: Stage) -> None:
    stage.call(CallKind.STOP_ALL, "ann")
    stage.up("w1", "ann")
    assert stage.entry("ann").lendable


def test_start_all_of_a_borrowed_account_finds_it_running_and_keeps_it(stage: Stage) -> None:
    borrow(stage)
    assert outcomes(stage.start_all("ann")) == {"ann": "ALREADY_RUNNING"}
    assert stopped(stage.feed(e.GivenBack("ann"))) == {}


def test_a_disabled_account_is_stopped_although_it_is_borrowed(stage: Stage) -> None:
    borrow(stage)
    assert stopped(stage.change("ann", enabled=False)) == {"w1": ["ann"]}


def test_all_that_transfers_must_know_of_is_marked(stage: Stage) -> None:
    touched = stage.core.fleet.accounts.touched
    entry = stage.entry("ann")
    for happening in (
        lambda: stage.feed(e.Borrowed("ann")),
        lambda: stage.runs("w1", "ann"),
        lambda: stage.change("ann", priority=5),
        lambda: stage.call(CallKind.STOP_ALL, "ann"),
        lambda: stage.stops("w1", "ann"),
        lambda: stage.feed(e.AccountsChanged(deleted=["ann"], revision=99)),
    ):
        touched.clear()
        happening()
        assert touched == {entry}
