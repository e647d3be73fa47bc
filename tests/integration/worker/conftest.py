"""A running worker, in this process, in a house of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import pytest

from services.runtime.process import Lifecycle
from services.runtime.settings import load
from services.testdc.embed import Account, NewAccount, TestDataCentre
from services.worker import __main__ as worker_main
from services.worker.settings import Settings
from tests.integration.worker.rig import House, environ


@dataclass
class World:
    """Everything around one worker."""

    dc: TestDataCentre
    house: House
    life: Lifecycle
    running: asyncio.Task[None]

    def account(self, account_id: str, **more: object) -> Account:
        """A new Telegram account that the registry knows under this id."""
        account = self.dc.control.create_account(NewAccount(first_name=account_id))
        self.house.enrol(account_id, account, **more)
        return account

    async def stop(self) -> None:
        """As SIGTERM does."""
        self.life.request_stop("test")
        async with asyncio.timeout(20):
            await self.running


MakeWorld = Callable[..., Awaitable[World]]


@asynccontextmanager
async def world(ttl: float = 3.0, settle: float = 1.0, **settings: str) -> AsyncIterator[World]:
    """One worker with its world."""
    async with TestDataCentre() as dc, House(ttl, settle) as house:
        life = Lifecycle()
        loaded = load(Settings, environ(house, dc, **settings), known=environ(house, dc, **settings))
        running = asyncio.create_task(worker_main.main(loaded, life))
        try:
            await house.dispatcher.until(lambda: house.dispatcher.hellos)
            made = World(dc, house, life, running)
            yield made
        finally:
            life.request_stop("end of the test")
            async with asyncio.timeout(30):
                await running
            await life.tasks.close()
        assert life.failure is None


@pytest.fixture
async def make_world() -> AsyncIterator[MakeWorld]:
    """Makes worlds; each ends with the test."""
    async with AsyncExitStack() as stack:

        async def make(**given: object) -> World:
            return await stack.enter_async_context(world(**given))  # type: ignore[arg-type]

        yield make
