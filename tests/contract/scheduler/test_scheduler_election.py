"""One suite for both elections: in memory, and in a real etcd."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Protocol

import pytest

from services.runtime.addresses import Endpoints
from services.runtime.clock import ManualClock, SystemClock
from services.scheduler.adapters.election import KEY, EtcdElection
from services.scheduler.adapters.etcd import EtcdClient, rpc_pb2, rpc_pb2_grpc
from services.scheduler.adapters.memory_election import MemoryBallot, MemoryElection
from services.scheduler.ports import Election
from tests.support.etcd import EtcdProcess

TTL = 2.0


class Place(Protocol):
    """Where candidates meet, and what can happen to it."""

    def candidate(self, name: str, clock: object = None) -> Election: ...
    async def cut(self) -> None: ...
    async def mend(self) -> None: ...
    async def lose_everything(self) -> None: ...


class MemoryPlace:
    def __init__(self) -> None:
        self._ballot = MemoryBallot(SystemClock())

    def candidate(self, name: str, clock: object = None) -> Election:
        return MemoryElection(self._ballot, TTL, clock or SystemClock())  # type: ignore[arg-type]

    async def cut(self) -> None:
        self._ballot.reachable = False

    async def mend(self) -> None:
        self._ballot.reachable = True

    async def lose_everything(self) -> None:
        self._ballot.forget()


class EtcdPlace:
    def __init__(self, folder: Path) -> None:
        self._etcd = EtcdProcess(folder).start()
        self._elections: list[EtcdElection] = []

    def candidate(self, name: str, clock: object = None) -> Election:
        client = EtcdClient(Endpoints.parse(self._etcd.endpoint), 0.4)
        election = EtcdElection(client, name, int(TTL), clock or SystemClock())  # type: ignore[arg-type]
        self._elections.append(election)
        return election

    async def cut(self) -> None:
        self._etcd.freeze()

    async def mend(self) -> None:
        self._etcd.thaw()

    async def lose_everything(self) -> None:
        client = EtcdClient(Endpoints.parse(self._etcd.endpoint), 2)
        stub = rpc_pb2_grpc.KVStub(client._channels[0])
        await stub.DeleteRange(rpc_pb2.DeleteRangeRequest(key=KEY))
        await client.close()

    async def close(self) -> None:
        for election in self._elections:
            await election.close()
        self._etcd.stop()


@pytest.fixture(params=["memory", "etcd"])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    if request.param == "memory":
        yield MemoryPlace()
        return
    made = EtcdPlace(tmp_path / "etcd")
    try:
        yield made
    finally:
        await made.close()


async def within(seconds: float, reached: Callable[[], bool]) -> None:
    async with asyncio.timeout(seconds):
        while not reached():
            await asyncio.sleep(0.02)


async def test_one_leads_and_the_other_stands_by(place: Place) -> None:
    first = await place.candidate("one").campaign()
    waiting = asyncio.create_task(place.candidate("two").campaign())
    await asyncio.sleep(TTL * 1.5)
    assert first.valid()
    assert not waiting.done()
    await first.resign()
    assert not first.valid()
    async with asyncio.timeout(TTL):
        second = await waiting
    assert second.valid()
    await second.resign()


async def test_of_many_candidates_one_leads(place: Place) -> None:
    tasks = [asyncio.create_task(place.candidate(str(n)).campaign()) for n in range(5)]
    done, rest = await asyncio.wait(tasks, timeout=TTL, return_when=asyncio.FIRST_COMPLETED)
    await asyncio.sleep(0.3)
    assert sum(task.done() for task in tasks) == 1
    for task in rest:
        task.cancel()
    await asyncio.gather(*rest, return_exceptions=True)
    await done.pop().result().resign()


async def test_a_leader_that_cannot_renew_steps_down_before_its_lease_ends(place: Place) -> None:
    leader = await place.candidate("one").campaign()
    loop = asyncio.get_running_loop()
    cut_at = loop.time()
    await place.cut()
    try:
        async with asyncio.timeout(TTL * 2):
            await leader.lost()
        assert not leader.valid()
        assert loop.time() - cut_at < TTL
    finally:
        await place.mend()
    await leader.resign()


async def test_a_frozen_leader_knows_at_once_that_its_time_is_over(place: Place) -> None:
    clock = ManualClock()
    leader = await place.candidate("one", clock).campaign()
    assert leader.valid()
    clock.advance(TTL * 0.7)
    assert leader.valid()
    clock.advance(TTL * 0.2)
    assert not leader.valid()
    clock.jump_wall(-100)
    assert not leader.valid()
    await leader.resign()


async def test_a_wall_clock_that_jumped_counts_as_time_passed(place: Place) -> None:
    clock = ManualClock()
    leader = await place.candidate("one", clock).campaign()
    clock.jump_wall(TTL)
    assert not leader.valid()
    await leader.resign()


async def test_a_leader_whose_place_was_wiped_steps_down(place: Place) -> None:
    leader = await place.candidate("one").campaign()
    await place.lose_everything()
    await within(TTL, lambda: not leader.valid())
    await leader.resign()


async def test_a_candidate_waits_while_nobody_answers(place: Place) -> None:
    await place.cut()
    waiting = asyncio.create_task(place.candidate("one").campaign())
    await asyncio.sleep(1)
    assert not waiting.done()
    await place.mend()
    async with asyncio.timeout(TTL * 3):
        leader = await waiting
    assert leader.valid()
    await leader.resign()
