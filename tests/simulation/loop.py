"""Virtual time: one calendar for the world, and for each process an event loop that can be frozen or
killed and whose clock may be wrong.

Only what the shipped code uses of an event loop is here. Nothing ever sleeps. Knows nothing of leases.
"""

from __future__ import annotations

import asyncio
import heapq
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any

_BEGIN = datetime(2026, 11, 20, 12, tzinfo=UTC)
_EARLY = 1e-9


class Handle:
    """Something that a process will do."""

    __slots__ = ("args", "callback", "due", "loop")

    def __init__(self, loop: ProcessLoop, due: float, callback: Callable[..., Any], args: tuple[Any, ...]):
        self.loop = loop
        self.due = due
        """By the process's own clock."""
        self.callback: Callable[..., Any] | None = callback
        self.args = args

    def cancel(self) -> None:
        self.callback = None

    def cancelled(self) -> bool:
        return self.callback is None

    def when(self) -> float:
        return self.due


class World:
    """True time, and everything that will happen."""

    def __init__(self) -> None:
        self.now = 0.0
        self._order = 0
        self._calendar: list[tuple[float, int, Handle]] = []
        self._ready: deque[Handle] = deque()
        self._running: ProcessLoop | None = None

    def enter(self, loop: ProcessLoop | None) -> None:
        """Makes it the running loop. Only if it is another one: the call is slow."""
        if loop is not self._running:
            self._running = loop
            events._set_running_loop(loop)

    def put(self, when: float, handle: Handle) -> None:
        self._order += 1
        heapq.heappush(self._calendar, (when, self._order, handle))

    def put_now(self, handle: Handle) -> None:
        self._ready.append(handle)

    def run(self, until: float) -> None:
        """Lets everything happen up to a moment."""
        while True:
            while self._ready:
                self._do(self._ready.popleft())
            if not self._calendar or self._calendar[0][0] > until:
                break
            when, _, handle = heapq.heappop(self._calendar)
            self.now = max(self.now, when)
            self._do(handle)
        self.now = until
        self.enter(None)

    def _do(self, handle: Handle) -> None:
        callback, loop = handle.callback, handle.loop
        if callback is None or loop.dead:
            return
        if loop.frozen:
            loop.missed.append(handle)
        elif handle.due > loop.time() + _EARLY:  # its clock stood still meanwhile
            self.put(loop.world_time(handle.due), handle)
        else:
            self.enter(loop)
            callback(*handle.args)


class ProcessLoop(asyncio.AbstractEventLoop):
    """The event loop and the clocks of one process."""

    def __init__(self, world: World, rate: float) -> None:
        """`rate`: seconds that its monotonic clock counts in a true one."""
        self.world = world
        self.rate = rate
        self.wall_shift = 0.0
        self.frozen = False
        self.dead = False
        self.missed: list[Handle] = []
        self.errors: list[BaseException] = []
        self._born = world.now
        self._lost = 0.0
        self._tasks: list[asyncio.Task[Any]] = []

    def time(self) -> float:
        return 1000.0 + (self.world.now - self._born - self._lost) * self.rate

    def world_time(self, due: float) -> float:
        """When its clock will say that."""
        return self._born + self._lost + (due - 1000.0) / self.rate

    def monotonic(self) -> float:
        """With `wall`, this is a `services.runtime.clock.Clock`."""
        return self.time()

    def wall(self) -> datetime:
        return _BEGIN + timedelta(seconds=self.world.now + self.wall_shift)

    def freeze(self) -> None:
        self.frozen = True

    def thaw(self, slept: float) -> None:
        """Goes on; `slept`: seconds that its monotonic clock did not count."""
        self.frozen = False
        self._lost += slept
        missed, self.missed = self.missed, []
        for handle in missed:
            self.world.put(self.world.now, handle)

    def kill(self) -> None:
        """The process is gone. Its coroutines are unwound, but nothing that they do then leaves it."""
        self.dead = True
        queue: deque[Handle] = deque()

        def last_words(callback: Any, *args: Any, **_context: Any) -> Handle:
            handle = Handle(self, 0.0, callback, args)
            queue.append(handle)
            return handle

        self.call_soon = last_words  # type: ignore[method-assign]
        self.world.enter(self)
        for _ in range(20):
            alive = [task for task in self._tasks if not task.done()]
            for task in alive:
                task.cancel()
            while queue:
                handle = queue.popleft()
                if handle.callback is not None:
                    handle.callback(*handle.args)
            if not alive:
                break
        self.world.enter(None)

    # What asyncio asks of a loop.

    def call_soon(self, callback: Any, *args: Any, context: Any = None) -> Any:
        handle = Handle(self, 0.0, callback, args)
        self.world.put_now(handle)
        return handle

    def call_at(self, when: float, callback: Any, *args: Any, context: Any = None) -> Any:
        handle = Handle(self, when, callback, args)
        self.world.put(max(self.world.now, self.world_time(when)), handle)
        return handle

    def call_later(self, delay: float, callback: Any, *args: Any, context: Any = None) -> Any:
        return self.call_at(self.time() + delay, callback, *args)

    def deliver(self, when: float, callback: Callable[..., Any], *args: Any) -> None:
        """Something reaches the process from outside, at a true time."""
        self.world.put(when, Handle(self, 0.0, callback, args))

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(self, coro: Coroutine[Any, Any, Any], *, name: Any = None, context: Any = None) -> Any:  # type: ignore[override]
        task = asyncio.Task(coro, loop=self)
        self._tasks.append(task)
        if len(self._tasks) > 200:
            self._tasks = [one for one in self._tasks if not one.done()]
        return task

    def spawn(self, work: Coroutine[Any, Any, Any], *, name: str = "") -> asyncio.Task[Any]:
        """A task whose failure is a failure of the process."""
        task = self.create_task(work, name=name)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        if not task.cancelled() and task.exception() is not None and not self.dead:
            self.errors.append(task.exception())  # type: ignore[arg-type]

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if error is not None and not self.dead:
            self.errors.append(error)
