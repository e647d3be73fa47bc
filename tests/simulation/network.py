"""The network between simulated processes: calls that get lost, late, doubled or unanswered, and streams
that keep their order as TCP does. A link may be cut in one direction only.

Knows nothing of what is said.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import Any

from services.runtime.errors import TgfleetError, Unavailable
from tests.simulation.loop import ProcessLoop, World

_LATE = 0.02
_TWICE = 0.01
_RELEASE_AGAIN = 0.1
_AGAIN_LATEST = 4.0
"""Seconds after which the copy of a release arrives at the latest: it must not free what is held anew."""


class Process:
    """One process: a name, a life, and what others may call on it."""

    def __init__(self, name: str, life: int, loop: ProcessLoop) -> None:
        self.name = name
        self.incarnation = f"{name}.{life}"
        self.loop = loop
        self.service: Any = None

    @property
    def alive(self) -> bool:
        return not self.loop.dead


class Network:
    """Who can reach whom, and how long it takes."""

    def __init__(self, world: World, rng: random.Random) -> None:
        self.world = world
        self.rng = rng
        self.processes: dict[str, Process] = {}
        self.cut: dict[tuple[str, str], int] = {}
        self.slow = 0.0
        """Seconds that a message may take longer than usual."""

    def reaches(self, source: str, target: str) -> bool:
        return (source, target) not in self.cut

    def delay(self) -> float:
        rng = self.rng
        usual = 0.001 + 0.015 * rng.random()
        if rng.random() < _LATE:
            usual += 1.5 * rng.random()
        return usual + (self.slow * rng.random() if self.slow else 0.0)

    async def call(self, source: Process, target: str, method: str, *args: Any, limit: float) -> Any:
        """A unary call. Raises Unavailable when there is no answer in time; what it did is then unknown."""
        answer: asyncio.Future[Any] = source.loop.create_future()
        self._ask(source, target, method, args, answer)
        if self.rng.random() < _TWICE:
            self._ask(source, target, method, args, answer)
        if method == "release" and self.rng.random() < _RELEASE_AGAIN:
            later = _AGAIN_LATEST * self.rng.random()
            source.loop.call_later(later, self._ask, source, target, method, args, answer)
        try:
            async with asyncio.timeout(limit):
                return await answer
        except TimeoutError as error:
            raise Unavailable(f"{target} did not answer.", reason="NO_ANSWER") from error

    def _ask(
        self, source: Process, target: str, method: str, args: tuple[Any, ...], answer: asyncio.Future[Any]
    ) -> None:
        process = self.processes[target]
        if not self.reaches(source.name, target) or not source.alive:
            return
        when = self.world.now + self.delay()
        if process.alive:
            process.loop.deliver(when, self._serve, source, process, method, args, answer)
        else:
            refused = Unavailable(f"{target} is down.", reason="DOWN")
            source.loop.deliver(when, _set, answer, None, refused)

    def _serve(
        self,
        source: Process,
        process: Process,
        method: str,
        args: tuple[Any, ...],
        answer: asyncio.Future[Any],
    ) -> None:
        try:
            work = getattr(process.service, method)(*args)
        except TgfleetError as error:
            self._answer(source, process, answer, None, error)
            return
        if not asyncio.iscoroutine(work):
            self._answer(source, process, answer, work, None)
        else:
            process.loop.create_task(self._work(source, process, work, answer))

    async def _work(
        self, source: Process, process: Process, work: Coroutine[Any, Any, Any], answer: asyncio.Future[Any]
    ) -> None:
        try:
            result = await work
        except TgfleetError as error:
            self._answer(source, process, answer, None, error)
        else:
            self._answer(source, process, answer, result, None)

    def _answer(
        self,
        source: Process,
        process: Process,
        answer: asyncio.Future[Any],
        result: Any,
        error: BaseException | None,
    ) -> None:
        if self.reaches(process.name, source.name) and process.alive:
            source.loop.deliver(self.world.now + self.delay(), _set, answer, result, error)


def _set(answer: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if answer.done():
        return
    if error is not None:
        answer.set_exception(error)
    else:
        answer.set_result(result)


class Pipe:
    """One direction of a stream: in order, and broken for good once a message is lost."""

    def __init__(self, net: Network, source: Process, target: Process) -> None:
        self._net = net
        self._source = source
        self._target = target
        self._last = 0.0
        self.broken = False

    def send(self, receive: Callable[..., None], *args: Any) -> None:
        if not self._target.alive or not self._net.reaches(self._source.name, self._target.name):
            self.broken = True
        if self.broken or not self._source.alive:
            return
        self._last = max(self._last, self._net.world.now + self._net.delay())
        self._target.loop.deliver(self._last, receive, *args)
