"""The supervisor over fake children, in virtual time: what waits for what, and how long."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from services.standalone.domain.children import ChildSpec
from services.standalone.domain.restarts import BASE, CAP, STEADY_AFTER
from services.standalone.supervisor import StartError, Supervisor

pytestmark = pytest.mark.looptime


class FakeChild:
    """A process that is ready after a while, and dies after another while or when told."""

    pid = 1

    def __init__(self, ready_after: float, dies_after: float | None, code: int) -> None:
        self._ready_after = ready_after
        self._end: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        if dies_after is not None:
            asyncio.get_running_loop().call_later(dies_after, self._die, code)

    def _die(self, code: int) -> None:
        if not self._end.done():
            self._end.set_result(code)

    async def ready(self, limit: float) -> Mapping[str, Any] | None:
        await asyncio.wait({self._end}, timeout=min(limit, self._ready_after))
        return None if self._end.done() or self._ready_after > limit else {}

    async def wait(self) -> int:
        return await asyncio.shield(self._end)

    def terminate(self) -> None:
        asyncio.get_running_loop().call_later(0.5, self._die, 0)

    def kill(self) -> None:
        self._die(-9)


class Stage:
    """Launcher and observer in one: children behave by name, and everything is written down with its time."""

    def __init__(self, **behaviours: tuple[float, float | None, int]) -> None:
        self.behaviours = behaviours
        self.entries: list[tuple[float, str, str]] = []
        self.delays: list[float] = []
        self.quoted: list[Sequence[str]] = []

    def _note(self, name: str, what: str) -> None:
        self.entries.append((round(asyncio.get_running_loop().time(), 2), name, what))

    def times(self, name: str, what: str) -> list[float]:
        return [time for time, who, how in self.entries if (who, how) == (name, what)]

    async def launch(self, spec: ChildSpec) -> FakeChild:
        return FakeChild(*self.behaviours[spec.name])

    def last_lines(self, name: str) -> Sequence[str]:
        return [f"the last word of {name}"]

    def launched(self, name: str, pid: int) -> None:
        self._note(name, "launched")

    def ready(self, name: str, info: Mapping[str, Any]) -> None:
        self._note(name, "ready")

    def died(self, name: str, how: str, delay: float, last_lines: Sequence[str]) -> None:
        self._note(name, how)
        self.delays.append(delay)
        self.quoted.append(last_lines)

    def stopping(self, name: str) -> None:
        self._note(name, "stopping")

    def stopped(self, name: str, *, killed: bool) -> None:
        self._note(name, "killed" if killed else "stopped")


def supervise(stage: Stage, *specs: ChildSpec) -> Supervisor:
    supervisor = Supervisor(specs, stage, stage, random.Random(7))
    supervisor.start()
    return supervisor


def child(name: str, **more: Any) -> ChildSpec:
    return ChildSpec(name=name, argv=(), **more)


async def test_a_child_is_launched_when_what_it_needs_is_ready() -> None:
    stage = Stage(a=(3, None, 0), b=(1, None, 0))
    supervisor = supervise(stage, child("a"), child("b", needs=("a",)))
    await supervisor.serving()
    assert stage.times("a", "launched") == [0]
    assert stage.times("b", "launched") == [3]
    assert stage.times("b", "ready") == [4]
    await supervisor.stop(asyncio.Event())


async def test_a_child_that_keeps_dying_waits_longer_each_time_and_is_quoted_every_third() -> None:
    stage = Stage(a=(0.1, 1, 3))
    supervisor = supervise(stage, child("a"))
    await supervisor.serving()
    await asyncio.sleep(120)
    await supervisor.stop(asyncio.Event())
    for number, delay in enumerate(stage.delays):
        whole = min(CAP, BASE * 2**number)
        assert whole / 2 <= delay <= whole
    assert len(stage.delays) > 8
    assert [bool(lines) for lines in stage.quoted[:6]] == [False, False, True, False, False, True]


async def test_a_death_after_a_steady_life_is_a_first_one() -> None:
    stage = Stage(a=(0.1, STEADY_AFTER + 1, -11))
    supervisor = supervise(stage, child("a", restart_rest=5.0))
    await supervisor.serving()
    await asyncio.sleep(10 * STEADY_AFTER)
    await supervisor.stop(asyncio.Event())
    assert len(stage.times("a", "was killed by SIGSEGV")) >= 5
    assert all(5 + BASE / 2 <= delay <= 5 + BASE for delay in stage.delays)


@pytest.mark.parametrize(("behaviour", "usage", "tries"), [((9, 0.1, 3), False, 3), ((9, 0.1, 2), True, 1)])
async def test_a_start_that_cannot_succeed_fails(
    behaviour: tuple[float, float, int], usage: bool, tries: int
) -> None:
    stage = Stage(a=behaviour)
    supervisor = supervise(stage, child("a"))
    with pytest.raises(StartError) as caught:
        await supervisor.serving()
    assert (caught.value.child, caught.value.usage) == ("a", usage)
    assert caught.value.last_lines == ("the last word of a",)
    assert len(stage.times("a", "launched")) == tries
    await supervisor.stop(asyncio.Event())


async def test_a_stage_is_over_before_the_next_begins() -> None:
    stage = Stage(a=(0, None, 0), b=(0, None, 0), c=(0, None, 0))
    supervisor = supervise(
        stage, child("a", stop_stage=2), child("b", stop_stage=1), child("c", stop_stage=1)
    )
    await supervisor.serving()
    await supervisor.stop(asyncio.Event())
    assert stage.times("b", "stopping") == stage.times("c", "stopping")
    assert stage.times("a", "stopping") == stage.times("b", "stopped")
    assert stage.times("a", "stopped") == [1.0]


async def test_a_dead_child_is_not_started_again_once_the_stop_has_begun() -> None:
    stage = Stage(a=(0, 1, 3), b=(0, None, 0))
    supervisor = supervise(stage, child("a"), child("b"))
    await supervisor.serving()
    await asyncio.sleep(1.01)  # a is dead and waits for its next start
    await supervisor.stop(asyncio.Event())
    assert len(stage.times("a", "launched")) == 1
