"""Renewals outlive an outage of the database, and never go by a generation that is over."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from services.registry.adapters.database import open_database
from services.registry.adapters.memory_leases import InMemoryLeaseStore
from services.registry.adapters.sql_store import SqlStore
from services.registry.adapters.vault import AesGcmVault
from services.registry.domain.leasing import Owner
from services.registry.handlers.candidates import AcquireItem
from services.registry.handlers.sessions import Grant
from services.runtime.clock import ManualClock
from services.runtime.errors import Unavailable
from tests.integration.registry.conftest import LEASE_TTL, SETTLE, Parts
from tests.support.postgres import PostgresProcess

ONE, TWO = Owner("w1", "i-1"), Owner("w2", "i-2")
WAIT = (LEASE_TTL + SETTLE).total_seconds()


@dataclass
class Outage:
    """The database of a registry, which can be away."""

    parts: Parts
    server: PostgresProcess
    name: str

    def begin(self) -> None:
        self.server.sql(f"ALTER DATABASE {self.name} ALLOW_CONNECTIONS false")
        self.server.sql(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{self.name}'"
        )

    def end(self) -> None:
        self.server.sql(f"ALTER DATABASE {self.name} ALLOW_CONNECTIONS true")


@pytest.fixture
async def outage(postgres: PostgresProcess) -> AsyncIterator[Outage]:
    clock = ManualClock()
    url = postgres.copy_of("migrated")
    database = open_database(url)
    vault = AesGcmVault({"k1": secrets.token_bytes(32)})
    parts = Parts(clock, database, SqlStore(database), InMemoryLeaseStore(clock, LEASE_TTL), vault)
    await parts.generations.current()
    yield Outage(parts, postgres, url.rsplit("/", 1)[1])
    await database.close()


async def granted(parts: Parts, owner: Owner, account_id: str) -> Grant:
    results, _ = await parts.sessions.acquire(owner, secrets.token_hex(4), [AcquireItem(account_id, "")], [])
    assert isinstance(results[0], Grant), results
    return results[0]


async def test_leases_are_renewed_while_the_database_is_away(outage: Outage) -> None:
    parts = outage.parts
    first, second = await parts.add("a", "b")
    grant = await granted(parts, ONE, first)
    outage.begin()
    for _ in range(8):
        parts.clock.advance(LEASE_TTL.total_seconds() / 2)
        assert await parts.sessions.renew(ONE, [grant.lease_id]) == [True]
        assert await parts.sessions.renew(TWO, [grant.lease_id]) == [False]
    with pytest.raises(Unavailable):
        await granted(parts, TWO, second)
    outage.end()
    assert (await granted(parts, TWO, second)).token.generation == grant.token.generation


@pytest.mark.parametrize("loss", ["empty", "restored", "another cluster"])
async def test_a_lost_lease_store_is_not_renewed_in_without_the_database(outage: Outage, loss: str) -> None:
    parts = outage.parts
    first, second = await parts.add("a", "b")
    grant = await granted(parts, ONE, first)
    snapshot = parts.leases.snapshot()
    await granted(parts, TWO, second)
    outage.begin()
    if loss == "empty":
        parts.leases.wipe()
    elif loss == "restored":
        parts.leases.restore(snapshot)
        await _read_what_is_on_disk(outage)
    else:
        parts.leases.cluster_id += 1
    with pytest.raises(Unavailable):
        await parts.sessions.renew(ONE, [grant.lease_id])
    outage.end()
    assert await parts.sessions.renew(ONE, [grant.lease_id]) == [False]


async def _read_what_is_on_disk(outage: Outage) -> None:
    """What a registry does each second while it can: afterwards it knows of the last grant."""
    outage.end()
    await outage.parts.generations.current()
    outage.begin()


async def test_a_process_that_has_read_no_generation_renews_nothing(outage: Outage) -> None:
    [account_id] = await outage.parts.add("a")
    grant = await granted(outage.parts, ONE, account_id)
    young = outage.parts.again()
    outage.begin()
    with pytest.raises(Unavailable):
        await young.sessions.renew(ONE, [grant.lease_id])


async def test_a_registry_that_read_an_older_generation_reads_again_before_it_refuses(parts: Parts) -> None:
    account_id, other = await parts.add("a", "b")
    old = await granted(parts, ONE, account_id)
    behind = parts.again()
    assert await behind.sessions.renew(ONE, [old.lease_id]) == [True]
    parts.leases.wipe()
    assert await parts.sessions.renew(ONE, [old.lease_id]) == [False], "opens the next generation"
    parts.clock.advance(WAIT + 0.1)
    new = await granted(parts, TWO, other)
    assert await behind.sessions.renew(TWO, [new.lease_id]) == [True]
    assert await behind.sessions.renew(ONE, [old.lease_id]) == [False]


async def test_the_wait_counts_from_the_mirror_not_from_the_row(parts: Parts) -> None:
    """Until its number is in the mirror, others renew in the former generation: also a settle time that is
    longer than the fleet's begins no sooner."""
    [account_id] = await parts.add("a")
    await granted(parts, ONE, account_id)
    before = await parts.generations.current()
    cut_off = parts.again()
    parts.leases.available = False

    async def dies_between_the_steps() -> None:
        view = await InMemoryLeaseStore(parts.clock, LEASE_TTL).view()
        await cut_off.generations.accept(before, view)

    with pytest.raises(Unavailable):
        await dies_between_the_steps()
    parts.leases.available = True
    parts.clock.advance(100)
    opened = await parts.again().generations.current()
    assert opened.number == before.number + 1
    late = parts.again().generations
    opened = await late.current()
    assert late.remaining_wait(opened, SETTLE * 10).total_seconds() == pytest.approx(2 + 10, abs=0.01)
