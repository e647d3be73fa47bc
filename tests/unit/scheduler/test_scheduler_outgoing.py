"""Wishes, facts and known workers on their way out: in order, repeated, and only while this process leads."""

from __future__ import annotations

import asyncio
import random

import pytest

from services.runtime.errors import Aborted, InvalidArgument, Unavailable
from services.scheduler.domain import commands as c
from services.scheduler.domain import events as e
from services.scheduler.domain.model import KnownWorker
from services.scheduler.errors import LeadershipLostError
from services.scheduler.outgoing import Outgoing
from tests.unit.scheduler.fakes import FakeLeadership, FakeRegistry, FakeStore

pytestmark = [pytest.mark.looptime(start=1000), pytest.mark.asyncio]


class Desk:
    """An Outgoing with everything around it."""

    def __init__(self) -> None:
        self.registry = FakeRegistry()
        self.store = FakeStore()
        self.leadership = FakeLeadership()
        self.told: list[e.Event] = []
        self.outgoing = Outgoing(self.registry, self.store, self.leadership, 1, random.Random(0))

    async def wishes(self, seconds: float) -> None:
        await self.run(self.outgoing.run_wishes(self.told.append), seconds)

    async def run(self, work: object, seconds: float) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(seconds):
                await work  # type: ignore[misc]


async def test_wishes_are_recorded_in_order_however_often_that_fails() -> None:
    desk = Desk()
    desk.registry.failing = [Unavailable("away")] * 3
    desk.outgoing.set_wanted(c.SetWanted(1, ["a"], running=True))
    desk.outgoing.set_wanted(c.SetWanted(2, ["a"], running=False))
    await desk.wishes(30)
    assert [wish.batch for wish in desk.registry.wishes] == [1, 1, 1, 1, 2]
    assert desk.told == [e.WantedSaved(1, frozenset("a"), 7), e.WantedSaved(2, frozenset("a"), 7)]


async def test_a_wish_that_is_refused_for_good_is_not_repeated() -> None:
    desk = Desk()
    desk.registry.failing = [InvalidArgument("no", field="account_ids")]
    desk.outgoing.set_wanted(c.SetWanted(1, ["a"], running=True))
    await desk.wishes(30)
    assert desk.told == [e.WantedFailed(1, "no")]


async def test_nothing_is_recorded_by_a_leader_that_is_none_any_more() -> None:
    desk = Desk()
    desk.leadership.leads = False
    desk.outgoing.set_wanted(c.SetWanted(1, ["a"], running=True))
    with pytest.raises(LeadershipLostError):
        await desk.outgoing.run_wishes(desk.told.append)
    assert desk.registry.wishes == []


async def test_a_crash_is_told_under_the_same_ids_until_it_is_known() -> None:
    desk = Desk()
    desk.registry.failing = [Unavailable("away"), Unavailable("away")]
    desk.outgoing.report_crashes(c.ReportCrashes("w1", "i1", ["a", "b"], 5.0))
    await desk.run(desk.outgoing.run_crashes(), 30)
    assert len(desk.registry.crashes) == 3
    assert len({tuple(ids) for ids in desk.registry.crashes}) == 1
    assert len(set(desk.registry.crashes[0])) == 2


async def test_the_latest_word_on_a_worker_is_kept_once_the_database_answers() -> None:
    desk = Desk()
    desk.store.failing = [Unavailable("busy")]
    early, late = KnownWorker("w1", "i", 5, 1.0, lost=False), KnownWorker("w1", "i", 5, 2.0, lost=True)
    desk.outgoing.remember(c.RememberWorker(early))
    desk.outgoing.remember(c.RememberWorker(late))
    await desk.run(desk.outgoing.run_workers(), 30)
    assert desk.store.kept == {"w1": late}


async def test_a_newer_term_in_the_database_ends_the_leadership() -> None:
    desk = Desk()
    desk.store.failing = [Aborted("newer", reason="TERM_LOST")]
    desk.outgoing.remember(c.RememberWorker(KnownWorker("w1", "i", 5, 1.0, lost=False)))
    with pytest.raises(LeadershipLostError):
        await desk.outgoing.run_workers()
