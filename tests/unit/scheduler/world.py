"""A small world around the core for random histories: workers with links that break, a lease for each
session that only one may hold, and a registry that records wishes late. Everything the core must never do is
checked on every command.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from services.scheduler.domain import commands as c
from services.scheduler.domain import events as e
from services.scheduler.domain.calls import FleetCall
from services.scheduler.domain.core import Core
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
from tests.unit.scheduler.stage import WALL, accounts

RULES = Rules(lease_ttl=3.0, lease_settle=2.0, heartbeat=1.0, start_rate=0.0, backoff_cap=4.0)


@dataclass
class Lease:
    """Who may use a session; `expires` is None while its holder renews."""

    worker_id: str
    incarnation: int
    token: Token
    expires: float | None = None


@dataclass
class SimWorker:
    """A worker process."""

    worker_id: str
    alive: bool = True
    incarnation: int = 1
    attachment: int = 0
    reachable: bool = True
    draining: bool = False
    sessions: dict[str, Report] = field(default_factory=dict)
    starting: dict[str, str] = field(default_factory=dict)

    @property
    def attached(self) -> bool:
        return self.attachment != 0


class World:
    """The core and a simulated fleet."""

    def __init__(self, names: list[str], workers: list[str], seed: int) -> None:
        self.rng = random.Random(seed)
        self.now = 1000.0
        self.names = names
        self.term = 0
        self.wanted: dict[str, tuple[bool, bool]] = dict.fromkeys(names, (False, False))
        self.core = self.next_leader(())
        self.workers = {worker_id: SimWorker(worker_id) for worker_id in workers}
        self.leases: dict[str, Lease] = {}
        self.calls: list[FleetCall] = []
        self.wishes: list[c.SetWanted] = []
        self.revision = 1
        self.tokens = 0
        self.attachments = 0
        self.outstanding: dict[str, set[tuple[str, int]]] = {name: set() for name in names}
        self.feed(self.snapshot())

    @property
    def wall(self) -> float:
        return WALL + self.now - 1000.0

    def feed(self, event: e.Event) -> None:
        for command in self.core.handle(event, self.now, self.wall):
            self.obey(command)

    def obey(self, command: c.Command) -> None:
        if isinstance(command, c.SetWanted):
            self.wishes.append(command)
        elif isinstance(command, c.StartSessions):
            self.told_to_start(command)
        elif isinstance(command, c.StopSessions | c.Drain | c.CloseStream):
            worker = self.receiver(command)
            if worker is not None:
                self.told_otherwise(worker, command)

    def told_to_start(self, command: c.StartSessions) -> None:
        worker = self.receiver(command)
        for item in command.sessions:
            self.check_start(item.account_id, command.worker_id)
            self.outstanding[item.account_id].add((command.worker_id, command.attachment))
            if worker is not None:
                worker.starting[item.account_id] = command.command_id

    def told_otherwise(self, worker: SimWorker, command: c.StopSessions | c.Drain | c.CloseStream) -> None:
        if isinstance(command, c.StopSessions):
            for account_id in command.account_ids:
                self.stop(worker, account_id)
        elif isinstance(command, c.Drain):
            worker.draining = command.drain
        else:
            self.drop_stream(worker)

    def check_start(self, account_id: str, worker_id: str) -> None:
        """Never two starts of one account outstanding on two workers whose streams are up."""
        live = {
            worker
            for worker, attachment in self.outstanding[account_id]
            if self.workers[worker].attachment == attachment and worker != worker_id
        }
        assert not live, f"{account_id} is being started on {live} and on {worker_id}"

    def receiver(
        self, command: c.StartSessions | c.StopSessions | c.Drain | c.CloseStream
    ) -> SimWorker | None:
        worker = self.workers[command.worker_id]
        alive = worker.alive and worker.attachment == command.attachment
        return worker if alive else None

    def say(self, worker: SimWorker, report: Report) -> None:
        if worker.attached:
            self.feed(e.WorkerReports(worker.worker_id, worker.attachment, [report]))

    def settle(self, account_id: str, worker: SimWorker) -> None:
        self.outstanding[account_id].discard((worker.worker_id, worker.attachment))

    def stop(self, worker: SimWorker, account_id: str) -> None:
        worker.starting.pop(account_id, None)
        self.settle(account_id, worker)
        session = worker.sessions.pop(account_id, None)
        if session is not None:
            self.leases.pop(account_id, None)
        token = session.token if session else None
        self.say(worker, Report(account_id, SessionState.STOPPED, token, released=True))

    def advance_start(self, worker: SimWorker, account_id: str) -> None:
        """The worker asks for the lease and connects, or is refused."""
        command_id = worker.starting.pop(account_id)
        self.settle(account_id, worker)
        if worker.draining:
            full = Report(
                account_id, SessionState.FAILED, None, command_id, Outcome.WAITING, Reason.NO_WORKER_CAPACITY
            )
            self.say(worker, full)
            return
        lease = self.leases.get(account_id)
        if lease is not None and lease.expires is not None and lease.expires <= self.now:
            lease = None
        if lease is not None and (lease.worker_id, lease.incarnation) != (
            worker.worker_id,
            worker.incarnation,
        ):
            settling = lease.expires is not None
            reason = Reason.SETTLING if settling else Reason.LEASE_HELD
            retry = self.wall + (lease.expires - self.now if lease.expires is not None else 0.0)
            refusal = Report(
                account_id,
                SessionState.STOPPED,
                None,
                command_id,
                Outcome.WAITING,
                reason,
                retry=retry if settling else 0.0,
            )
            self.say(worker, refusal)
            return
        self.tokens += 1
        token = Token(1, self.tokens)
        self.leases[account_id] = Lease(worker.worker_id, worker.incarnation, token)
        if self.rng.random() < 0.2:
            del self.leases[account_id]
            failure = Report(
                account_id,
                SessionState.FAILED,
                token,
                command_id,
                Outcome.FAILED,
                Reason.CONNECT_TIMEOUT,
                released=True,
            )
            self.say(worker, failure)
            return
        running = Report(account_id, SessionState.RUNNING, token, command_id, state_time=self.wall)
        worker.sessions[account_id] = running
        self.say(worker, running)

    def attach(self, worker: SimWorker) -> None:
        self.attachments += 1
        worker.attachment = self.attachments
        starting = [Report(a, SessionState.STARTING, None, i) for a, i in worker.starting.items()]
        for account_id in worker.starting:
            self.outstanding[account_id].add((worker.worker_id, worker.attachment))
        sessions = [*worker.sessions.values(), *starting]
        incarnation = str(worker.incarnation)
        attachment, draining = worker.attachment, worker.draining
        self.feed(e.WorkerHello(worker.worker_id, incarnation, attachment, 100, sessions, (), draining))

    def drop_stream(self, worker: SimWorker) -> None:
        attachment, worker.attachment = worker.attachment, 0
        if attachment:
            self.feed(e.StreamLost(worker.worker_id, attachment))

    def kill(self, worker: SimWorker) -> None:
        for account_id in worker.sessions:
            lease = self.leases.get(account_id)
            if lease is not None and lease.worker_id == worker.worker_id and lease.expires is None:
                lease.expires = self.now + RULES.lease_ttl + RULES.lease_settle
        worker.alive = False
        worker.sessions.clear()
        worker.starting.clear()
        self.drop_stream(worker)

    def revive(self, worker: SimWorker) -> None:
        worker.alive = True
        worker.draining = False
        worker.incarnation += 1

    def save_wish(self) -> None:
        if self.wishes:
            wish = self.wishes.pop(0)
            self.revision += 1
            for account_id in wish.account_ids:
                running, chatting = self.wanted[account_id]
                self.wanted[account_id] = (
                    running if wish.running is None else wish.running,
                    chatting if wish.chatting is None else wish.chatting,
                )
            self.feed(e.WantedSaved(wish.batch, frozenset(wish.account_ids), self.revision))

    def next_leader(self, known: Sequence[KnownWorker]) -> Core:
        self.term += 1
        return Core(RULES, self.term, random.Random(self.term), known, now=self.now, wall=self.wall)

    def snapshot(self) -> e.AccountsSnapshot:
        specs = accounts(*self.names)
        specs[-1].home_worker = next(iter(self.workers))
        for spec in specs:
            spec.wanted_running, spec.wanted_chatting = self.wanted[spec.account_id]
        return e.AccountsSnapshot(specs, self.revision)

    def take_over(self) -> None:
        """The leader dies with all that it knew; another one has only what was written."""
        known = [worker.known() for worker in self.core.fleet.workers]
        self.wishes.clear()
        self.calls.clear()
        for worker in self.workers.values():
            worker.attachment = 0
        self.core = self.next_leader(known)
        self.feed(self.snapshot())

    def call(self, kind: CallKind, names: list[str], within: float, wait_for: float) -> None:
        request_id = f"r{self.attachments}.{len(self.calls)}"
        self.feed(e.CallStarted(request_id, kind, names, self.now + within, wait_for))
        call = self.core.call(kind, request_id)
        assert call is not None
        self.calls.append(call)

    def step(self, seconds: float) -> None:
        """Time passes in small steps; every worker does what is due, in a random order."""
        until = self.now + seconds
        while self.now < until:
            self.now = min(until, self.now + 0.25)
            self.feed(e.Tick())
            workers = list(self.workers.values())
            self.rng.shuffle(workers)
            for worker in workers:
                if not worker.alive:
                    continue
                if not worker.attached and worker.reachable:
                    self.attach(worker)
                for account_id in list(worker.starting):
                    if account_id in worker.starting and self.rng.random() < 0.5:
                        self.advance_start(worker, account_id)
                if worker.attached and self.now % 1.0 < 0.25:
                    self.feed(e.WorkerHeartbeat(worker.worker_id, worker.attachment))
            self.check_calls()

    def check_calls(self) -> None:
        for call in self.calls:
            answered = [result.account_id for result in call.results]
            assert len(answered) == len(set(answered)), "two results for one account in one call"
            if self.now > call.deadline + 0.5:
                assert set(answered) == set(call.selected), "an account without a result after the deadline"

    def heal(self) -> None:
        """From now on everything works."""
        while self.wishes:
            self.save_wish()
        for worker in self.workers.values():
            self.feed(e.DrainUndone(worker.worker_id))
            worker.reachable = True
            if not worker.alive:
                self.revive(worker)
        self.rng.random = lambda: 0.3  # type: ignore[method-assign]

    def check_wanted_is_observed(self) -> None:
        for name in self.names:
            entry = self.core.fleet.accounts.get(name)
            assert entry is not None
            holders = [w.worker_id for w in self.workers.values() if name in w.sessions]
            if entry.spec.wanted_running:
                assert len(holders) == 1, f"{name} is wanted and runs on {holders}"
                assert entry.worker_id == holders[0]
                assert entry.state is SessionState.RUNNING
            else:
                assert holders == [], f"{name} is not wanted and runs on {holders}"
                assert entry.worker_id == ""
