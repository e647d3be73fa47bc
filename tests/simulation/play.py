"""One history: builds the world from a seed, lets the faults happen, mends everything, and waits until
all runs that should.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from services.scheduler.domain.model import AccountSpec
from tests.simulation import faults
from tests.simulation.bugs import NONE, Bug
from tests.simulation.judge import Judge
from tests.simulation.loop import ProcessLoop, World
from tests.simulation.network import Network, Process
from tests.simulation.outside import Etcd, key_of
from tests.simulation.registry import RegistryService
from tests.simulation.scheduler import SchedulerProcess, rules
from tests.simulation.worker import WorkerProcess

TTL, SETTLE = 3.0, 2.0
"""T and S, seconds."""
_DRIFT = 0.01
_PATIENCE = 60.0
"""True seconds after the last fault within which everything must be as wanted."""
_LOOK = 1.0
_QUIET = 2.0


@dataclass(frozen=True)
class Verdict:
    """What became of a history."""

    seed: int
    faults: tuple[str, ...]
    trace: str
    """The hash of the trace."""
    lines: list[str]
    seconds: float
    uses: int


class Play:
    """A world and its seed."""

    def __init__(self, seed: int, bug: Bug = NONE) -> None:
        self.seed = seed
        self.bug = bug
        self.rng = rng = random.Random(seed)
        self.world = World()
        self.judge = Judge(SETTLE)
        self.net = Network(self.world, random.Random(rng.random()))
        self.rules = rules(TTL, SETTLE)
        self.lines: list[tuple[Any, ...]] = []
        self.workers = [f"w{n}" for n in range(1, rng.randint(2, 3) + 1)]
        self.registries = [f"r{n}" for n in range(1, rng.randint(1, 2) + 1)]
        self.schedulers = ["s1", "s2"]
        self.accounts = [f"acc_{n}" for n in range(1, rng.randint(4, 6) + 1)]
        self.clocks_stand_still = rng.random() < 0.3
        """Whether monotonic clocks miss the time in which a process is frozen; then none is set by hand."""
        self._lives: dict[str, int] = {}
        self._hand = ProcessLoop(self.world, 1.0)
        specs = [AccountSpec(one, one, auth_key_id=key_of(one), wanted_running=True) for one in self.accounts]
        self.database = bug.database(self.judge, self._hand, specs)
        etcd_clock = ProcessLoop(self.world, 1 + _DRIFT * (2 * rng.random() - 1))
        self.etcd = Etcd(bug.store(etcd_clock, timedelta(seconds=TTL)), etcd_clock)
        for name in ("etcd", "db", *self.registries, *self.schedulers, *self.workers):
            self.start(name)

    def trace(self, *fields: Any) -> None:
        """Notes what happened."""
        self.lines.append((round(self.world.now, 6), *fields))

    def at(self, when: float, do: Callable[..., None], *args: Any) -> None:
        """Puts something into the calendar."""
        self._hand.deliver(when, do, *args)

    def run(self) -> Verdict:
        """The whole history."""
        with self.bug.planted():
            faults.draw(self, random.Random(self.rng.random()))
            for at in (3.0, 8.0, 14.0):
                self.at(at, self.etcd.snapshot)
                self.at(at, self.database.snapshot)
            self.world.run(faults.END)
            self._mend_all()
            self._wait_until_well()
            for process in self.net.processes.values():
                self._bury(process)
        text = "\n".join(" ".join(map(str, line)) for line in self.lines)
        digest = hashlib.sha256(text.encode()).hexdigest()
        return Verdict(
            self.seed,
            tuple(self.judge.faults),
            digest,
            text.splitlines(),
            self.world.now,
            self.judge.uses,
        )

    def _wait_until_well(self) -> None:
        ends = self.world.now + _PATIENCE
        while not self.judge.faults:
            self.world.run(self.world.now + _LOOK)
            wrong = self._not_as_wanted()
            if not wrong:
                break
            if self.world.now >= ends:
                self.judge.never_ran(self.world.now, wrong)
        for process in self.net.processes.values():
            for error in process.loop.errors:
                self.judge.failed(self.world.now, process.incarnation, error)

    def _not_as_wanted(self) -> list[str]:
        since = self.world.now - _QUIET
        return [
            account
            for account, spec in self.database.specs.items()
            if self.judge.in_use(key_of(account), since) != spec.wanted_running
        ]

    def _mend_all(self) -> None:
        self.net.cut.clear()
        self.net.slow = 0.0
        for name, process in list(self.net.processes.items()):
            if not process.alive:
                self.start(name)
            elif process.loop.frozen:
                self.thaw(name, 0.0)
        self.trace("mended")

    def _bury(self, process: Process) -> None:
        for error in process.loop.errors:
            self.judge.failed(self.world.now, process.incarnation, error)
        process.loop.kill()

    # What can happen; see `faults`.

    def start(self, name: str) -> None:
        """A new life of a process that is not running."""
        if name in self.net.processes and self.net.processes[name].alive:
            return
        self._lives[name] = life = self._lives.get(name, 0) + 1
        loop = ProcessLoop(self.world, 1 + _DRIFT * (2 * self.rng.random() - 1))
        self.net.processes[name] = process = Process(name, life, loop)
        self.trace("starts", process.incarnation)
        rng = random.Random(self.rng.random())
        loop.call_soon(self._wire, process, rng)

    def _wire(self, process: Process, rng: random.Random) -> None:
        kind = process.name[0]
        if process.name == "etcd":
            process.service = self.etcd
        elif process.name == "db":
            process.service = self.database
        elif kind == "r":
            ttl, settle = timedelta(seconds=TTL), timedelta(seconds=SETTLE)
            service = RegistryService(self.net, process, self.bug.generations, ttl, settle)
            process.service = service
            process.loop.spawn(service.generations.watch())
        elif kind == "s":
            process.service = SchedulerProcess(self, process, rng)
        else:
            process.service = WorkerProcess(self, process, rng)

    def kill(self, name: str) -> None:
        process = self.net.processes[name]
        if process.alive:
            self.trace("dies", process.incarnation)
            self._bury(process)

    def freeze(self, name: str) -> None:
        process = self.net.processes[name]
        if process.alive and not process.loop.frozen:
            self.trace("freezes", process.incarnation)
            process.loop.freeze()

    def thaw(self, name: str, slept: float) -> None:
        process = self.net.processes[name]
        if process.alive and process.loop.frozen:
            self.trace("thaws", process.incarnation, slept)
            process.loop.thaw(slept)

    def cut(self, links: list[tuple[str, str]]) -> None:
        self.trace("cut", links)
        for link in links:
            self.net.cut[link] = self.net.cut.get(link, 0) + 1

    def mend(self, links: list[tuple[str, str]]) -> None:
        self.trace("mend", links)
        for link in links:
            left = self.net.cut.pop(link, 0) - 1
            if left > 0:
                self.net.cut[link] = left

    def slow(self, seconds: float) -> None:
        self.trace("slow", seconds)
        self.net.slow = seconds

    def jump(self, name: str, seconds: float) -> None:
        self.trace("jumps", name, seconds)
        self.net.processes[name].loop.wall_shift += seconds

    def wipe(self, _index: int) -> None:
        self.trace("etcd is empty")
        self.etcd.wipe()

    def restore(self, index: int) -> None:
        self.trace("etcd is restored")
        self.etcd.restore(index)

    def restore_database(self, index: int) -> None:
        self.trace("database is restored")
        self.database.restore(index)

    def want(self, account_id: str, running: bool) -> None:
        self.trace("wanted", account_id, running)
        self.database.want(account_id, running=running)


def play(seed: int, bug: Bug = NONE) -> Verdict:
    """Runs one history."""
    return Play(seed, bug).run()
