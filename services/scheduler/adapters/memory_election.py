"""The election without etcd, for tests and for trying things out: candidates of one `MemoryBallot` elect a
leader among themselves. Passes the same contract suite as the real one.
"""

import asyncio

from services.runtime.clock import Clock, FenceClock, Mark
from services.scheduler.signals import wait_until

_POLL = 0.1
_MARGIN = 0.2


class MemoryBallot:
    """What etcd is to the real election: who leads, and until when."""

    def __init__(self, clock: Clock) -> None:
        self._clock = FenceClock(clock)
        self._holder: object | None = None
        self._since: Mark = self._clock.mark()
        self._ttl = 0.0
        self.reachable = True

    def take(self, holder: object, ttl: float) -> bool:
        """Whether the holder leads now; asked again by the same one, its time begins anew."""
        if not self.reachable:
            return False
        if self._holder not in {None, holder} and self._clock.elapsed(self._since) < self._ttl:
            return False
        self._holder, self._ttl = holder, ttl
        self._since = self._clock.mark()
        return True

    def holds(self, holder: object) -> bool:
        """Whether the holder is the leader that the ballot knows."""
        return self._holder is holder

    def give_up(self, holder: object) -> None:
        """Makes way for others."""
        if self.reachable and self._holder is holder:
            self._holder = None

    def forget(self) -> None:
        """Loses everything, as an etcd that comes back empty."""
        self._holder = None


class MemoryElection:
    """Implements ports.Election."""

    def __init__(self, ballot: MemoryBallot, ttl: float, clock: Clock) -> None:
        """`ttl` in seconds."""
        self._ballot = ballot
        self._ttl = ttl
        self._clock = clock

    async def campaign(self) -> "MemoryLeadership":
        while True:
            leadership = MemoryLeadership(self._ballot, self._ttl, self._clock)
            if leadership.begin():
                return leadership
            await asyncio.sleep(self._ttl * _POLL)

    async def close(self) -> None:
        """Nothing to close."""


class MemoryLeadership:
    """Implements ports.Leadership."""

    def __init__(self, ballot: MemoryBallot, ttl: float, clock: Clock) -> None:
        self._ballot = ballot
        self._ttl = ttl
        self._clock = FenceClock(clock)
        self._sent = self._clock.mark()
        self._over = asyncio.Event()
        self._renewing: asyncio.Task[None] | None = None

    def begin(self) -> bool:
        """Tries to lead; whether it worked."""
        if not self._ballot.take(self, self._ttl):
            return False
        self._renewing = asyncio.create_task(self._renew(), name="leadership renewal")
        return True

    def valid(self) -> bool:
        if not self._over.is_set() and self._clock.elapsed(self._sent) >= self._ttl * (1 - _MARGIN):
            self._over.set()
        return not self._over.is_set()

    async def lost(self) -> None:
        while self.valid():
            left = self._ttl * (1 - _MARGIN) - self._clock.elapsed(self._sent)
            await wait_until(self._over, left)

    async def resign(self) -> None:
        self._over.set()
        if self._renewing is not None:
            self._renewing.cancel()
        self._ballot.give_up(self)

    async def _renew(self) -> None:
        while self.valid():
            await asyncio.sleep(self._ttl / 3)
            sent = self._clock.mark()
            if self._ballot.reachable and not self._ballot.holds(self):
                self._over.set()
            elif self._ballot.take(self, self._ttl):
                self._sent = sent
