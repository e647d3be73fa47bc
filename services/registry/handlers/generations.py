"""Notices that the lease store was lost or restored, and opens the next generation. Several registries may do
so at once.

The number stands in SQL and is mirrored in the store. Opening is: the row in SQL first (compare and set),
then the mirror (compare and set), then the row says `mirrored`; only then is anything granted, and only T + S
after the mirror was written, which is what ends renewals in the former generation. A registry that dies
between the steps leaves them to the next one.
"""

import asyncio
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from services.registry.domain.leasing import Generation, StoreView, loss_of, wait_after_loss
from services.registry.ports import LeaseStore, Store
from services.runtime.clock import Clock
from services.runtime.errors import Unavailable
from services.runtime.logs import get_logger
from services.runtime.metrics import gauge

_log = get_logger("registry.generations")

_GENERATION = gauge("registry_lease_generation", "Rises each time that etcd was lost or restored.")

WATCH_SECONDS = 1.0
_ATTEMPTS = 5
_MOMENT = timedelta(milliseconds=500)


@dataclass(frozen=True, slots=True)
class _Seen:
    """When this process first saw a generation, and how old it was then by the clock on the wall."""

    number: int
    opened_at: datetime
    monotonic: float
    age: float


class Generations:
    """Keeps the generation. Holds no truth of its own but how long it has seen the current one."""

    def __init__(
        self, store: Store, leases: LeaseStore, clock: Clock, *, lease_ttl: timedelta, settle: timedelta
    ) -> None:
        """`lease_ttl` is T, `settle` S."""
        self._store = store
        self._leases = leases
        self._clock = clock
        self._lease_ttl = lease_ttl
        self._settle = settle
        self._seen: _Seen | None = None
        self._last: Generation | None = None
        self._wanted = (0, 0)
        self._confirmed = (0, 0)
        self._flushing = asyncio.Lock()

    async def current(self) -> Generation:
        """The generation, opened and mirrored if it was not yet. Raises Unavailable."""
        for _ in range(_ATTEMPTS):
            async with self._store.read() as tx:
                generation = await tx.generation()
            if generation is not None:
                self._note(generation)
            self._last = generation if generation is not None and generation.mirrored else None
            if self._last is not None:
                return self._last
            if generation is None:
                await self._open(None, await self._leases.view(), "There was no generation yet")
            else:
                await self._mirror(generation)
        raise Unavailable(
            "Several registries are setting up the lease store at once; try again.", reason="ETCD_UNAVAILABLE"
        )

    async def for_renewal(self) -> Generation:
        """The generation that this process read last, at most a second ago unless the database is away; only
        a process that has read none yet asks. Raises Unavailable.

        Renewals may go by it while the store's mirror says the same, however old it is, so that sessions
        outlive an outage of the database. For nothing is granted in a later generation before its number has
        stood in the mirror for T + S by the store's own clock (`OPENING`), while each renewal that saw the
        former number was sent before that, and no worker uses a session longer than T after it sent one, or
        revives a lease whose time is over. Grants are another matter: they read SQL.
        """
        return self._last or await self.current()

    async def accept(self, generation: Generation, view: StoreView) -> bool:
        """Whether an answer of the store belongs to this generation. If not, the next one is opened and the
        answer must be thrown away."""
        loss = loss_of(generation, view)
        if loss:
            await self._open(generation, view, loss)
        return not loss

    async def accept_changes(self, generation: Generation, view: StoreView) -> bool:
        """As `accept`; and when it is so, the store's revision is on disk, so that a store that has forgotten
        these grants or releases will be found out."""
        accepted = await self.accept(generation, view)
        return accepted and await self._remember(generation.number, view.mark)

    def remaining_wait(self, generation: Generation, settle: timedelta) -> timedelta:
        """How long sessions of that settle time are still not granted after the generation was opened.

        Counted by the wall clock only up to when this process first saw the generation, from then on by a
        clock that nobody can set. For the usual S the lease store itself counts as well, so that a wall clock
        that is wrong cannot make it shorter.
        """
        if not generation.waits:
            return timedelta(0)
        seen = self._note(generation)
        passed = timedelta(seconds=seen.age + self._clock.monotonic() - seen.monotonic)
        return max(timedelta(0), wait_after_loss(self._lease_ttl, settle) - passed)

    def expected_wait(self, settle: timedelta) -> timedelta:
        """How long it will probably be after the store refused to grant: by this process's own clock, and at
        least a moment, as the store counts by its own."""
        passed = timedelta(0)
        if self._seen is not None:
            passed = timedelta(seconds=self._seen.age + self._clock.monotonic() - self._seen.monotonic)
        return max(_MOMENT, wait_after_loss(self._lease_ttl, settle) - passed)

    async def watch(self) -> None:
        """Looks at the store every second, so that a loss is noticed, and the wait begins, before anybody
        asks."""
        while True:
            try:
                generation = await self.current()
                await self.accept_changes(generation, await self._leases.view())
            except Unavailable as error:
                _log.debug("the lease store or the database is away", reason=error.reason)
            await asyncio.sleep(WATCH_SECONDS)

    def _note(self, generation: Generation) -> _Seen:
        """When this process first saw that generation."""
        seen = self._seen
        if seen is None or (seen.number, seen.opened_at) != (generation.number, generation.opened_at):
            age = max(0.0, (self._clock.wall() - generation.opened_at).total_seconds())
            seen = _Seen(generation.number, generation.opened_at, self._clock.monotonic(), age)
            self._seen = seen
            _GENERATION.set(generation.number)
        return seen

    async def _open(self, before: Generation | None, view: StoreView, why: str) -> None:
        number = max(before.number if before else 0, view.mirror or 0) + 1
        async with self._store.write() as tx:
            fresh = before is None and view.mirror is None and not await tx.any_account()
            generation = Generation(
                number, self._clock.wall(), view.cluster_id, view.mark, mirrored=False, waits=not fresh
            )
            opened = await tx.open_generation(before.number if before else None, generation)
        if opened:
            self._note(generation)
            _log.warning("opening the next generation of leases", generation=number, why=why, waits=not fresh)
            await self._mirror(generation)

    async def _mirror(self, generation: Generation) -> None:
        """Writes the number into the store and says so in SQL. Whoever is slower finds it done."""
        view = await self._leases.view()
        if view.mirror is not None and view.mirror > generation.number:
            await self._open(generation, view, f"The lease store is of the later generation {view.mirror}")
            return
        if view.mirror != generation.number:
            wait = wait_after_loss(self._lease_ttl, self._settle) if generation.waits else timedelta(0)
            written = await self._leases.set_mirror(generation.number, view.mirror, wait)
            if written is None:
                return
            view = written
        async with self._store.write() as tx:
            await tx.confirm_mirror(generation.number, view, self._clock.wall())

    async def _remember(self, number: int, revision: int) -> bool:
        """Puts the highest revision seen on disk. Callers that wait for each other share one write."""
        self._wanted = (number, max(revision, self._wanted[1] if self._wanted[0] == number else 0))
        async with self._flushing:
            if self._confirmed[0] == number and self._confirmed[1] >= revision:
                return True
            highest = self._wanted[1] if self._wanted[0] == number else revision
            async with self._store.write() as tx:
                current = await tx.raise_high_water(number, highest)
            if current:
                self._confirmed = (number, highest)
                if self._last is not None and self._last.number == number:
                    self._last = replace(self._last, high_water=max(self._last.high_water, highest))
            return current
