"""The life of a prepared fleet: start the children, tell everybody when all is serving, keep them, stop them.

Must not know how a plan came about (`prepare`) or what a child is (`domain.fleet`).
"""

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any

from services.runtime.errors import TgfleetError
from services.runtime.lifeline import Lifeline, watch_lifeline
from services.runtime.tasks import cancel_and_wait
from services.standalone.adapters.etcd_binary import put_aside
from services.standalone.adapters.log_files import LogFiles
from services.standalone.adapters.processes import ProcessLauncher
from services.standalone.adapters.ready_file import ReadyFiles
from services.standalone.bookkeeper import Bookkeeper
from services.standalone.console import Console
from services.standalone.domain.children import ChildSpec
from services.standalone.prepare import Prepared
from services.standalone.supervisor import StartError, Supervisor

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_FORCED = 130
_FORCE_AT_SIGNAL = 3

FirstSteps = Callable[[], Awaitable[Mapping[str, Any]]]
"""Gives what the ready files say beyond the usual. May raise TgfleetError."""


class StopRequests:
    """Who wants the fleet to stop, and how fast."""

    def __init__(self, console: Console) -> None:
        self.stop = asyncio.Event()
        self.hurry = asyncio.Event()
        self.reason = ""
        self._console = console
        self._signals = 0

    def listen(self) -> None:
        """Takes the signals, and the end of whoever started us if that gave us a lifeline."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._on_signal, number)
        watch_lifeline(lambda: loop.call_soon_threadsafe(self.request, "whoever started it is gone"))

    def request(self, reason: str) -> None:
        """Asks for a stop; the first reason counts."""
        self.reason = self.reason or reason
        self.stop.set()

    def _on_signal(self, number: signal.Signals) -> None:
        self._signals += 1
        if self._signals >= _FORCE_AT_SIGNAL:
            os._exit(EXIT_FORCED)  # the children see the end of their lifeline
        if self._signals > 1:
            self._console.hurry()
            self.hurry.set()
        self.request("Ctrl-C" if number is signal.SIGINT else number.name)


async def run_fleet(
    fleet: Prepared, specs: Sequence[ChildSpec], console: Console, first_steps: FirstSteps
) -> int:
    """Runs the children until a stop is asked for or the fleet cannot go on; the exit code.

    `first_steps` is done when all children are ready, before the fleet counts as serving.
    """
    requests = StopRequests(console)
    requests.listen()
    console.begin(fleet.data.root, fleet.plan.times, [spec.name for spec in specs])
    for note in fleet.notes:
        console.note(note)
    paths = (fleet.data.ready_file, fleet.arguments.ready_file)
    books = Bookkeeper(console, fleet.lock, ReadyFiles([path for path in paths if path]))
    logs = LogFiles(fleet.data.logs)
    with Lifeline() as lifeline:
        launcher = ProcessLauncher(lifeline, fleet.lock.fd, fleet.environ, logs, fleet.plan.home.root)
        life = _Life(fleet, console, books, requests, first_steps)
        code = await life.run(Supervisor(specs, launcher, books, fleet.rng))
        if life.etcd_is_to_blame and put_aside(fleet.plan.home.etcd) and not requests.stop.is_set():
            console.note(
                "etcd cannot use its data, which is put aside; trying once more (leases wait T + S)."
            )
            code = await life.run(Supervisor(specs, launcher, books, fleet.rng))
    return code


class _Life:
    """From the start of all children to their stop."""

    def __init__(
        self,
        fleet: Prepared,
        console: Console,
        books: Bookkeeper,
        requests: StopRequests,
        first_steps: FirstSteps,
    ) -> None:
        self._fleet = fleet
        self._console = console
        self._books = books
        self._requests = requests
        self._first_steps = first_steps
        self.etcd_is_to_blame = False

    async def run(self, supervisor: Supervisor) -> int:
        """The exit code."""
        supervisor.start()
        reason = "the start failed"
        try:
            await _until(self._requests.stop, self._serve(supervisor))
            code, reason = 0, self._requests.reason
        except StartError as error:
            self._console.complain(error.message, error.last_lines)
            self.etcd_is_to_blame = error.child == "etcd"
            code = EXIT_USAGE if error.usage else EXIT_FAILED
        except (TgfleetError, OSError) as error:
            self._console.complain(str(error))
            code = EXIT_FAILED
        finally:
            self._books.ready_files.remove()
            self._console.will_stop(reason)
            await supervisor.stop(self._requests.hurry)
            self._console.end()
        return code

    async def _serve(self, supervisor: Supervisor) -> None:
        """Ends only by an exception."""
        began = time.monotonic()
        await supervisor.serving()
        watching = asyncio.create_task(supervisor.watch(), name="watch")
        try:
            facts = await self._first_steps()
            self._books.publish({**self._books.facts(self._fleet), **facts})
            token_file = self._fleet.plan.home.token
            self._console.serving(self._fleet.plan.gateway_listen, token_file, time.monotonic() - began)
            await watching
        finally:
            await cancel_and_wait(watching)


async def _until(stop: asyncio.Event, work: Coroutine[Any, Any, None]) -> None:
    """Does the work until it ends or the event is set, whichever is first. Raises what the work raises."""
    working = asyncio.create_task(work)
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            await working
    finally:
        await cancel_and_wait(working, stopping)
