"""The bugs that are planted to see whether the judge catches them: each replaces one shipped decision,
from here only. No setting of any service can do the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from unittest.mock import patch

from services.registry.adapters import memory_leases
from services.registry.domain.leasing import Generation, StoreView
from services.registry.handlers import generations
from services.registry.handlers.generations import Generations
from services.scheduler.domain.accounts import Entry
from services.worker.domain.terms import Terms
from services.worker.leases import Lease, LeaseKeeper
from tests.simulation.outside import Database
from tests.simulation.worker import Keeper


class _NoDeadline(Keeper):
    def is_open(self, lease: Lease) -> bool:
        return not lease.lost


class _AnyTerm(Terms):
    def accept(self, _term: int) -> bool:
        return True


class _AnyTermDatabase(Database):
    def is_old(self, _term: int) -> bool:
        return False


class _SameGeneration(Generations):
    """Puts the old number back into the store, and waits for nobody."""

    async def _open(self, before: Generation | None, view: StoreView, why: str) -> None:
        if before is None:
            await super()._open(before, view, why)
            return
        written = await self._leases.set_mirror(before.number, view.mirror, timedelta(0))
        if written is not None:
            async with self._store.write() as tx:
                row: Any = tx
                await row.open_generation(before.number, replace(before, mirrored=False))
                await row.confirm_mirror(before.number, written, before.opened_at)


def _only_ttl(ttl: timedelta, _settle: timedelta) -> int:
    return max(1, int(ttl.total_seconds()))


@dataclass(frozen=True)
class Bug:
    """Which parts of the world are not the shipped ones."""

    name: str = ""
    keeper: Callable[..., LeaseKeeper] = Keeper
    terms: Callable[[], Terms] = Terms
    database: type[Database] = Database
    generations: type[Generations] = Generations
    store: type[memory_leases.InMemoryLeaseStore] = memory_leases.InMemoryLeaseStore
    patches: tuple[tuple[Any, str, Any], ...] = ()

    @contextmanager
    def planted(self) -> Iterator[None]:
        """Replaces pure functions for as long as the block runs."""
        with ExitStack() as stack:
            for owner, name, function in self.patches:
                stack.enter_context(patch.object(owner, name, function))
            yield


NONE = Bug()
BUGS = {
    bug.name: bug
    for bug in (
        Bug(
            "no_settle",
            patches=(
                (memory_leases, "store_ttl", _only_ttl),
                (generations, "wait_after_loss", lambda ttl, _settle: ttl),
            ),
        ),
        Bug("no_deadline", keeper=_NoDeadline),
        Bug("no_token", patches=((Entry, "outranks", lambda _entry, _token: False),)),
        Bug("no_term", terms=_AnyTerm, database=_AnyTermDatabase),
        Bug("same_generation", generations=_SameGeneration),
    )
}
