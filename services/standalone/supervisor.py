"""Keeps children running: starts each when what it needs is ready, starts a dead one again, stops all in
order.

Must not know what the children are; `ports.Launcher` starts them and `ports.Observer` tells people. One
keeper task per child owns it from launch to the last wait; `stop` only sends signals and waits for the
keepers.
"""

import asyncio
import random
import signal
from collections.abc import Awaitable, Sequence
from typing import TypeVar

from services.runtime.errors import TgfleetError
from services.runtime.tasks import backoff, cancel_and_wait
from services.standalone.domain.children import ChildSpec, check_specs, stop_stages
from services.standalone.domain.restarts import BASE, CAP, Deaths
from services.standalone.ports import Child, Launcher, Observer

T = TypeVar("T")

EXIT_USAGE = 2
"""The exit code of a service that cannot use its settings: no use in trying again."""
HURRY_LIMIT = 2.0
"""Seconds that children get together once somebody is in a hurry."""
_KILL_LIMIT = 5.0
_BETWEEN_SIGNALS = 0.1


class StartError(TgfleetError):
    """A child would not come up. `last_lines` is the end of its log; `usage` says that its settings are to
    blame."""

    default_reason = "START_FAILED"

    def __init__(self, child: str, problem: str, last_lines: Sequence[str], *, usage: bool = False) -> None:
        super().__init__(f"{child} {problem}")
        self.child = child
        self.last_lines = tuple(last_lines)
        self.usage = usage


class _StopRequested(Exception):  # noqa: N818 - ends a keeper, is no error
    pass


