"""Emptying a worker."""

from __future__ import annotations

from services.scheduler.domain import commands as c
from services.scheduler.domain import drains
from services.scheduler.domain import events as e
from services.scheduler.domain.model import CallKind, Reason
from tests.unit.scheduler.stage import Stage, accounts, only, outcomes, started, stopped


def drained(*names: str, home: str = "", capacity: int = 500) -> Stage:
    stage = Stage(accounts(*names, home_worker=home))
    stage.attach("w1")
    stage.up("w1", *names)
    stage.attach("w2", capacity=capacity)
    stage.commands.clear()
    stage.feed(e.DrainStarted("w1", stage.now + 60))
    return stage


def test_sessions_move_as_soon_as_each_is_free() -> None:
    stage = drained("a", "b")
    assert [d.drain for d in only(c.Drain, stage.commands)] == [True]
    assert stopped(stage.commands) == {"w1": ["a", "b"]}
    assert started(stage.stops("w1", "a")) == {"w2": ["a"]}
    stage.runs("w2", "a")
    assert started(stage.stops("w1", "b")) == {"w2": ["b"]}
    w1 = stage.core.fleet.workers.get("w1")
    assert w1 is not None
    assert w1.drain_moved == 2
    assert drains.remaining(w1) == []
    assert [p.state for p in only(c.PublishWorker, stage.commands)][-1] == "DRAINED"


def test_nothing_new_is_placed_on_a_draining_worker() -> None:
    stage = drained("a")
    stage.stops("w1", "a")
    stage.runs("w2", "a")
    stage.lose_stream("w2")
    stage.pass_time(40)
    assert stage.entry("a").worker_id == ""
    assert outcomes(stage.start_all("a")) == {"a": "WAITING/NO_WORKER_CAPACITY"}


def test_what_cannot_move_is_listed_and_stopped_at_the_deadline() -> None:
    stage = drained("a", home="w1")
    assert stopped(stage.commands) == {}
    w1 = stage.core.fleet.workers.get("w1")
    assert w1 is not None
    assert [verdict.reason for _, verdict in drains.remaining(w1)] == [Reason.HOME_WORKER_OFFLINE]
    assert stopped(stage.pass_time(61)) == {"w1": ["a"]}
    stage.stops("w1", "a")
    assert stage.entry("a").worker_id == ""
    assert outcomes(stage.start_all("a")) == {"a": "WAITING/HOME_WORKER_OFFLINE"}


def test_only_as_many_move_as_there_is_room_for() -> None:
    stage = drained("a", "b", "d", capacity=1)
    assert sum(map(len, stopped(stage.commands).values())) == 1
    moved = stopped(stage.commands)["w1"][0]
    stage.stops("w1", moved)
    stage.runs("w2", moved)
    assert sum(map(len, stopped(stage.commands).values())) == 1
    new = stage.attach("w3")
    assert sum(map(len, stopped(new).values())) == 2


def test_a_drain_can_be_undone() -> None:
    stage = drained("a", home="w1")
    new = stage.feed(e.DrainUndone("w1"))
    assert [d.drain for d in only(c.Drain, new)] == [False]
    assert stopped(stage.pass_time(120)) == {}
    stage.call(CallKind.STOP_ALL, "a")
    stage.stops("w1", "a")
    stage.start_all("a")
    assert started(stage.commands) == {"w1": ["a"]}


def test_a_drain_survives_a_broken_stream_but_not_a_restart() -> None:
    stage = drained("a", home="w1")
    token = stage.entry("a").token
    stage.lose_stream("w1")
    new = stage.attach("w1", sessions=[stage.running("a", token)], draining=True)
    assert stopped(stage.pass_time(61)) == {"w1": ["a"]}
    assert only(c.Drain, new) == []
    stage.stops("w1", "a")
    stage.lose_stream("w1")
    assert started(stage.attach("w1", incarnation="w1-2")) == {"w1": ["a"]}


def test_a_drain_that_was_undone_while_the_worker_was_away_stays_undone() -> None:
    stage = drained("a", home="w1")
    token = stage.entry("a").token
    stage.lose_stream("w1")
    stage.feed(e.DrainUndone("w1"))
    new = stage.attach("w1", sessions=[stage.running("a", token)], draining=True)
    assert [d.drain for d in only(c.Drain, new)] == [False]
    assert stopped(stage.pass_time(120)) == {}


def test_a_drain_command_that_was_lost_is_sent_again() -> None:
    stage = drained("a", home="w1")
    token = stage.entry("a").token
    stage.lose_stream("w1")
    new = stage.attach("w1", sessions=[stage.running("a", token)], draining=False)
    assert [d.drain for d in only(c.Drain, new)] == [True]


def test_a_new_leader_learns_of_a_drain_from_the_worker() -> None:
    stage = Stage(accounts("a", wanted_running=True))
    stage.attach("w1", draining=True)
    assert stage.entry("a").worker_id == ""


def test_a_drain_that_was_undone_after_the_worker_was_given_up_stays_undone() -> None:
    stage = drained("a", home="w1")
    stage.lose_stream("w1")
    stage.pass_time(40)
    stage.feed(e.DrainUndone("w1"))
    new = stage.attach("w1", draining=True)
    assert [d.drain for d in only(c.Drain, new)] == [False]
    assert started(new) == {"w1": ["a"]}
