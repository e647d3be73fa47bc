"""Gives sessions back, in batches, and goes on until the registry has acknowledged.

A clean release frees the session at once. An unclean one sets it to settle; left unreported it would stay
held for as long as its neighbours on the lease are renewed.
"""

import asyncio
import random
from dataclasses import dataclass, field

from services.runtime.clock import Clock
from services.runtime.errors import TgfleetError
from services.runtime.logs import get_logger
from services.runtime.tasks import backoff
from services.worker.leases import Lease, LeaseKeeper
from services.worker.metrics import RELEASES_WAITING
from services.worker.ports import Registry, Release

_log = get_logger("worker.releaser")

_BATCH = 1_000
_CALL_LIMIT = 5.0
_RETRY_BASE, _RETRY_CAP = 0.2, 5.0
_GATHER = 0.005
_FORGET_AFTER = 300.0
"""Seconds after which a release on a lease that is lost anyway is given up: any T + S but the longest has
passed."""


@dataclass(eq=False, slots=True)
class _Pending:
    release: Release
    lease: Lease | None
    since: float
    done: asyncio.Future[bool] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Releaser:
    """`give_back` from anywhere; `run` until cancelled."""

    def __init__(self, registry: Registry, keeper: LeaseKeeper, clock: Clock, rng: random.Random) -> None:
        self._registry = registry
        self._keeper = keeper
        self._clock = clock
        self._rng = rng
        self._pending: list[_Pending] = []
        self._wake = asyncio.Event()

    def give_back(self, release: Release, lease: Lease | None) -> "asyncio.Future[bool]":
        """Queues a release; the future says whether the registry freed (or settled) the session."""
        pending = _Pending(release, lease, self._clock.monotonic())
        self._pending.append(pending)
        RELEASES_WAITING.inc()
        self._wake.set()
        return pending.done

    @property
    def waiting(self) -> int:
        """Releases that are not acknowledged."""
        return len(self._pending)

    async def run(self) -> None:
        """Serves the queue until cancelled."""
        attempt = 0
        while True:
            await self._wake.wait()
            await asyncio.sleep(_GATHER if attempt == 0 else self._pause(attempt))
            self._wake.clear()
            attempt = 0 if await self._send_all() else attempt + 1
            if self._pending:
                self._wake.set()

    async def drain(self, limit: float) -> None:
        """Waits until everything has been acknowledged, at most `limit` seconds. What is not runs out by
        itself: a process that ends renews nothing any more."""
        if self._pending:
            await asyncio.wait({one.done for one in self._pending}, timeout=limit)
        if self._pending:
            _log.warning("sessions are left to run out with their leases", count=len(self._pending))

    def _pause(self, attempt: int) -> float:
        return backoff(attempt, _RETRY_BASE, _RETRY_CAP, self._rng)

    async def _send_all(self) -> bool:
        while self._pending:
            batch = self._pending[:_BATCH]
            try:
                freed = await self._registry.release([one.release for one in batch], _CALL_LIMIT)
            except TgfleetError as error:
                _log.warning("releases are not acknowledged", reason=error.reason, count=len(self._pending))
                self._give_up_old()
                return False
            for one, was_freed in zip(batch, freed, strict=False):
                self._settle(one, freed=was_freed)
        return True

    def _settle(self, pending: _Pending, *, freed: bool) -> None:
        self._pending.remove(pending)
        RELEASES_WAITING.dec()
        if pending.lease is not None:
            pending.lease.sessions -= 1
        if not pending.done.done():
            pending.done.set_result(freed)

    def _give_up_old(self) -> None:
        now = self._clock.monotonic()
        for one in list(self._pending):
            lost = one.lease is None or (one.lease.lost and self._keeper.settled_in(one.lease) == 0)
            if lost and now - one.since > _FORGET_AFTER:
                self._settle(one, freed=False)