class Supervisor:
    """Runs a set of children. `start`, `serving`, `stop`, each once."""

    def __init__(
        self, specs: Sequence[ChildSpec], launcher: Launcher, observer: Observer, rng: random.Random
    ) -> None:
        """Raises ValueError for specs that do not fit together."""
        check_specs(specs)
        self._specs = {spec.name: spec for spec in specs}
        self._launcher = launcher
        self._observer = observer
        self._rng = rng
        self._ready = {spec.name: asyncio.Event() for spec in specs}
        self._running: dict[str, Child] = {}
        self._keepers: dict[str, asyncio.Task[None]] = {}
        self._stopping = asyncio.Event()
        self._served = False

    @property
    def pids(self) -> dict[str, int]:
        """The processes that run now."""
        return {name: child.pid for name, child in self._running.items()}

    def start(self) -> None:
        """Begins; returns at once."""
        for name, spec in self._specs.items():
            self._keepers[name] = asyncio.create_task(self._keep(spec), name=f"keep {name}")

    async def serving(self) -> None:
        """Waits until every child is ready. Raises StartError when one will not come up."""
        all_ready = asyncio.create_task(self._all_ready(), name="all ready")
        try:
            await asyncio.wait({all_ready, *self._keepers.values()}, return_when=asyncio.FIRST_COMPLETED)
            self._raise_failure()
            await all_ready
            self._served = True
        finally:
            await cancel_and_wait(all_ready)

    async def watch(self) -> None:
        """Waits until the supervision itself fails, and raises that. Ends only so, or when cancelled."""
        await asyncio.wait(self._keepers.values(), return_when=asyncio.FIRST_EXCEPTION)
        self._raise_failure()

    async def stop(self, hurry: asyncio.Event) -> None:
        """Stops all, stage by stage, and kills what is late. Once `hurry` is set, all at once."""
        self._stopping.set()
        stages = stop_stages(self._specs.values())
        for stage in stages:
            await self._stop_together(stage, hurry)
            if hurry.is_set():
                break
        await self._hurry([name for stage in stages for name in stage if not self._gone(name)])

    async def _hurry(self, names: list[str]) -> None:
        """All that is left, at once."""
        for _ in range(2):  # a second signal means "hurry" to our services
            for name in names:
                self._terminate(name)
            await self._wait_for(names, _BETWEEN_SIGNALS)  # two at once would count as one
        await self._wait_for(names, HURRY_LIMIT)
        late = [name for name in names if not self._gone(name)]
        await self._kill(late)
        for name in names:
            self._observer.stopped(name, killed=name in late)

    async def _stop_together(self, names: list[str], hurry: asyncio.Event) -> None:
        alive = [name for name in names if name in self._running]
        for name in alive:
            self._observer.stopping(name)
            self._terminate(name)
        limit = max(self._specs[name].stop_limit for name in names)
        hurrying = asyncio.create_task(hurry.wait())
        waiting = asyncio.create_task(self._wait_for(names, limit))
        await asyncio.wait({hurrying, waiting}, return_when=asyncio.FIRST_COMPLETED)
        await cancel_and_wait(hurrying, waiting)
        if hurry.is_set():
            return
        late = [name for name in names if not self._gone(name)]
        await self._kill(late)
        for name in alive:
            self._observer.stopped(name, killed=name in late)

    async def _kill(self, names: list[str]) -> None:
        for name in names:
            if name in self._running:
                self._running[name].kill()
        await self._wait_for(names, _KILL_LIMIT)

    async def _wait_for(self, names: list[str], limit: float) -> None:
        keepers = [self._keepers[name] for name in names if name in self._keepers]
        if keepers:
            await asyncio.wait(keepers, timeout=limit)

    def _gone(self, name: str) -> bool:
        return name not in self._keepers or self._keepers[name].done()

    def _terminate(self, name: str) -> None:
        if name in self._running:
            self._running[name].terminate()

    def _raise_failure(self) -> None:
        for keeper in self._keepers.values():
            if keeper.done() and not keeper.cancelled():
                error = keeper.exception()
                if error is not None:
                    raise error

    async def _all_ready(self) -> None:
        for event in self._ready.values():
            await event.wait()

    async def _keep(self, spec: ChildSpec) -> None:
        deaths = Deaths()
        clock = asyncio.get_running_loop().time
        try:
            while True:
                for need in spec.needs:
                    await self._unless_stopping(self._ready[need].wait())
                born = clock()
                how = await self._live_once(spec)
                if self._stopping.is_set():
                    return
                deaths = deaths.after(clock() - born)
                delay = spec.restart_rest + backoff(deaths.in_a_row, BASE, CAP, self._rng)
                lines = self._launcher.last_lines(spec.name) if deaths.repeated else ()
                if lines and not self._served:
                    raise StartError(spec.name, f"does not come up: it {how}, again and again", lines)
                self._observer.died(spec.name, how, delay, lines)
                await self._unless_stopping(asyncio.sleep(delay))
        except _StopRequested:
            return

    async def _live_once(self, spec: ChildSpec) -> str:
        """One life of a child, and how it ended, as the rest of a sentence."""
        try:
            child = await self._launcher.launch(spec)
        except OSError as error:
            return f"could not be started ({error.strerror})"
        self._running[spec.name] = child
        self._observer.launched(spec.name, child.pid)
        if self._stopping.is_set():
            child.kill()
        try:
            info = await child.ready(spec.ready_limit)
            if info is None:
                return await self._never_ready(spec, child)
            if not self._stopping.is_set():
                self._observer.ready(spec.name, info)
                self._ready[spec.name].set()
            return _how_it_ended(await child.wait())
        finally:
            self._ready[spec.name].clear()
            self._running.pop(spec.name, None)

    async def _never_ready(self, spec: ChildSpec, child: Child) -> str:
        try:
            async with asyncio.timeout(1.0):
                code = await child.wait()
        except TimeoutError:
            child.kill()
            await child.wait()
            return f"did not get ready within {spec.ready_limit:.0f} s and was killed"
        if code == EXIT_USAGE and not self._served and not self._stopping.is_set():
            lines = self._launcher.last_lines(spec.name)
            raise StartError(spec.name, "cannot use its settings:", lines[-1:], usage=True)
        return _how_it_ended(code)

    async def _unless_stopping(self, work: Awaitable[T]) -> T:
        """The result of `work`; raises _StopRequested as soon as the stop begins."""
        working = asyncio.ensure_future(work)
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if self._stopping.is_set():
                raise _StopRequested
            return await working
        finally:
            await cancel_and_wait(working, stopping)


def _how_it_ended(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"
