"""A worker's inside with all its fakes, wired as `__main__` does, in virtual time."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from services.runtime.clock import FenceClock
from services.runtime.tasks import TaskOwner
from services.worker.acquirer import Acquirer
from services.worker.catalog import Catalog
from services.worker.chat.responder import ChatMessage
from services.worker.connecting import Connector
from services.worker.domain.chat_policy import ChatPolicy
from services.worker.domain.orders import Command, Order, Start, StartOne, Stop
from services.worker.domain.outcomes import Ending
from services.worker.domain.picture import Happening, SessionFile, SessionReport, Token
from services.worker.domain.states import SessionState
from services.worker.domain.telegram import Credentials
from services.worker.factsender import FactSender
from services.worker.fakes.clock import LoopClock
from services.worker.fakes.registry import FakeRegistry
from services.worker.fakes.telegram import FakeAccount, FakeTelegram
from services.worker.fleet import Fleet
from services.worker.leases import LeaseKeeper
from services.worker.outbox import Outbox
from services.worker.ports import Grant, KnownWait, SessionFileError
from services.worker.releaser import Releaser
from services.worker.tools import Limits, Tools


class NoFiles:
    async def scan(self) -> list[SessionFile]:
        return []

    async def read(self, file_name: str) -> Credentials:
        raise SessionFileError(f"There is no session file {file_name} on this worker.", missing=True)


class Echo:
    """Answers everything with what was said."""

    async def respond(self, message: ChatMessage) -> str | None:
        return f"you said {message.text}"


@dataclass
class Inside:
    """What tests touch."""

    telegram: FakeTelegram
    registry: FakeRegistry
    fleet: Fleet
    tools: Tools
    outbox: Outbox
    failures: list[BaseException]
    reports: list[SessionReport]
    happenings: list[Happening]

    def enrol(self, name: str, user_id: int = 0, waits: tuple[KnownWait, ...] = ()) -> FakeAccount:
        """An account with a login, known to both sides."""
        key = name.encode().ljust(256, b"-")
        number = user_id or 100 + len(self.telegram.accounts)
        account = self.telegram.accounts[key] = FakeAccount(number)
        self.registry.grants[name] = Grant(
            token=Token(0, 0),
            lease_id=0,
            auth_key_id=name,
            credentials=Credentials(2, key, test_mode=False, user_id=number, api_id=0),
            user_id=number,
            name=name,
            time_zone="UTC",
            chat_policy=ChatPolicy(user_ids=frozenset({7})),
            waits=waits,
        )
        return account

    def refuse(self, name: str, ending: Ending) -> None:
        """The registry will not grant it."""
        self.registry.grants[name] = ending

    def key(self, name: str) -> bytes:
        return name.encode().ljust(256, b"-")

    def order(self, command: Command, term: int = 1) -> bool:
        return self.fleet.handle(Order(term, command))

    def start(self, *names: str, command_id: str = "start-1", chat: bool = False) -> None:
        self.order(Start(command_id, tuple(StartOne(name, chat) for name in names)))

    def stop(self, *names: str, command_id: str = "stop-1") -> None:
        self.order(Stop(command_id, names))

    def last(self, name: str) -> SessionReport | None:
        self.collect()
        return next((r for r in reversed(self.reports) if r.account_id == name), None)

    def states(self, name: str) -> list[SessionState]:
        self.collect()
        return [r.state for r in self.reports if r.account_id == name]

    def collect(self) -> None:
        while True:
            reports, happenings = self.outbox.take(256)
            if not reports and not happenings:
                return
            self.reports.extend(reports)
            self.happenings.extend(happenings)

    async def until(self, name: str, *states: SessionState, limit: float = 120.0) -> SessionReport:
        """The last report once it has one of the states, in virtual seconds."""
        async with asyncio.timeout(limit):
            while True:
                last = self.last(name)
                if last is not None and last.state in states:
                    return last
                await asyncio.sleep(0.05)


@asynccontextmanager
async def inside(
    *, ttl: float = 30.0, settle: float = 30.0, capacity: int = 100, concurrency: int = 20, seed: int = 1
) -> AsyncIterator[Inside]:
    """A worker without processes, sockets or time."""
    clock, rng = LoopClock(), random.Random(seed)
    registry, telegram, failures = FakeRegistry(ttl, settle), FakeTelegram(), []  # type: ignore[var-annotated]
    keeper = LeaseKeeper(registry, FenceClock(clock))
    releaser = Releaser(registry, keeper, clock, rng)
    acquirer = Acquirer(registry, keeper, releaser, clock, patience=30.0, rng=rng)
    catalog, facts = Catalog(NoFiles(), 3.0), FactSender(registry, clock, rng)
    outbox = Outbox(clock.monotonic)
    tools = Tools(
        clients=telegram,
        acquirer=acquirer,
        releaser=releaser,
        keeper=keeper,
        catalog=catalog,
        connector=Connector(concurrency, 30.0, 50.0, rng),
        facts=facts,
        outbox=outbox,
        responder=Echo(),
        clock=clock,
        limits=Limits(30.0, 300.0, 600.0, 6, 20),
        on_failure=failures.append,
    )
    async with TaskOwner(failures.append) as loops:
        fleet = Fleet(tools, capacity, loops)
        for loop in (keeper, releaser, acquirer, facts):
            loops.spawn(loop.run(), name=type(loop).__name__)
        made = Inside(telegram, registry, fleet, tools, outbox, failures, [], [])
        yield made
        await fleet.close()
    assert not failures
