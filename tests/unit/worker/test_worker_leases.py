"""Leases in virtual time: deadlines count from when the acknowledged renewal was sent, and nothing outlives
them."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.runtime.clock import FenceClock, ManualClock
from services.runtime.tasks import TaskOwner
from services.worker.acquirer import Acquirer, Granted
from services.worker.domain.chat_policy import ChatPolicy
from services.worker.domain.outcomes import Ending
from services.worker.domain.picture import Token
from services.worker.domain.telegram import Fenced
from services.worker.fakes.clock import LoopClock
from services.worker.fakes.registry import FakeRegistry
from services.worker.leases import LeaseKeeper
from services.worker.ports import Grant, NewLease, Release, Wanted
from services.worker.releaser import Releaser


def now() -> float:
    return asyncio.get_running_loop().time()


@dataclass
class Bench:
    registry: FakeRegistry
    keeper: LeaseKeeper
    releaser: Releaser
    acquirer: Acquirer

    def offer(self, name: str) -> Wanted:
        self.registry.grants[name] = Grant(Token(0, 0), 0, name, None, 0, name, "UTC", ChatPolicy())
        return Wanted(name)

    async def granted(self, name: str) -> Granted:
        got = await self.acquirer.acquire(self.offer(name))
        assert isinstance(got, Granted)
        return got


@asynccontextmanager
async def bench(ttl: float = 30.0, settle: float = 30.0) -> AsyncIterator[Bench]:
    clock, rng, failures = LoopClock(), random.Random(3), []  # type: ignore[var-annotated]
    registry = FakeRegistry(ttl, settle)
    keeper = LeaseKeeper(registry, FenceClock(clock))
    releaser = Releaser(registry, keeper, clock, rng)
    acquirer = Acquirer(registry, keeper, releaser, clock, patience=30.0, rng=rng)
    async with TaskOwner(failures.append) as loops:
        for loop in (keeper, releaser, acquirer):
            loops.spawn(loop.run(), name=type(loop).__name__)
        yield Bench(registry, keeper, releaser, acquirer)
    assert not failures


async def shut_at(got: Granted, limit: float = 300) -> float:
    shut = asyncio.Event()
    got.gate.on_shut(shut.set)
    async with asyncio.timeout(limit):
        await shut.wait()
    return now()


@pytest.mark.looptime(start=1000)
async def test_the_deadline_counts_from_when_the_renewal_was_sent() -> None:
    async with bench(ttl=30.0) as b:
        got = await b.granted("a")
        b.registry.delay = 4.0
        await asyncio.sleep(60)
        before = len(b.registry.renewals)
        while len(b.registry.renewals) == before:
            await asyncio.sleep(0.01)
        sent = b.registry.renewals[-1] - 4.0
        b.registry.down = True
        assert await shut_at(got) == pytest.approx(sent + 28, abs=0.05)
        with pytest.raises(Fenced):
            got.gate.check()


@pytest.mark.looptime(start=1000)
async def test_an_acquisition_that_was_repeated_counts_from_its_first_attempt() -> None:
    async with bench(ttl=30.0) as b:
        b.registry.answers_lost = 3
        asked = now()
        got = await b.granted("a")
        assert now() > asked + 0.5
        b.registry.down = True
        assert await shut_at(got) == pytest.approx(asked + 28, abs=0.1)


@pytest.mark.looptime(start=1000)
async def test_renewals_come_every_third_of_the_ttl_and_only_while_needed() -> None:
    async with bench(ttl=30.0) as b:
        got = await b.granted("a")
        await asyncio.sleep(95)
        gaps = [b - a for a, b in zip(b.registry.renewals, b.registry.renewals[1:], strict=False)]
        assert gaps
        assert all(gap == pytest.approx(10, abs=0.1) for gap in gaps)
        token, key = got.grant.token, got.grant.auth_key_id
        await b.releaser.give_back(Release("a", key, token, clean=True), got.lease)
        renewals = len(b.registry.renewals)
        await asyncio.sleep(100)
        assert len(b.registry.renewals) == renewals
        assert b.keeper.held() == []


@pytest.mark.looptime(start=1000)
@pytest.mark.parametrize("frozen", ["before it asks", "while it waits for the answer"])
async def test_a_lease_whose_time_is_over_is_not_revived(frozen: str) -> None:
    """Registries count on it when they renew by a generation that they read long ago."""
    clock, registry = ManualClock(), FakeRegistry()
    keeper = LeaseKeeper(registry, FenceClock(clock))
    keeper.adopt(NewLease(1, 30.0, 30.0), FenceClock(clock).mark())
    registry.leases[1] = now() + 60
    lease = keeper.find(1)
    assert lease is not None
    keeper.hold(lease)
    registry.delay = 1.0
    clock.advance(29 if frozen == "before it asks" else 15)
    renewing = asyncio.create_task(keeper.run())
    await asyncio.sleep(0.5)
    clock.advance(14)  # nobody has looked at the gate since
    await asyncio.sleep(1)
    renewing.cancel()
    assert lease.lost
    assert len(registry.renewals) == (0 if frozen == "before it asks" else 1)


@pytest.mark.looptime(start=1000)
async def test_sessions_share_a_lease_and_fall_with_it() -> None:
    async with bench() as b:
        first, second = await b.granted("a"), await b.granted("b")
        assert first.lease is second.lease
        b.registry.leases.clear()
        await shut_at(first, 11)
        assert second.gate.shut
        third = await b.granted("c")
        assert third.lease is not first.lease
        third.gate.check()


@pytest.mark.looptime(start=1000)
async def test_a_thousand_sessions_are_one_call() -> None:
    async with bench() as b:
        wanted = [b.offer(f"a{n}") for n in range(1000)]
        results = await asyncio.gather(*[b.acquirer.acquire(one) for one in wanted])
        assert all(isinstance(one, Granted) for one in results)
        assert len(b.registry.acquired) == 1
        assert len({one.grant.token for one in results if isinstance(one, Granted)}) == 1000


@pytest.mark.looptime(start=1000)
async def test_nobody_waits_for_ever_on_a_registry_that_is_away() -> None:
    async with bench() as b:
        b.registry.down = True
        began = now()
        ending = await b.acquirer.acquire(b.offer("a"))
        assert isinstance(ending, Ending)
        assert "No registry" in ending.detail
        assert now() - began < 40


@pytest.mark.looptime(start=1000)
async def test_what_is_granted_after_nobody_answered_is_given_back() -> None:
    async with bench() as b:
        first = await b.granted("other")  # keeps the lease alive, on which the lost grant would stay for ever
        b.registry.answers_lost = 1_000
        ending = await b.acquirer.acquire(b.offer("a"))
        assert isinstance(ending, Ending)
        assert "a" in b.registry.holders, "the registry granted it; only its answers were lost"
        b.registry.answers_lost = 0
        await asyncio.sleep(20)
        assert "a" not in b.registry.holders
        assert (await b.granted("a")).lease is first.lease


@pytest.mark.looptime(start=1000)
async def test_releases_are_repeated_until_they_are_acknowledged() -> None:
    async with bench() as b:
        got = await b.granted("a")
        b.registry.down = True
        done = b.releaser.give_back(Release("a", "a", got.grant.token, clean=False), got.lease)
        await asyncio.sleep(5)
        assert not done.done()
        assert got.lease.sessions == 1
        b.registry.down = False
        assert await done
        assert got.lease.sessions == 0
        assert b.releaser.waiting == 0


@settings(deadline=None, max_examples=200)
@given(
    st.lists(st.tuples(st.sampled_from(["pass", "jump", "suspend", "renew"]), st.floats(0, 40)), max_size=30)
)
def test_no_history_of_clocks_opens_a_gate_too_long(events: list[tuple[str, float]]) -> None:
    """Time passes, the wall clock jumps either way, the machine sleeps: use ends T - margin of real time
    after a renewal."""

    class Suspending(ManualClock):
        def suspend(self, seconds: float) -> None:
            self.jump_wall(seconds)  # the worst case: the monotonic clock missed it

    clock = Suspending()
    keeper = LeaseKeeper(FakeRegistry(), FenceClock(clock))
    keeper.adopt(NewLease(1, 30.0, 30.0), FenceClock(clock).mark())
    lease = keeper.find(1)
    assert lease is not None
    gate = keeper.hold(lease)
    real = 0.0
    for kind, seconds in events:
        if kind == "renew" and keeper.is_open(lease) and not gate.shut:
            lease.renewed, real = FenceClock(clock).mark(), 0.0
        elif kind == "jump":
            clock.jump_wall(seconds)  # forwards only fences early, which is harmless
        elif kind == "suspend":
            clock.suspend(seconds)
            real += seconds
        else:
            clock.advance(seconds)
            real += seconds
        try:
            gate.check()
        except Fenced:
            assert gate.shut
        else:
            assert real < 28
