"""Owned tasks and backoff."""

import asyncio
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.runtime.tasks import TaskOwner, backoff, cancel_and_wait, steadily


async def forever() -> None:
    await asyncio.Event().wait()


async def test_a_failure_is_reported_once_and_others_go_on() -> None:
    failures: list[BaseException] = []
    async with TaskOwner(failures.append) as tasks:

        async def fail() -> None:
            raise ValueError("x")

        other = tasks.spawn(forever(), name="other")
        failing = tasks.spawn(fail(), name="fail")
        await asyncio.wait({failing})
        await asyncio.sleep(0)
        assert [str(error) for error in failures] == ["x"]
        assert not other.done()
    assert other.cancelled()
    assert len(failures) == 1


async def test_cancelling_is_no_failure() -> None:
    failures: list[BaseException] = []
    async with TaskOwner(failures.append) as tasks:
        task = tasks.spawn(forever(), name="x")
        task.cancel()
        await asyncio.wait({task})
    assert not failures


async def cancelled_by_nobody() -> None:
    """As grpc.aio does when a call's channel is closed under it."""
    await asyncio.sleep(0)
    raise asyncio.CancelledError


async def test_a_cancellation_that_nobody_asked_for_is_a_failure() -> None:
    failures: list[BaseException] = []
    async with TaskOwner(failures.append) as tasks:
        task = tasks.spawn(cancelled_by_nobody(), name="loop")
        await asyncio.wait({task})
        await asyncio.sleep(0)
        assert [str(error) for error in failures] == ["loop was cancelled by nobody"]
    with pytest.RaisesGroup(pytest.RaisesExc(RuntimeError, match="was cancelled by nobody")):
        async with asyncio.TaskGroup() as group:
            group.create_task(steadily(cancelled_by_nobody))
            group.create_task(steadily(forever))


async def test_nothing_starts_after_the_end() -> None:
    tasks = TaskOwner(lambda _: None)
    await tasks.close()
    with pytest.raises(RuntimeError, match="late"):
        tasks.spawn(forever(), name="late")


async def test_a_task_that_will_not_end_is_waited_for_no_longer_than_the_limit() -> None:
    release = asyncio.Event()

    async def stubborn() -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    assert not await cancel_and_wait(task, limit=0.01)
    release.set()
    await task


async def test_an_owner_may_be_closed_by_its_own_task() -> None:
    tasks = TaskOwner(lambda _: None)
    closing = tasks.spawn(tasks.close(), name="closer")
    other = tasks.spawn(forever(), name="other")
    await closing
    assert other.cancelled()


@given(st.integers(1, 10_000), st.integers())
def test_backoff_stays_between_half_and_all_of_the_step(attempt: int, seed: int) -> None:
    step = min(30.0, 0.1 * 2 ** min(attempt - 1, 30))
    assert step / 2 <= backoff(attempt, 0.1, 30.0, random.Random(seed)) <= step
