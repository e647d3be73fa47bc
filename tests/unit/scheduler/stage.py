"""A stage for the pure core: virtual time, a registry that records wishes at once, and workers that say what
a test tells them to say.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from services.scheduler.domain import commands as c
from services.scheduler.domain import events as e
from services.scheduler.domain.accounts import Entry
from services.scheduler.domain.calls import FleetCall
from services.scheduler.domain.core import Core
from services.scheduler.domain.model import (
    AccountSpec,
    AnnouncedFile,
    CallKind,
    KnownWorker,
    Outcome,
    Reason,
    Report,
    Rules,
    SessionState,
    Token,
    Verdict,
)

T = TypeVar("T")

RULES = Rules(lease_ttl=30.0, lease_settle=30.0, heartbeat=10.0, start_rate=0.0)
WALL = 1_800_000_000.0


class Stage:
    """The core, and everything around it."""

    def __init__(
        self,
        accounts: Iterable[AccountSpec] = (),
        rules: Rules = RULES,
        known: Sequence[KnownWorker] = (),
        term: int = 1,
    ) -> None:
        self.now = 1000.0
        self.core = Core(rules, term, random.Random(1), known, now=self.now, wall=self.wall)
        self.commands: list[c.Command] = []
        self.revision = 1
        self.hold_wishes = False
        self.wishes: list[c.SetWanted] = []
        self.beating: dict[str, int] = {}
        self._attachment = 0
        self._tokens = 100
        self._calls = 0
        self.feed(e.AccountsSnapshot(list(accounts), self.revision))

    @property
    def wall(self) -> float:
        return WALL + self.now - 1000.0

    def feed(self, event: e.Event) -> list[c.Command]:
        """One event; gives the commands that came of it, wishes being recorded at once."""
        new = list(self.core.handle(event, self.now, self.wall))
        self.commands.extend(new)
        if not self.hold_wishes:
            for wish in [command for command in new if isinstance(command, c.SetWanted)]:
                new.extend(self.save(wish))
        else:
            self.wishes.extend(command for command in new if isinstance(command, c.SetWanted))
        return new

    def save(self, wish: c.SetWanted, accepted: Iterable[str] | None = None) -> list[c.Command]:
        """The registry records a wish."""
        self.revision += 1
        ids = frozenset(wish.account_ids if accepted is None else accepted)
        return self.feed(e.WantedSaved(wish.batch, ids, self.revision))

    def pass_time(self, seconds: float) -> list[c.Command]:
        """Time passes; timers fire when they are due, and attached workers send heartbeats."""
        until = self.now + seconds
        new: list[c.Command] = []
        while True:
            due = self.core.next_due
            beat = self.core.fleet.rules.heartbeat
            self.now = min([until, self.now + beat, *([max(due, self.now)] if due is not None else [])])
            for worker_id, attachment in self.beating.items():
                new.extend(self.feed(e.WorkerHeartbeat(worker_id, attachment)))
            new.extend(self.feed(e.Tick()))
            if self.now >= until and (self.core.next_due is None or self.core.next_due > until):
                return new

    def attach(
        self,
        worker_id: str,
        *,
        incarnation: str = "",
        capacity: int = 500,
        sessions: Sequence[Report] = (),
        files: Sequence[AnnouncedFile] = (),
        draining: bool = False,
    ) -> list[c.Command]:
        """A worker says hello on a new stream."""
        self._attachment += 1
        new = self.feed(
            e.WorkerHello(
                worker_id,
                incarnation or f"{worker_id}-1",
                self._attachment,
                capacity,
                sessions,
                files,
                draining,
            )
        )
        if not any(isinstance(command, c.CloseStream) and command.name_taken for command in new):
            self.beating[worker_id] = self._attachment
        return new

    def lose_stream(self, worker_id: str) -> list[c.Command]:
        return self.feed(e.StreamLost(worker_id, self.beating.pop(worker_id)))

    def token(self) -> Token:
        self._tokens += 1
        return Token(1, self._tokens)

    def report(self, worker_id: str, *reports: Report) -> list[c.Command]:
        return self.feed(e.WorkerReports(worker_id, self.beating[worker_id], reports))

    def runs(self, worker_id: str, *account_ids: str, **more: Any) -> list[c.Command]:
        """The worker says RUNNING for its last start command."""
        reports = [self.running(account_id, **more) for account_id in account_ids]
        return self.report(worker_id, *reports)

    def running(self, account_id: str, token: Token | None = None, **more: Any) -> Report:
        entry = self.entry(account_id)
        more.setdefault("command_id", entry.command_id)
        more.setdefault("chatting", entry.spec.wanted_chatting)
        return Report(account_id, SessionState.RUNNING, token or self.token(), state_time=self.wall, **more)

    def refuses(
        self, worker_id: str, account_id: str, outcome: Outcome, reason: Reason, **more: Any
    ) -> list[c.Command]:
        """The worker says that a start came to nothing."""
        command_id = self.entry(account_id).command_id
        return self.report(
            worker_id,
            Report(
                account_id,
                SessionState.STOPPED,
                command_id=command_id,
                outcome=outcome,
                reason=reason,
                **more,
            ),
        )

    def stops(self, worker_id: str, *account_ids: str, released: bool = True) -> list[c.Command]:
        reports = [Report(a, SessionState.STOPPED, released=released) for a in account_ids]
        return self.report(worker_id, *reports)

    def call(
        self,
        kind: CallKind,
        *account_ids: str,
        request_id: str = "",
        wait_for: float = 0.0,
        within: float = 60.0,
    ) -> FleetCall:
        self._calls += 1
        request_id = request_id or f"call-{self._calls}"
        ids = account_ids or tuple(entry.account_id for entry in self.core.fleet.accounts)
        self.feed(e.CallStarted(request_id, kind, ids, self.now + within, wait_for, bool(account_ids)))
        call = self.core.call(kind, request_id)
        assert call is not None
        return call

    def start_all(self, *account_ids: str, **more: Any) -> FleetCall:
        return self.call(CallKind.START_ALL, *account_ids, **more)

    def change(self, account_id: str, **fields: Any) -> list[c.Command]:
        """The registry tells of a change."""
        self.revision += 1
        spec = self.entry(account_id).spec
        values = {name: getattr(spec, name) for name in AccountSpec.__dataclass_fields__}
        changed = AccountSpec(**{**values, **fields})
        return self.feed(e.AccountsChanged([changed], revision=self.revision))

    def entry(self, account_id: str) -> Entry:
        entry = self.core.fleet.accounts.get(account_id)
        assert entry is not None
        return entry

    def up(self, worker_id: str, *account_ids: str) -> None:
        """Shorthand: starts the accounts and lets them run."""
        self.start_all(*account_ids)
        for account_id in account_ids:
            assert self.entry(account_id).worker_id == worker_id
        self.runs(worker_id, *account_ids)


def only(kind: type[T], commands: Iterable[c.Command]) -> list[T]:
    """The commands of one kind."""
    return [command for command in commands if isinstance(command, kind)]


def started(commands: Iterable[c.Command]) -> dict[str, list[str]]:
    """Accounts that were told to start, by worker."""
    found: dict[str, list[str]] = {}
    for command in only(c.StartSessions, commands):
        found.setdefault(command.worker_id, []).extend(item.account_id for item in command.sessions)
    return found


def stopped(commands: Iterable[c.Command]) -> dict[str, list[str]]:
    """Accounts that were told to stop, by worker."""
    found: dict[str, list[str]] = {}
    for command in only(c.StopSessions, commands):
        found.setdefault(command.worker_id, []).extend(command.account_ids)
    return found


def told(verdict: Verdict) -> str:
    """`OUTCOME` or `OUTCOME/REASON`."""
    reason = "" if verdict.reason is Reason.UNSPECIFIED else f"/{verdict.reason.name}"
    return f"{verdict.outcome.name}{reason}"


def outcomes(call: FleetCall) -> dict[str, str]:
    """What the call said of each account; fails if it said two things."""
    assert len({result.account_id for result in call.results}) == len(call.results)
    return {result.account_id: told(result.verdict) for result in call.results}


def accounts(*names: str, **fields: Any) -> list[AccountSpec]:
    """Accounts whose id is their name."""
    return [AccountSpec(name, name, auth_key_id=f"key-{name}", **fields) for name in names]
