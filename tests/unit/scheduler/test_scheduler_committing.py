"""The writer of a term: order, shared transactions, what becomes of failures."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

import pytest

from services.runtime.errors import Aborted, Unavailable
from services.scheduler.adapters.memory_transfer_store import MemoryTransferStore
from services.scheduler.committing import Committer
from services.scheduler.domain.transfers.records import Changes, UsageChange
from services.scheduler.errors import LeadershipLostError
from tests.unit.scheduler.fakes import FakeLeadership

pytestmark = [pytest.mark.looptime(start=1000), pytest.mark.asyncio]


class SlowStore(MemoryTransferStore):
    """A second for each transaction; `fails` says for each of the next ones when it fails: before it is
    written, or after."""

    def __init__(self) -> None:
        super().__init__()
        self.term = self.begin_term()
        self.groups: list[list[int]] = []
        self.fails: list[str] = []

    async def commit(self, term: int, number: int, changes: Sequence[Changes]) -> None:
        await asyncio.sleep(1)
        fails = self.fails.pop(0) if self.fails else ""
        if fails == "before":
            raise Unavailable("away")
        await super().commit(term, number, changes)
        self.groups.append([one.usage[0].sent for one in changes if one.usage])
        if fails == "after":
            raise Unavailable("away")

    async def total(self) -> int:
        return sum(one.total for one in (await self.load()).usage)


class Desk:
    """A committer on such a store."""

    def __init__(self) -> None:
        self.store = SlowStore()
        self.leadership = FakeLeadership()
        self.committer = Committer(self.store, self.leadership, self.store.term, random.Random(0))
        self.task = asyncio.create_task(self.committer.run())
        self.done: list[int] = []

    def submit(self, number: int) -> None:
        self.committer.submit(change(number), lambda: self.done.append(number))

    async def until(self, number: int) -> None:
        async with asyncio.timeout(60):
            while number not in self.done:
                await asyncio.sleep(0.1)

    async def close(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


def change(number: int) -> Changes:
    return Changes(usage=[UsageChange("acc", "2026-11-21", sent=number)])


async def test_what_waits_shares_the_next_transaction_in_order() -> None:
    desk = Desk()
    desk.submit(1)
    await asyncio.sleep(0.5)
    for number in (2, 3, 4):
        desk.submit(number)
    await desk.until(4)
    assert desk.store.groups == [[1], [2, 3, 4]]
    assert desk.done == [1, 2, 3, 4]
    await desk.close()


@pytest.mark.parametrize("fails", ["before", "after"])
async def test_a_commit_that_failed_or_seemed_to_is_repeated_and_counts_once(fails: str) -> None:
    desk = Desk()
    desk.store.fails = [fails, fails]
    for number in (1, 2):
        desk.submit(number)
    await asyncio.sleep(0.5)
    desk.submit(4)
    await desk.until(4)
    assert desk.done == [1, 2, 4]
    assert await desk.store.total() == 7
    await desk.close()


async def test_a_newer_term_ends_this_one_and_everybody_who_waits_is_told() -> None:
    desk = Desk()
    desk.store.begin_term()
    waiting = asyncio.create_task(desk.committer.commit(change(1), lambda: desk.done.append(1)))
    with pytest.raises(LeadershipLostError) as raised:
        await desk.task
    assert isinstance(raised.value.__cause__, Aborted)
    with pytest.raises(Unavailable) as told:
        await waiting
    assert told.value.reason == "NOT_LEADER"
    with pytest.raises(Unavailable):
        await desk.committer.commit(change(2), lambda: None)
    assert desk.done == []


async def test_a_database_that_stays_away_is_tried_no_longer_than_the_leadership_lasts() -> None:
    desk = Desk()
    desk.store.fails = ["before"] * 1000
    desk.submit(1)
    await asyncio.sleep(30)
    assert not desk.task.done()
    desk.leadership.leads = False
    with pytest.raises(LeadershipLostError):
        await desk.task
    assert desk.done == []


async def test_a_caller_that_goes_away_changes_nothing() -> None:
    desk = Desk()
    caller = asyncio.create_task(desk.committer.commit(change(1), lambda: desk.done.append(1)))
    await asyncio.sleep(0.5)
    caller.cancel()
    await desk.until(1)
    assert await desk.store.total() == 1
    await desk.close()
