"""The driver: one task that feeds the core, and nothing goes out once the leadership is over."""

from __future__ import annotations

import asyncio
import random

import pytest

from services.runtime.errors import Unavailable
from services.scheduler.domain import events as e
from services.scheduler.domain.core import Core
from services.scheduler.domain.model import CallKind, Report, Rules, SessionState, Token
from services.scheduler.driver import Driver
from services.scheduler.errors import LeadershipLostError
from services.scheduler.eventbus import EventBus
from services.scheduler.handlers import FleetCallRequest, run_fleet_call
from services.scheduler.leader import Leader
from services.scheduler.outgoing import Outgoing
from services.scheduler.ports import Resolved, Selection
from tests.unit.scheduler.fakes import (
    FakeLeadership,
    FakeRegistry,
    FakeStore,
    LoopClock,
    transfers_beside,
)
from tests.unit.scheduler.stage import accounts
from tgfleet.gateway.v1 import event_pb2

pytestmark = [pytest.mark.looptime(start=1000), pytest.mark.asyncio]


class Seat:
    """A leader with fakes around it, and one worker's stream."""

    def __init__(self, *names: str) -> None:
        self.registry = FakeRegistry()
        self.registry.resolved = Resolved(list(names), 1)
        self.leadership = FakeLeadership()
        clock = LoopClock()
        rules = Rules(start_rate=0.0, lease_ttl=1000.0, heartbeat=300.0)
        wall = clock.wall().timestamp()
        core = Core(rules, 3, random.Random(0), (), now=clock.monotonic(), wall=wall)
        outgoing = Outgoing(self.registry, FakeStore(), self.leadership, 3, random.Random(0))
        self.bus = EventBus()
        self.driver = Driver(core, self.leadership, clock, outgoing, self.bus)
        self.leader = Leader(
            3, self.driver, self.bus, self.registry, transfers_beside(self.driver, self.leadership)
        )
        self.stream = self.driver.streams.open("w1")
        self.tasks = [
            asyncio.create_task(self.driver.run()),
            asyncio.create_task(outgoing.run_wishes(self.driver.tell)),
        ]
        self.driver.tell(e.AccountsSnapshot(accounts(*names), 1))
        self.driver.tell(e.WorkerHello("w1", "i", self.stream.attachment, 5000))

    def runs(self, command_id: str, *names: str) -> None:
        reports = [
            Report(name, SessionState.RUNNING, Token(1, number + 1), command_id)
            for number, name in enumerate(names)
        ]
        self.driver.tell(e.WorkerReports("w1", self.stream.attachment, reports))

    async def start_command(self) -> str:
        while True:
            message = await self.stream.next()
            if message.WhichOneof("message") == "start":
                assert message.term == 3
                return str(message.start.command_id)

    async def close(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


def request(remaining: float = 60.0, wait_for: float = 0.0) -> FleetCallRequest:
    return FleetCallRequest(CallKind.START_ALL, Selection((), {}), "r", wait_for, remaining, 0.0)


async def test_results_come_in_few_messages_and_the_first_at_once() -> None:
    names = [f"a{n}" for n in range(600)]
    seat = Seat(*names)
    loop = asyncio.get_running_loop()
    arrived: list[tuple[float, int]] = []

    async def caller() -> None:
        batches = run_fleet_call(seat.leader, request())
        await anext(batches)
        arrived.extend([(loop.time(), len(batch)) async for batch in batches])

    task = asyncio.create_task(caller())
    command_ids = [await seat.start_command() for _ in range(2)]
    began = loop.time()
    for number in range(100):
        seat.runs(command_ids[0], names[number])
        await asyncio.sleep(0.001)
    seat.runs(command_ids[0], *names[100:128])
    seat.runs(command_ids[1], *names[128:])
    await task
    assert sum(count for _, count in arrived) == 600
    assert arrived[0] == (pytest.approx(began, abs=0.005), 1)
    assert max(count for _, count in arrived) <= 256
    assert len(arrived) <= 12
    assert arrived[-1][0] - began < 0.2
    await seat.close()


async def test_the_rest_is_answered_shortly_before_the_callers_deadline() -> None:
    seat = Seat("a", "b")
    loop = asyncio.get_running_loop()
    began = loop.time()
    told = []
    async for batch in run_fleet_call(seat.leader, request(remaining=10.0)):
        told.extend(result for result in batch if not isinstance(result, str))
    assert [r.verdict.reason.name for r in told] == ["STILL_STARTING", "STILL_STARTING"]
    assert 8.5 < loop.time() - began < 10.0
    await seat.close()


async def test_nothing_is_commanded_once_the_leadership_is_over() -> None:
    seat = Seat("a")
    await seat.stream.next()
    seat.leadership.leads = False
    seat.driver.tell(e.CallStarted("r", CallKind.START_ALL, ["a"], 60.0))
    with pytest.raises(LeadershipLostError):
        await seat.tasks[0]
    with pytest.raises(Unavailable) as ended:
        await seat.stream.next()
    assert ended.value.reason == "NOT_LEADER"
    with pytest.raises(Unavailable):
        await seat.driver.ask(e.Tick())
    with pytest.raises(Unavailable):
        seat.driver.check()
    assert seat.registry.wishes == []
    await seat.close()


async def test_a_call_in_progress_ends_when_the_leadership_does() -> None:
    seat = Seat("a")
    results = run_fleet_call(seat.leader, request())
    assert await anext(results) == ["a"]
    asyncio.get_running_loop().call_later(5, seat.driver.end)
    with pytest.raises(Unavailable) as ended:
        await anext(results)
    assert ended.value.reason == "NOT_LEADER"
    await seat.close()


async def test_whoever_waits_for_a_core_that_fails_is_told() -> None:
    seat = Seat("a")
    await seat.driver.ask(e.Tick())
    with pytest.raises(Unavailable):
        await seat.driver.ask(object())  # type: ignore[arg-type]
    with pytest.raises(KeyError):
        await seat.tasks[0]
    await seat.close()


async def test_a_slow_watcher_loses_the_oldest_events_and_is_told_how_many() -> None:
    bus = EventBus()
    watcher = bus.watch(lambda event: event.name != "other")
    assert bus.watched
    for number in range(2_010):
        bus.publish(event_pb2.Event(name=str(number)))
        bus.publish(event_pb2.Event(name="other"))
    first = await watcher.next()
    assert first[0].events_lost.count == 10
    assert first[1].name == "10"
    seen = [event.name for event in first[1:]]
    while len(seen) < 2_000:
        seen.extend(event.name for event in await watcher.next())
    assert seen == [str(number) for number in range(10, 2_010)]
    bus.end(Unavailable("over"))
    with pytest.raises(Unavailable):
        await watcher.next()
    bus.leave(watcher)
    assert not bus.watched
