"""The door to the pure core: one event in, commands out. Which function handles which event, and which
timer, is in two tables. Nothing here waits, reads a clock or talks to anybody.
"""

import random
from collections.abc import Callable, Sequence
from typing import Any

from services.scheduler.domain import (
    attachments,
    borrowing,
    drains,
    fleetcalls,
    pursuit,
    registrywatch,
    reports,
    results,
)
from services.scheduler.domain import events as e
from services.scheduler.domain.calls import FleetCall, call_key
from services.scheduler.domain.commands import Command
from services.scheduler.domain.fleet import Fleet
from services.scheduler.domain.model import CallKind, KnownWorker, Rules
from services.scheduler.domain.timers import Timer
from services.scheduler.domain.workers import Worker


class Core:
    """One leader's mind for one term."""

    def __init__(
        self,
        rules: Rules,
        term: int,
        rng: random.Random,
        known_workers: Sequence[KnownWorker],
        *,
        now: float,
        wall: float,
    ) -> None:
        """`now` by the clock that all events will be told with (seconds), `wall` the time of day (seconds
        since 1970)."""
        self.fleet = Fleet(rules, term, rng)
        self.fleet.now, self.fleet.wall = now, wall
        attachments.remember(self.fleet, list(known_workers))
        attachments.begin_warm_up(self.fleet)

    def handle(self, event: e.Event, now: float, wall: float) -> list[Command]:
        """Takes in one event and gives everything that is to be done, in order."""
        self.apply(event, now, wall)
        return self.take()

    def apply(self, event: e.Event, now: float, wall: float) -> None:
        """Takes in one event; what is to be done is collected until `take`."""
        self.fleet.now, self.fleet.wall = now, wall
        HANDLERS[type(event)](self.fleet, event)

    def take(self) -> list[Command]:
        """What is to be done after the events so far."""
        fleet = self.fleet
        while (timer := fleet.timers.pop_due(fleet.now)) is not None:
            TIMERS[timer.kind](fleet, timer)
        while fleet.room_freed:
            pursuit.serve_room(fleet)
            _go_on_draining(fleet)
        pursuit.pump(fleet)
        return fleet.outbox.take()

    @property
    def next_due(self) -> float | None:
        """When a Tick is needed at the latest; None when none is."""
        return self.fleet.timers.next_due

    def call(self, kind: CallKind, request_id: str) -> FleetCall | None:
        """A fleet call that runs, or finished less than a minute ago."""
        return self.fleet.calls.get(call_key(kind, request_id))


def _go_on_draining(fleet: Fleet) -> None:
    for worker in fleet.workers:
        if worker.draining:
            drains.move_off(fleet, worker)
            drains.progressed(fleet, worker)


def _attached(fleet: Fleet, worker_id: str, attachment: int) -> Worker | None:
    """The worker, if that stream is still its present one; also notes the sign of life."""
    worker = fleet.workers.get(worker_id)
    if worker is None or not worker.attached or worker.attachment != attachment:
        return None
    attachments.heard(fleet, worker)
    return worker


def _heartbeat(fleet: Fleet, event: e.WorkerHeartbeat) -> None:
    _attached(fleet, event.worker_id, event.attachment)


def _reports(fleet: Fleet, event: e.WorkerReports) -> None:
    worker = _attached(fleet, event.worker_id, event.attachment)
    if worker is not None:
        for report in event.reports:
            reports.take(fleet, worker, report)


def _files(fleet: Fleet, event: e.WorkerFiles) -> None:
    worker = _attached(fleet, event.worker_id, event.attachment)
    if worker is not None:
        attachments.files_changed(fleet, worker, event.files)


def _stream_lost(fleet: Fleet, event: e.StreamLost) -> None:
    worker = fleet.workers.get(event.worker_id)
    if worker is not None:
        attachments.stream_lost(fleet, worker, event.attachment)


def _tick(_fleet: Fleet, _event: e.Tick) -> None:
    """Timers fire in `take`."""


HANDLERS: dict[type[Any], Callable[[Fleet, Any], None]] = {
    e.AccountsSnapshot: registrywatch.snapshot,
    e.AccountsChanged: registrywatch.changed,
    e.WorkerHello: attachments.hello,
    e.WorkerHeartbeat: _heartbeat,
    e.WorkerReports: _reports,
    e.WorkerFiles: _files,
    e.StreamLost: _stream_lost,
    e.CallStarted: fleetcalls.call_started,
    e.WantedSaved: fleetcalls.wanted_saved,
    e.WantedFailed: fleetcalls.wanted_failed,
    e.DrainStarted: drains.started,
    e.DrainUndone: drains.undone,
    e.Borrowed: borrowing.borrowed,
    e.GivenBack: borrowing.given_back,
    e.LendingAllowed: borrowing.lending_allowed,
    e.Tick: _tick,
}


def _on_call(act: Callable[[Fleet, FleetCall], None]) -> Callable[[Fleet, Timer], None]:
    def fire(fleet: Fleet, timer: Timer) -> None:
        call = fleet.calls.get(timer.key)
        if call is not None:
            act(fleet, call)

    return fire


def _on_worker(act: Callable[[Fleet, Worker, int], None]) -> Callable[[Fleet, Timer], None]:
    def fire(fleet: Fleet, timer: Timer) -> None:
        worker = fleet.workers.get(timer.key)
        if worker is not None:
            act(fleet, worker, timer.stamp)

    return fire


def _retry(fleet: Fleet, timer: Timer) -> None:
    entry = fleet.accounts.get(timer.key)
    if entry is not None:
        pursuit.retry_due(fleet, entry, timer.stamp)


def _chat_repeat(fleet: Fleet, timer: Timer) -> None:
    entry = fleet.accounts.get(timer.key)
    if entry is not None:
        pursuit.repeat_chat(fleet, entry)


def _waited(fleet: Fleet, call: FleetCall) -> None:
    if fleet.now >= call.wait_until:
        results.waited_enough(fleet, call)


TIMERS: dict[str, Callable[[Fleet, Timer], None]] = {
    "retry": _retry,
    "chat_repeat": _chat_repeat,
    "pace": lambda _fleet, _timer: None,  # `take` pumps anyway
    "silence": _on_worker(attachments.silence_due),
    "give_up": _on_worker(attachments.give_up_due),
    "crash": _on_worker(attachments.crash_due),
    "leaving_over": _on_worker(attachments.leaving_over),
    "drain_deadline": _on_worker(lambda fleet, worker, _stamp: drains.deadline_due(fleet, worker)),
    "warm": lambda fleet, _timer: attachments.end_warm_up(fleet),
    "users": lambda fleet, _timer: registrywatch.users_due(fleet),
    "call_more": _on_call(fleetcalls.go_on),
    "call_deadline": _on_call(fleetcalls.deadline_due),
    "call_waited": _on_call(_waited),
    "call_forgotten": _on_call(fleetcalls.forget),
}
