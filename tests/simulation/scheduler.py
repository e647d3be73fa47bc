"""A simulated scheduler process: stands for election, and while it leads drives the shipped `Core` as the
shipped driver does. Who leads is compared before every batch of commands; the term goes with every
command and every commit.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from typing import TYPE_CHECKING, Any

from services.runtime.clock import FenceClock, Mark
from services.runtime.errors import Aborted, TgfleetError, Unavailable
from services.scheduler.domain import commands as c
from services.scheduler.domain import events as e
from services.scheduler.domain.core import Core
from services.scheduler.domain.model import KnownWorker, Outcome, Reason, Report, Rules, SessionState, Token
from services.worker.domain import orders
from services.worker.domain.picture import Picture, SessionReport
from tests.simulation.network import Process

if TYPE_CHECKING:
    from tests.simulation.play import Play
    from tests.simulation.worker import Stream

_TTL = 3.0
_MARGIN = 0.2
_POLL = 0.5
_LIMIT = 1.0
_COPY = 0.02
"""How often an order arrives a second time, out of order."""
_COPY_LATEST = 8.0


class LeadershipLost(Exception):  # noqa: N818 - as the shipped one
    """This process no longer leads."""


class SchedulerProcess:
    """One life of a scheduler."""

    def __init__(self, play: Play, process: Process, rng: random.Random) -> None:
        self.play = play
        self.process = process
        self.loop = process.loop
        self.rng = rng
        self._clock = FenceClock(process.loop)
        self._term: Term | None = None
        process.loop.spawn(self._run())

    def attach(self, stream: Stream, picture: Picture) -> bool:
        """A worker's stream, with its hello."""
        if self._term is None or not self._term.valid():
            raise Unavailable("This scheduler does not lead.", reason="NOT_LEADER")
        self._term.attach(stream, picture)
        return True

    async def ask(self, target: str, method: str, *args: Any) -> Any:
        return await self.play.net.call(self.process, target, method, *args, limit=_LIMIT)

    async def _run(self) -> None:
        while True:
            try:
                sent = self._clock.mark()
                revision = await self.ask("etcd", "campaign", self.process.incarnation, _TTL)
                if revision:
                    await self._lead(revision, sent)
            except (TgfleetError, LeadershipLost):
                pass
            await asyncio.sleep(_TTL * 0.2)

    async def _lead(self, revision: int, sent: Mark) -> None:
        term = await self.ask("db", "begin_term")
        known = await self.ask("db", "known_workers")
        specs, seen = await self.ask("db", "changes", 0)
        self.play.trace("leads", self.process.incarnation, term)
        self._term = leads = Term(self, term, known, self._clock, sent)
        leads.tell(e.AccountsSnapshot(specs, seen))
        tasks = [
            self.loop.create_task(one)
            for one in (leads.run(), leads.renew(revision), leads.watch(seen), leads.remember())
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done():
                    task.result()
        finally:
            self._term = None
            leads.end()
            for task in tasks:
                task.cancel()
            await asyncio.sleep(0)


class Term:
    """One term of leadership."""

    def __init__(
        self, owner: SchedulerProcess, term: int, known: list[KnownWorker], clock: FenceClock, sent: Mark
    ) -> None:
        self.term = term
        self._owner = owner
        self._clock = clock
        self._sent = sent
        self._over = False
        self._streams: dict[int, Stream] = {}
        self._events: deque[e.Event] = deque()
        self._news = asyncio.Event()
        self._workers: asyncio.Queue[KnownWorker] = asyncio.Queue()
        loop, rules = owner.loop, owner.play.rules
        wall = loop.wall().timestamp()
        self._core = Core(rules, term, owner.rng, known, now=loop.time(), wall=wall)

    def valid(self) -> bool:
        if self._clock.elapsed(self._sent) >= _TTL * (1 - _MARGIN):
            self._over = True
        return not self._over

    def end(self) -> None:
        self._over = True
        for stream in self._streams.values():
            stream.down.send(stream.orders.put_nowait, None)

    def tell(self, event: e.Event) -> None:
        if not self._over:
            self._events.append(event)
            self._news.set()

    def attach(self, stream: Stream, picture: Picture) -> None:
        stream.attachment = attachment = len(self._streams) + 1
        self._streams[attachment] = stream
        worker = stream.worker
        stream.tell = lambda message: self._hear(worker.name, attachment, message)
        welcome = orders.Order(self.term, orders.Welcome(self._owner.play.rules.heartbeat))
        stream.down.send(worker.service.order, stream, welcome)
        sessions = [_report(one) for one in picture.sessions]
        self._note("hello", worker.incarnation, attachment, sessions)
        self.tell(e.WorkerHello(worker.name, worker.incarnation, attachment, 10, sessions))

    def _hear(self, worker_id: str, attachment: int, message: tuple[str, Any]) -> None:
        kind, what = message
        if kind == "heartbeat":
            self.tell(e.WorkerHeartbeat(worker_id, attachment))
        elif kind == "reports":
            reports = [_report(one) for one in what]
            self._note("told", worker_id, attachment, reports)
            self.tell(e.WorkerReports(worker_id, attachment, reports))
        else:
            self.tell(e.StreamLost(worker_id, attachment))

    def _note(self, kind: str, worker: str, attachment: int, reports: list[Report]) -> None:
        words = [f"{one.account_id} {one.state.name} {one.command_id} {one.token}" for one in reports]
        self._owner.play.trace(kind, self.term, worker, attachment, words)

    async def run(self) -> None:
        while True:
            if not self._events:
                await self._wait()
            self._step()
            await asyncio.sleep(0)

    async def _wait(self) -> None:
        self._news.clear()
        due = self._core.next_due
        pause = 1.0 if due is None else max(0.0, due - self._owner.loop.time())
        try:
            async with asyncio.timeout(min(1.0, pause)):
                await self._news.wait()
        except TimeoutError:
            self._events.append(e.Tick())

    def _step(self) -> None:
        if not self.valid():
            raise LeadershipLost
        loop = self._owner.loop
        now, wall = loop.time(), loop.wall().timestamp()
        while self._events:
            event = self._events.popleft()
            self._core.apply(event, now, wall)
            self._show(event)
        for command in self._core.take():
            self._carry_out(command)

    def _show(self, event: e.Event) -> None:
        """Lets the judge see what the core believes of the accounts that it was just told about."""
        if isinstance(event, e.WorkerHello):
            reports = event.sessions
        elif isinstance(event, e.WorkerReports):
            reports = event.reports
        else:
            return
        play = self._owner.play
        for report in reports:
            entry = self._core.fleet.accounts.get(report.account_id)
            if entry is not None and entry.token is not None:
                token = (entry.token.generation, entry.token.revision)
                play.judge.believes(play.world.now, self.term, report.account_id, token)

    def _carry_out(self, command: c.Command) -> None:
        if isinstance(command, c.RememberWorker):
            self._workers.put_nowait(command.worker)
        elif isinstance(command, c.CloseStream):
            stream = self._streams.get(command.attachment)
            if stream is not None:
                stream.down.send(stream.orders.put_nowait, None)
                stream.down.broken = True
        else:
            order = _order(command)
            if order is not None:
                self._send(command.attachment, orders.Order(self.term, order))  # type: ignore[union-attr]

    def _send(self, attachment: int, order: orders.Order) -> None:
        stream = self._streams[attachment]
        play, worker = self._owner.play, stream.worker
        play.trace("order", self._owner.process.incarnation, worker.incarnation, attachment, order.command)
        stream.down.send(worker.service.order, stream, order)
        if play.net.rng.random() < _COPY and not stream.down.broken:
            late = play.world.now + _COPY_LATEST * play.net.rng.random()
            worker.loop.deliver(late, worker.service.order_again, order)

    async def renew(self, revision: int) -> None:
        while self.valid():
            await asyncio.sleep(max(0.05 * _TTL, _TTL / 3 - self._clock.elapsed(self._sent)))
            sent = self._clock.mark()
            try:
                kept = await self._owner.ask("etcd", "keep", self._owner.process.incarnation, revision, _TTL)
            except TgfleetError:
                continue
            if not kept:
                break
            self._sent = sent
        raise LeadershipLost

    async def watch(self, seen: int) -> None:
        """The registry's accounts."""
        while True:
            await asyncio.sleep(_POLL)
            try:
                specs, revision = await self._owner.ask("db", "changes", seen)
            except TgfleetError:
                continue
            if revision > seen:
                seen = revision
                self.tell(e.AccountsChanged(specs, revision=revision))

    async def remember(self) -> None:
        """Commits of the known workers, each under this term."""
        while True:
            worker = await self._workers.get()
            while True:
                try:
                    await self._owner.ask("db", "remember", self.term, worker)
                except Aborted as error:
                    raise LeadershipLost from error
                except TgfleetError:
                    await asyncio.sleep(0.5)
                else:
                    break


def _report(report: SessionReport) -> Report:
    token = Token(report.token.generation, report.token.revision) if report.token else None
    return Report(
        account_id=report.account_id,
        state=SessionState[report.state.name],
        token=token,
        command_id=report.command_id,
        outcome=Outcome[report.outcome.name] if report.outcome else None,
        reason=Reason[report.reason.name],
        detail=report.detail,
        retry=report.retry_time.timestamp() if report.retry_time else 0.0,
        state_time=report.state_time.timestamp(),
        released=report.released,
    )


def _order(command: c.Command) -> orders.Command | None:
    if isinstance(command, c.StartSessions):
        starts = tuple(
            orders.StartOne(one.account_id, one.chat, one.session_file) for one in command.sessions
        )
        return orders.Start(command.command_id, starts)
    if isinstance(command, c.StopSessions):
        return orders.Stop(command.command_id, tuple(command.account_ids))
    return None


def rules(ttl: float, settle: float) -> Rules:
    """The figures of a small and hasty fleet."""
    return Rules(
        lease_ttl=ttl,
        lease_settle=settle,
        heartbeat=ttl / 3,
        backoff_base=0.5,
        backoff_cap=3.0,
        retry_limit=1000,
        crash_window=0.0,
    )
