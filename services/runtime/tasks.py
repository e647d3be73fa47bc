"""Background tasks that belong to somebody: their failure is never lost, their end is always awaited.

* `TaskOwner`: spawn tasks; the first that fails is reported to `on_failure` (usually `life.fail`, which stops
  the process); `close()` cancels all and waits, within a limit.
* `steadily(work)`: for a TaskGroup's tasks, which else may end without a word.
* `cancel_and_wait(task, limit)` and `backoff(attempt, base, cap, rng)`.
"""

import asyncio
import random
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar

from services.runtime.logs import get_logger

T = TypeVar("T")

_log = get_logger("runtime.tasks")

DEFAULT_LIMIT = 5.0
"""Seconds that cancelled tasks get to finish."""


class TaskOwner:
    """Owns background tasks. `async with TaskOwner(life.fail) as tasks:`, or call `close()` yourself."""

    def __init__(self, on_failure: Callable[[BaseException], None], limit: float = DEFAULT_LIMIT) -> None:
        self._on_failure = on_failure
        self._limit = limit
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closed = False

    def spawn(self, work: Coroutine[Any, Any, Any], *, name: str) -> asyncio.Task[Any]:
        """Starts the work. Raises RuntimeError after `close()`."""
        if self._closed:
            work.close()
            raise RuntimeError(f"{name} was started after its owner had closed")
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    async def close(self) -> None:
        """Cancels what still runs and waits for it. Idempotent."""
        self._closed = True
        await cancel_and_wait(*self._tasks, limit=self._limit)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            error: BaseException | None = None if task.cancelling() else _stray(task)
        else:
            error = task.exception()
        if error is not None:
            _log.error("background task failed", task=task.get_name(), exc_info=error)
            self._on_failure(error)


async def steadily(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Does the work. A CancelledError that nobody asked for, as a library may raise when its connection ends,
    becomes a RuntimeError: asyncio would take it for the task's wanted end, and the loop would be missing."""
    try:
        return await work()
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling() > 0:
            raise
        raise _stray(task) from error


def _stray(task: asyncio.Task[Any]) -> RuntimeError:
    return RuntimeError(f"{task.get_name()} was cancelled by nobody")


async def cancel_and_wait(*tasks: asyncio.Task[Any], limit: float = DEFAULT_LIMIT) -> bool:
    """Cancels the tasks and waits until they are done, at most `limit` seconds; False if one is left."""
    running = [task for task in tasks if not task.done() and task is not asyncio.current_task()]
    for task in running:
        task.cancel()
    if not running:
        return True
    _, pending = await asyncio.wait(running, timeout=limit)
    for task in pending:
        _log.error("task does not end when cancelled", task=task.get_name(), seconds=limit)
    return not pending


def backoff(attempt: int, base: float, cap: float, rng: random.Random) -> float:
    """Seconds to wait before attempt number `attempt` (1 is the first repetition): between half and all of
    `base * 2**(attempt-1)`, never over `cap`. The jitter keeps a fleet from coming back all at once."""
    full = min(cap, base * 2.0 ** min(attempt - 1, 60))
    return full * (0.5 + rng.random() / 2)
