"""One term of leadership, from the won election to its end: opens the database, begins the term, takes the
registry's picture, and runs the driver with all that belongs to it. `Seat` is where the servicers find the
present leader, if this process is it.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from services.runtime.errors import Aborted, TgfleetError, Unavailable
from services.runtime.logs import get_logger
from services.runtime.tasks import backoff, cancel_and_wait, steadily
from services.scheduler.committing import Committer
from services.scheduler.domain import events as e
from services.scheduler.domain.core import Core
from services.scheduler.domain.model import KnownWorker, Rules
from services.scheduler.domain.transfers.core import TransferCore
from services.scheduler.domain.transfers.records import TransferPicture
from services.scheduler.domain.transfers.rules import TransferRules
from services.scheduler.driver import REVISION, Driver
from services.scheduler.errors import LeadershipLostError, not_leader
from services.scheduler.eventbus import EventBus
from services.scheduler.metrics import TERM
from services.scheduler.outgoing import Outgoing
from services.scheduler.ports import Clock, Leadership, Registry, Stores, TransferStore, WatchBegan
from services.scheduler.signals import wait_until
from services.scheduler.transfer_driver import TransferDriver
from services.scheduler.transfer_figures import forget_transfers

_log = get_logger("scheduler.leader")

_HEARTBEAT_CAP = 10.0
_REWATCH_BASE = 0.1
_REWATCH_CAP = 2.0
_SNAPSHOT_LIMIT = 60.0


@dataclass(slots=True)
class Transfers:
    """What there is of transfers in one term."""

    driver: TransferDriver
    committer: Committer
    store: TransferStore
    planning: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held from the plan of a transfer until it is stored: two that follow each other would both pass."""
    creating: dict[str, asyncio.Event] = field(default_factory=dict)
    """Requests whose transfer is being created, and when that is done."""

    @property
    def core(self) -> TransferCore:
        """The core; only to be read."""
        return self.driver.core


@dataclass(slots=True)
class Leader:
    """What the servicers work with while this process leads."""

    term: int
    driver: Driver
    bus: EventBus
    registry: Registry
    transfers: Transfers

    @property
    def core(self) -> Core:
        """The core; only to be read."""
        return self.driver.core

    async def accounts_at(self, revision: int, time_left: float) -> None:
        """Waits until everything that was true at that revision is known here. Raises Unavailable."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + time_left
        while self.core.fleet.accounts.revision < revision:
            news = self.driver.signals.waiter(REVISION)
            if not await wait_until(news, deadline - loop.time()):
                raise Unavailable(
                    "The registry's changes do not arrive; try again.", reason="REGISTRY_BEHIND"
                )
            self.driver.check()


class OnServing(Protocol):
    """Told when this process begins or ceases to lead."""

    async def __call__(self, *, serving: bool) -> None: ...


class Seat:
    """Where the present leader is found."""

    def __init__(self) -> None:
        self._leader: Leader | None = None

    def take(self, leader: Leader | None) -> None:
        """Who leads in this process from now on; None for nobody."""
        self._leader = leader

    def require(self) -> Leader:
        """The leader. Raises Unavailable (NOT_LEADER)."""
        if self._leader is None:
            raise not_leader()
        self._leader.driver.check()
        return self._leader


class Reign:
    """Runs terms, one after the other election."""

    def __init__(
        self,
        *,
        seat: Seat,
        registry: Registry,
        open_stores: Callable[[Leadership], Awaitable[Stores]],
        rules: Rules,
        transfer_rules: TransferRules,
        clock: Clock,
        rng: random.Random,
        holder: str,
        on_serving: OnServing,
    ) -> None:
        """`open_stores` waits for the database; `on_serving` tells health."""
        self._seat = seat
        self._registry = registry
        self._open_stores = open_stores
        self._rules = rules
        self._transfer_rules = transfer_rules
        self._clock = clock
        self._rng = rng
        self._holder = holder
        self._on_serving = on_serving

    async def run(self, leadership: Leadership) -> None:
        """Leads until the leadership ends (returns) or the task is cancelled. Gives everything back either
        way."""
        work = asyncio.create_task(self._lead(leadership), name="term")
        lost = asyncio.create_task(leadership.lost(), name="leadership lost")
        try:
            await asyncio.wait({work, lost}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._seat.take(None)
            TERM.set(0)
            forget_transfers()
            await cancel_and_wait(work, lost)
            await self._on_serving(serving=False)
            await leadership.resign()
        _log.warning("leadership ended")
        if not work.cancelled() and work.exception() is not None:
            _raise_unless_lost(work.exception())

    async def _lead(self, leadership: Leadership) -> None:
        stores = await self._open_stores(leadership)
        try:
            term = await stores.terms.begin_term(self._holder)
            _log.info("leading", term=term)
            watch = _Watch(self._registry, self._rng)
            began = await watch.begin()
            known = await stores.terms.known_workers()
            picture = await stores.transfers.load()
            outgoing = Outgoing(self._registry, stores.terms, leadership, term, self._rng)
            committer = Committer(stores.transfers, leadership, term, self._rng)
            bus = EventBus()
            driver = self._driver(leadership, began, known, term=term, outgoing=outgoing, bus=bus)
            transfers = self._transfers(driver, picture, committer, stores.transfers)
            driver.tell(began.snapshot)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(steadily(driver.run), name="driver")
                tasks.create_task(steadily(lambda: watch.run(driver.tell)), name="account watch")
                tasks.create_task(steadily(lambda: outgoing.run_wishes(driver.tell)), name="wishes")
                tasks.create_task(steadily(outgoing.run_crashes), name="crash facts")
                tasks.create_task(steadily(outgoing.run_workers), name="known workers")
                tasks.create_task(steadily(committer.run), name="transfer commits")
                self._seat.take(Leader(term, driver, bus, self._registry, transfers))
                TERM.set(term)
                await self._on_serving(serving=True)
        finally:
            await stores.close()

    def _driver(
        self,
        leadership: Leadership,
        began: WatchBegan,
        known: Sequence[KnownWorker],
        *,
        term: int,
        outgoing: Outgoing,
        bus: EventBus,
    ) -> Driver:
        now, wall = self._clock.monotonic(), self._clock.wall().timestamp()
        core = Core(_with_times(self._rules, began), term, self._rng, known, now=now, wall=wall)
        return Driver(core, leadership, self._clock, outgoing, bus)

    def _transfers(
        self, driver: Driver, picture: TransferPicture, committer: Committer, store: TransferStore
    ) -> Transfers:
        """Beside the fleet's driver, served by it."""
        fleet = driver.core.fleet
        fleet.accounts.unlendable = frozenset(picture.unlendable)
        now, wall = self._clock.monotonic(), self._clock.wall().timestamp()
        # Workers that live have said hello by then, or their leases are over.
        rules = replace(self._transfer_rules, hello_wait=fleet.rules.lease_ttl + fleet.rules.heartbeat)
        core = TransferCore(rules, fleet.term, self._rng, picture, now=now, wall=wall)
        driver.transfers = TransferDriver(
            core,
            fleet,
            committer,
            streams=driver.streams,
            signals=driver.signals,
            tell=driver.tell,
        )
        return Transfers(driver.transfers, committer, store)


