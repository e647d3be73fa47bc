"""Two registries over one PostgreSQL, and the schema's way up and down with accounts in it on both kinds."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from sqlalchemy import text

from services.registry.adapters.database import open_database
from services.registry.adapters.memory_leases import InMemoryLeaseStore
from services.registry.adapters.migrate import FOLDER, differences, upgrade
from services.registry.adapters.sql_store import SqlStore
from services.registry.adapters.vault import AesGcmVault
from services.registry.domain.facts import ChatCounts, Fact, WorkerCrashed
from services.runtime import migrations
from services.runtime.clock import ManualClock
from services.runtime.database import Database
from tests.integration.registry.conftest import LEASE_TTL, Parts
from tests.support.postgres import PostgresProcess


@pytest.fixture
async def two(postgres: PostgresProcess) -> AsyncIterator[tuple[Parts, Parts]]:
    """Each with its own connections, as two processes have them."""
    url = postgres.copy_of("migrated")
    clock, key = ManualClock(), secrets.token_bytes(32)
    leases = InMemoryLeaseStore(clock, LEASE_TTL)
    databases = [open_database(url), open_database(url)]
    first, second = (Parts(clock, d, SqlStore(d), leases, AesGcmVault({"k1": key})) for d in databases)
    await first.generations.current()
    yield first, second
    for database in databases:
        await database.close()


async def test_a_watch_at_one_sees_every_change_made_at_either(two: tuple[Parts, Parts]) -> None:
    one, other = two
    stopping, names = asyncio.Event(), set[str]()
    revisions: list[int] = []

    async def watch() -> None:
        async for update in one.watch.updates(stopping):
            names.update(view.account.name for view in update.accounts)
            revisions.append(update.revision)
            if len(names) == 20:
                return

    watching = asyncio.create_task(watch())
    await asyncio.gather(*(two[n % 2].add(f"a{n}") for n in range(20)))
    await asyncio.wait_for(watching, 10)
    assert revisions == sorted(revisions)
    async with other.store.read() as tx:
        assert (await tx.flags()).revision == 20


async def test_facts_told_to_both_at_once_are_all_counted(two: tuple[Parts, Parts]) -> None:
    one, other = two
    [account_id] = await one.add("a")
    now = one.clock.wall()

    def fact(number: int) -> Fact:
        """Half of them count on their own, half raise a number that is read first."""
        own = ChatCounts(now.date().isoformat(), f"i{number}", 1, 1)
        kind = own if number % 2 else WorkerCrashed(f"i{number}")
        return Fact(f"f{number}", account_id, now - timedelta(seconds=1), "w1", kind)

    # Each twice, once at either registry, as when the first answer was lost.
    reports = [two[n % 2].observations.report([fact(n // 2)]) for n in range(24)]
    await asyncio.gather(*reports)
    async with other.store.read() as tx:
        view = (await tx.views([account_id], now))[account_id]
    assert (view.received_today, view.answered_today, view.account.crash_streak) == (6, 6, 6)


async def test_several_registries_migrate_an_empty_postgresql_at_once(postgres: PostgresProcess) -> None:
    url = postgres.new_database()
    databases = [open_database(url) for _ in range(4)]
    await asyncio.gather(*(upgrade(database) for database in databases))
    assert await differences(databases[0]) == []
    for database in databases:
        await database.close()


async def test_the_schema_goes_down_and_up_with_accounts_in_it(parts: Parts) -> None:
    ids = await parts.add("a", "b", labels={"k": "v"}, proxy="socks5://u:p@h:1")
    before = await _accounts(parts.database)
    await migrations.downgrade(parts.database, FOLDER, "0001")
    assert await _accounts(parts.database) == before
    await upgrade(parts.database)
    async with parts.store.read() as tx:
        assert set((await tx.accounts(ids)).keys()) == set(ids)
        assert set(await tx.secrets(ids, "session")) == set(ids)
    assert await differences(parts.database) == []
    await migrations.downgrade(parts.database, FOLDER, "base")
    await upgrade(parts.database)
    assert await _accounts(parts.database) == []


async def _accounts(database: Database) -> list[tuple[object, ...]]:
    async with database.read() as tx:
        rows = (await tx.execute(text("SELECT account_id, name, revision FROM accounts ORDER BY name"))).all()
    return [tuple(row) for row in rows]
