"""Ports of the scheduler as tests need them: they do as they are told and remember what they were asked."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence

from services.runtime.clock import ManualClock
from services.runtime.errors import TgfleetError
from services.scheduler.adapters.memory_transfer_store import MemoryTransferStore
from services.scheduler.committing import Committer
from services.scheduler.domain.commands import ReportCrashes, SetWanted
from services.scheduler.domain.events import AccountsChanged
from services.scheduler.domain.model import KnownWorker
from services.scheduler.domain.transfers.core import TransferCore
from services.scheduler.domain.transfers.records import TransferPicture
from services.scheduler.domain.transfers.rules import TransferRules
from services.scheduler.driver import Driver
from services.scheduler.leader import Transfers
from services.scheduler.ports import Leadership, Resolved, Saved, Selection, TransferStore, WatchBegan
from services.scheduler.transfer_driver import TransferDriver


class FakeRegistry:
    """Raises the errors in `failing` first, one for each call."""

    def __init__(self) -> None:
        self.failing: list[TgfleetError] = []
        self.wishes: list[SetWanted] = []
        self.crashes: list[Sequence[str]] = []
        self.resolved = Resolved([], 0)

    def _fail(self) -> None:
        if self.failing:
            raise self.failing.pop(0)

    async def resolve(self, selection: Selection, time_left: float) -> Resolved:
        self._fail()
        return self.resolved

    async def revision(self, time_left: float) -> int:
        self._fail()
        return self.resolved.revision

    async def set_wanted(self, command: SetWanted) -> Saved:
        self.wishes.append(command)
        self._fail()
        return Saved(frozenset(command.account_ids), 7)

    async def report_crashes(self, command: ReportCrashes, fact_ids: Sequence[str]) -> None:
        self.crashes.append(fact_ids)
        self._fail()

    async def watch(self) -> AsyncIterator[WatchBegan | AccountsChanged]:
        await asyncio.Event().wait()
        yield AccountsChanged()


class FakeStore:
    """Keeps workers in a dict."""

    def __init__(self) -> None:
        self.failing: list[TgfleetError] = []
        self.kept: dict[str, KnownWorker] = {}

    async def begin_term(self, holder: str) -> int:
        return 1

    async def known_workers(self) -> list[KnownWorker]:
        return list(self.kept.values())

    async def remember(self, term: int, workers: Sequence[KnownWorker]) -> None:
        if self.failing:
            raise self.failing.pop(0)
        self.kept.update((worker.worker_id, worker) for worker in workers)

    async def close(self) -> None:
        pass


class FakeLeadership:
    """Lasts until told otherwise."""

    def __init__(self) -> None:
        self.leads = True

    def valid(self) -> bool:
        return self.leads

    async def lost(self) -> None:
        await asyncio.Event().wait()

    async def resign(self) -> None:
        self.leads = False


class LoopClock(ManualClock):
    """The event loop's own time, which looptime makes virtual."""

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()


NO_TRANSFERS = TransferPicture((), (), (), (), (), ())


def transfers_beside(
    driver: Driver,
    leadership: Leadership,
    picture: TransferPicture = NO_TRANSFERS,
    store: TransferStore | None = None,
) -> Transfers:
    """What there is of transfers beside a fleet's driver, which serves it from now on."""
    fleet, rng = driver.core.fleet, random.Random(0)
    kept = store or MemoryTransferStore()
    committer = Committer(kept, leadership, fleet.term, rng)
    core = TransferCore(TransferRules(), fleet.term, rng, picture, now=fleet.now, wall=fleet.wall)
    driver.transfers = TransferDriver(
        core, fleet, committer, streams=driver.streams, signals=driver.signals, tell=driver.tell
    )
    return Transfers(driver.transfers, committer, kept)
