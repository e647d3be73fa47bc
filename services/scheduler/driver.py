"""Owns the core of one term: a single task feeds it events and carries out its commands, in order. It never
decides. The core of transfers is served by the same task (`transfer_driver`), so that both see the same
order of events.

Whether this process still leads is compared before every batch of commands goes out: a leader that was
frozen while another took over sends nothing (DESIGN section 2).
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from services.runtime.errors import AlreadyExists, Unavailable
from services.scheduler import wire
from services.scheduler.domain import commands as c
from services.scheduler.domain import events as e
from services.scheduler.domain.core import Core
from services.scheduler.domain.transfers import events as te
from services.scheduler.errors import LeadershipLostError, not_leader
from services.scheduler.eventbus import EventBus
from services.scheduler.metrics import COMMANDS
from services.scheduler.outgoing import Outgoing
from services.scheduler.ports import Clock, Leadership
from services.scheduler.signals import Signals
from services.scheduler.streams import Streams
from services.scheduler.transfer_driver import TransferDriver

REVISION = "revision"
"""The signal that the accounts' revision rose."""

_OLDEST = 3600.0
_SLICE = 200  # events taken in before their commands go out

Event = e.Event | te.Event


class Driver:
    """One term's driver. `run` until it raises LeadershipLostError or is cancelled."""

    def __init__(
        self, core: Core, leadership: Leadership, clock: Clock, outgoing: Outgoing, bus: EventBus
    ) -> None:
        self.core = core
        self.streams = Streams()
        self.signals = Signals()
        self._leadership = leadership
        self._clock = clock
        self._outgoing = outgoing
        self._bus = bus
        self.transfers: TransferDriver | None = None
        """Served beside the fleet's core; set before the first event."""
        self._events: deque[tuple[Event, asyncio.Future[None] | None]] = deque()
        self._news = asyncio.Event()
        self._ended = False
        self._carry: dict[type[Any], Callable[[Any], None]] = self._table()

    def tell(self, event: Event) -> None:
        """Queues an event. After the end of the term it is dropped."""
        if not self._ended:
            self._events.append((event, None))
            self._news.set()

    async def ask(self, event: Event) -> None:
        """Queues an event and waits until the core has taken it in. Raises Unavailable (NOT_LEADER)."""
        if self._ended:
            raise not_leader()
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._events.append((event, done))
        self._news.set()
        await done

    def now(self) -> float:
        """The time that events are told with; the core's own is that of its last event."""
        return self._clock.monotonic()

    def wall(self) -> float:
        """The time of day, seconds since 1970."""
        return self._clock.wall().timestamp()

    def ago(self, wall: float) -> float:
        """A time of day (seconds since 1970) by `now`; not in the future, at most an hour ago."""
        passed = self._clock.wall().timestamp() - wall
        return self.now() - min(max(0.0, passed), _OLDEST)

    def check(self) -> None:
        """Raises Unavailable (NOT_LEADER) when this process leads no more."""
        if self._ended or not self._leadership.valid():
            raise not_leader()

    async def run(self) -> None:
        """Feeds the core until the leadership ends."""
        try:
            while True:
                await self._wait()
                self._step()
                await asyncio.sleep(0)
        finally:
            self.end()

    def end(self) -> None:
        """Stops commanding at once; ends all streams and wakes everybody who waits. Idempotent."""
        self._ended = True
        self.streams.end_all(not_leader())
        self._bus.end(not_leader())
        self.signals.close()
        for _, done in self._events:
            if done is not None and not done.done():
                done.set_exception(not_leader())
        self._events.clear()

    async def _wait(self) -> None:
        if self._events:
            return
        self._news.clear()
        due = self._next_due()
        pause = None if due is None else max(0.0, due - self._clock.monotonic())
        try:
            async with asyncio.timeout(pause):
                await self._news.wait()
        except TimeoutError:
            self._events.append((e.Tick(), None))

    def _step(self) -> None:
        if not self._leadership.valid():
            raise LeadershipLostError
        now, wall = self._clock.monotonic(), self._clock.wall().timestamp()
        self.core.fleet.watched = self._bus.watched
        slice_size = min(len(self._events), _SLICE)
        for index in range(slice_size):
            event = self._events[index][0]
            self._apply(event, now, wall)
            if isinstance(event, e.AccountsChanged | e.AccountsSnapshot):
                self.signals.changed(REVISION)
        for command in self.core.take():
            self._carry[type(command)](command)
        if self.transfers is not None:
            self.transfers.round(now, wall)
        for _ in range(slice_size):
            # Only now taken off the queue: should the core fail, `end` tells everybody who waits.
            _, done = self._events.popleft()
            if done is not None and not done.done():
                done.set_result(None)

    def _apply(self, event: Event, now: float, wall: float) -> None:
        if not isinstance(event, te.Event):
            self.core.apply(event, now, wall)
        elif self.transfers is not None:
            self.transfers.apply(event, now, wall)

    def _next_due(self) -> float | None:
        dues = [self.core.next_due, self.transfers.next_due if self.transfers is not None else None]
        return min((due for due in dues if due is not None), default=None)

    def _table(self) -> dict[type[Any], Callable[[Any], None]]:
        to_worker = (c.StartSessions, c.StopSessions, c.SetChat, c.ConfigureSessions, c.Drain, c.FleetUsers)
        return {
            **dict.fromkeys(to_worker, self._to_worker),
            c.CloseStream: self._close_stream,
            c.SetWanted: self._outgoing.set_wanted,
            c.ReportCrashes: self._outgoing.report_crashes,
            c.RememberWorker: self._outgoing.remember,
            c.PublishSession: self._publish_session,
            c.PublishWorker: lambda command: self._bus.publish(wire.worker_event(command)),
            c.CallProgressed: lambda command: self.signals.changed(command.key),
            c.DrainProgressed: lambda command: self.signals.changed(drain_signal(command.worker_id)),
        }

    def _publish_session(self, command: c.PublishSession) -> None:
        if self._bus.watched:
            self._bus.publish(wire.session_event(command))

    def _to_worker(self, command: c.WorkerCommand) -> None:
        stream = self.streams.get(command.attachment)
        if stream is not None:
            stream.send(wire.worker_message(self.core.fleet.term, command))
            COMMANDS.labels(type(command).__name__).inc()

    def _close_stream(self, command: c.CloseStream) -> None:
        stream = self.streams.get(command.attachment)
        if stream is None:
            return
        if command.name_taken:
            stream.end(AlreadyExists(command.detail, reason="WORKER_ID_TAKEN"))
        else:
            stream.end(Unavailable(command.detail, reason="STREAM_REPLACED"))


def drain_signal(worker_id: str) -> str:
    """The signal that a drain has news."""
    return f"drain {worker_id}"
