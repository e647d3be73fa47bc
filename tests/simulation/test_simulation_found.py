"""What the simulation has found in shipped code, told as the shortest history that shows it."""

from __future__ import annotations

import random

from services.scheduler.domain import commands as c
from services.scheduler.domain import events as e
from services.scheduler.domain.core import Core
from services.scheduler.domain.model import AccountSpec, Outcome, Reason, Report, SessionState, Token
from tests.simulation.scheduler import rules

TOKEN = Token(1, 5)


class Stage:
    """A leader, two workers without sessions, and one account that is wanted."""

    def __init__(self) -> None:
        self.now = 0.0
        self.streams = 0
        self.core = Core(rules(3.0, 2.0), 1, random.Random(1), [], now=0.0, wall=1e6)
        self.tell(e.AccountsSnapshot([AccountSpec("a", "a", auth_key_id="a" * 16, wanted_running=True)], 1))

    def tell(self, event: e.Event, after: float = 0.01) -> list[c.Command]:
        self.now += after
        return self.core.handle(event, self.now, 1e6 + self.now)

    def hello(self, worker: str, *sessions: Report) -> list[str]:
        self.streams += 1
        commands = self.tell(e.WorkerHello(worker, f"{worker}.1", self.streams, 10, sessions))
        return [one.command_id for one in commands if isinstance(one, c.StartSessions)]

    def report(self, worker: str, *reports: Report) -> None:
        self.tell(e.WorkerReports(worker, self.streams, reports))

    def started_again(self) -> bool:
        commands = [one for _ in range(10) for one in self.tell(e.Tick(), after=1.0)]
        return any(isinstance(one, c.StartSessions) for one in commands)


def at(state: SessionState, command_id: str, token: Token | None = TOKEN, time: float = 1e6) -> Report:
    report = Report("a", state, token, command_id, state_time=time)
    if state is SessionState.FAILED:
        report.outcome, report.reason = Outcome.WAITING, Reason.SETTLING
    return report


def test_an_end_counts_although_the_workers_clock_was_set_back() -> None:
    stage = Stage()
    (command,) = stage.hello("w1")
    stage.report("w1", at(SessionState.RUNNING, command))
    stage.report("w1", at(SessionState.FAILED, command, time=1e6 - 60))
    assert stage.started_again()


def test_a_refusal_counts_although_the_workers_clock_was_set_back() -> None:
    stage = Stage()
    (command,) = stage.hello("w1")
    stage.report("w1", at(SessionState.STARTING, command, token=None))
    stage.core.fleet.accounts.get("a").token = TOKEN  # type: ignore[union-attr]  # of an earlier life
    stage.report("w1", at(SessionState.FAILED, command, token=None, time=1e6 - 5))
    assert stage.started_again()


def test_a_start_that_a_hello_names_ends_under_its_own_command() -> None:
    stage = Stage()
    (first,) = stage.hello("w1")
    (second,) = stage.hello("w1")  # made before the first command came, which the worker then carried out
    assert second != first
    assert not stage.hello("w1", at(SessionState.STARTING, first, token=None))
    stage.report("w1", at(SessionState.FAILED, first, token=None))
    assert stage.started_again()


def test_a_start_that_was_found_ends_with_the_stop_that_it_was_sent_before() -> None:
    stage = Stage()
    (command,) = stage.hello("w1")
    stage.report("w1", at(SessionState.RUNNING, command))
    stage.report("w1", at(SessionState.FAILED, command))
    stage.hello("w2")
    stage.report(
        "w2",
        at(SessionState.STARTING, "1.77:", token=None),
        at(SessionState.STOPPED, "1.78:", token=None),
    )
    assert stage.started_again()
