"""Hands events to everybody who watches. A watcher that is too slow loses its oldest events and is told how
many."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

from services.runtime.errors import TgfleetError
from tgfleet.gateway.v1 import event_pb2

_LIMIT = 2_000
"""Events kept for one watcher."""
_BATCH = 256


class Watcher:
    """One watcher's queue."""

    def __init__(self, wants: Callable[[event_pb2.Event], bool]) -> None:
        self._wants = wants
        self._events: deque[event_pb2.Event] = deque()
        self._lost = 0
        self._news = asyncio.Event()
        self._end: TgfleetError | None = None

    def offer(self, event: event_pb2.Event) -> None:
        """Takes an event if the watcher wants it."""
        if not self._wants(event):
            return
        if len(self._events) >= _LIMIT:
            self._events.popleft()
            self._lost += 1
        self._events.append(event)
        self._news.set()

    def end(self, error: TgfleetError) -> None:
        """Ends the watch; what is queued is still handed out."""
        self._end = error
        self._news.set()

    async def next(self) -> Sequence[event_pb2.Event]:
        """The next events, at least one. Raises the error that ended the watch."""
        while not self._events:
            if self._end is not None:
                raise self._end
            self._news.clear()
            await self._news.wait()
        batch = [event_pb2.Event(events_lost=event_pb2.EventsLost(count=self._lost))] if self._lost else []
        self._lost = 0
        while self._events and len(batch) < _BATCH:
            batch.append(self._events.popleft())
        return batch


class EventBus:
    """All watchers."""

    def __init__(self) -> None:
        self._watchers: set[Watcher] = set()

    def watch(self, wants: Callable[[event_pb2.Event], bool]) -> Watcher:
        """A new watcher; give it back with `leave`."""
        watcher = Watcher(wants)
        self._watchers.add(watcher)
        return watcher

    def leave(self, watcher: Watcher) -> None:
        """Idempotent."""
        self._watchers.discard(watcher)

    @property
    def watched(self) -> bool:
        """Whether anybody watches: if not, events need not be made."""
        return bool(self._watchers)

    def publish(self, event: event_pb2.Event) -> None:
        """Hands the event to everybody who wants it. Never waits."""
        for watcher in self._watchers:
            watcher.offer(event)

    def end(self, error: TgfleetError) -> None:
        """Ends all watches."""
        for watcher in self._watchers:
            watcher.end(error)