class _Watch:
    """The registry's picture of the accounts, taken anew whenever the stream breaks."""

    def __init__(self, registry: Registry, rng: random.Random) -> None:
        self._registry = registry
        self._rng = rng
        self._stream = registry.watch()

    async def begin(self) -> WatchBegan:
        """The first snapshot, however long that takes."""
        attempt = 0
        while True:
            try:
                async with asyncio.timeout(_SNAPSHOT_LIMIT):
                    first = await anext(self._stream)
                if isinstance(first, WatchBegan):
                    return first
            except TimeoutError:
                _log.warning("the registry does not send its accounts", seconds=_SNAPSHOT_LIMIT)
            except TgfleetError as error:
                _log.warning("the registry cannot be watched yet", reason=error.reason)
            attempt += 1
            await asyncio.sleep(backoff(attempt, _REWATCH_BASE, _REWATCH_CAP, self._rng))
            self._stream = self._registry.watch()

    async def run(self, tell: Callable[[e.Event], None]) -> None:
        """Passes changes on until cancelled."""
        while True:
            try:
                async for item in self._stream:
                    tell(item.snapshot if isinstance(item, WatchBegan) else item)
            except TgfleetError as error:
                _log.warning("the watch of accounts broke", reason=error.reason)
            await asyncio.sleep(_REWATCH_BASE)
            self._stream = self._registry.watch()
            tell((await self.begin()).snapshot)


def _with_times(rules: Rules, began: WatchBegan) -> Rules:
    """The registry's T and S; the heartbeat period follows from T."""
    ttl = began.lease_ttl or rules.lease_ttl
    settle = began.lease_settle or rules.lease_settle
    return replace(rules, lease_ttl=ttl, lease_settle=settle, heartbeat=min(_HEARTBEAT_CAP, ttl / 3))


def _raise_unless_lost(error: BaseException | None) -> None:
    """A term that ends because another process leads, or because the database is away, is nothing to die
    of."""
    leaves = list(_leaves(error)) if error is not None else []
    if any(not isinstance(leaf, LeadershipLostError | Aborted | Unavailable) for leaf in leaves):
        raise leaves[0]


def _leaves(error: BaseException) -> list[BaseException]:
    if not isinstance(error, BaseExceptionGroup):
        return [error]
    return [leaf for inner in error.exceptions for leaf in _leaves(inner)]
