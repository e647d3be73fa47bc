"""Session leases over an etcd that is killed, emptied, restored from a copy, frozen, or one of several."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from services.registry.adapters import etcd_layout as layout
from services.registry.adapters.etcd_client import EtcdClient, LeaseNotFoundError
from services.registry.adapters.etcd_grants import Attempt, Batch, GrantGroups
from services.registry.adapters.etcd_leases import EtcdLeaseStore
from services.registry.domain.account import Reason
from services.registry.domain.leasing import Epoch, Owner
from services.registry.domain.refusals import Refusal
from services.registry.handlers.candidates import AcquireItem
from services.registry.handlers.sessions import Grant
from services.runtime.addresses import Endpoints
from services.runtime.clock import SystemClock
from services.runtime.errors import Unavailable
from tests.integration.registry.conftest import LEASE_TTL, SETTLE, Parts
from tests.support.etcd import EtcdProcess, free_ports, killable_etcd_binary

ONE = Owner("w1", "i1")
TWO = Owner("w2", "i2")
TIMEOUT = timedelta(seconds=1)
WAIT = (LEASE_TTL + SETTLE).total_seconds()


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    """One kind of database is enough here: it is about the lease store."""
    return f"sqlite:///{tmp_path}/registry.db"


@pytest.fixture
def etcd(tmp_path: Path) -> Iterator[EtcdProcess]:
    with EtcdProcess(tmp_path / "etcd", killable_etcd_binary()) as running:
        yield running


@pytest.fixture
async def real(parts: Parts, etcd: EtcdProcess) -> AsyncIterator[Parts]:
    """A registry over the etcd that the test may harm, and real time."""
    client = EtcdClient(Endpoints.parse(etcd.endpoint), TIMEOUT)
    async with parts.store.write() as tx:
        await tx.open_generation(1, replace((await fresh(parts)), mirrored=False))
    store = EtcdLeaseStore(client, LEASE_TTL)
    made = Parts(SystemClock(), parts.database, parts.store, store, parts.vault)  # type: ignore[arg-type]
    await made.generations.current()
    yield made
    await client.close()


async def fresh(parts: Parts) -> object:
    async with parts.store.read() as tx:
        return await tx.generation()


async def attempt(parts: Parts, owner: Owner, account_id: str) -> Grant | Refusal:
    items = [AcquireItem(account_id, "")]
    [result], _ = await parts.sessions.acquire(owner, secrets.token_hex(4), items, [])
    return result


async def eventually(parts: Parts, owner: Owner, account_id: str, limit: float = 20) -> tuple[Grant, float]:
    """Asks until granted; the grant, and how long that took."""
    start = time.monotonic()
    async with asyncio.timeout(limit):
        while True:
            try:
                result = await attempt(parts, owner, account_id)
            except Unavailable:
                result = None
            if isinstance(result, Grant):
                return result, time.monotonic() - start
            await asyncio.sleep(0.05)


async def test_sessions_survive_a_killed_etcd(real: Parts, etcd: EtcdProcess) -> None:
    held, left = await real.add("held", "left")
    grant, _ = await eventually(real, ONE, held)
    await eventually(real, ONE, left)
    etcd.kill()
    for call in (attempt(real, TWO, held), real.sessions.renew(ONE, [grant.lease_id])):
        start = time.monotonic()
        with pytest.raises(Unavailable) as caught:
            await call
        assert caught.value.reason == "ETCD_UNAVAILABLE"
        assert time.monotonic() - start < TIMEOUT.total_seconds() + 1
    etcd.start()
    async with asyncio.timeout(10):
        while True:
            try:
                assert await real.sessions.renew(ONE, [grant.lease_id]) == [True]
                break
            except Unavailable:
                await asyncio.sleep(0.05)
    start = time.monotonic()
    while time.monotonic() - start < WAIT + 2:
        result = await attempt(real, TWO, held)
        assert isinstance(result, Refusal)
        assert await real.sessions.renew(ONE, [grant.lease_id]) == [True]
        if isinstance(await attempt(real, TWO, left), Grant):
            break
        await asyncio.sleep(0.1)
    else:
        pytest.fail("the session that nobody renewed never came free")
    assert (await fresh(real)).number == grant.token.generation  # type: ignore[attr-defined]


@pytest.mark.parametrize("how", ["emptied", "restored"])
async def test_a_new_generation_waits_for_every_former_holder(
    real: Parts, etcd: EtcdProcess, how: str
) -> None:
    account_id, other = await real.add("a", "b")
    etcd.stop()
    copy = etcd.snapshot(etcd.folder / "copy")
    etcd.start()
    old, _ = await eventually(real, ONE, account_id)
    etcd.kill()
    etcd.wipe() if how == "emptied" else etcd.restore(copy)
    lost = time.monotonic()
    etcd.start()
    new, _ = await eventually(real, TWO, other)
    assert time.monotonic() - lost >= WAIT
    assert new.token.generation == old.token.generation + 1
    assert new.token > old.token
    assert await real.sessions.renew(ONE, [old.lease_id]) == [False]
    await eventually(real, TWO, account_id)


async def test_every_registry_notices_and_one_generation_is_opened(real: Parts, etcd: EtcdProcess) -> None:
    [account_id] = await real.add("a")
    await eventually(real, ONE, account_id)
    registries = [real, real.again(), real.again()]
    watches = [asyncio.create_task(registry.generations.watch()) for registry in registries]
    etcd.kill()
    etcd.wipe()
    etcd.start()
    async with asyncio.timeout(10):
        while (await fresh(real)).number != 2:  # type: ignore[attr-defined]
            await asyncio.sleep(0.05)
    for registry in registries:
        result = await attempt(registry, TWO, account_id)
        assert isinstance(result, Refusal)
        assert result.reason is Reason.SETTLING
    assert (await fresh(real)).number == 2  # type: ignore[attr-defined]
    for watch in watches:
        watch.cancel()
    await asyncio.gather(*watches, return_exceptions=True)


async def test_a_frozen_etcd_is_an_error_within_a_bounded_time(real: Parts, etcd: EtcdProcess) -> None:
    [account_id] = await real.add("a")
    grant, _ = await eventually(real, ONE, account_id)
    etcd.freeze()
    try:
        for call in (
            attempt(real, TWO, account_id),
            real.sessions.renew(ONE, [grant.lease_id]),
            real.leases.holders(["00" * 8]),
            real.accounts.delete(account_id),
        ):
            start = time.monotonic()
            with pytest.raises(Unavailable):
                await call
            assert time.monotonic() - start < TIMEOUT.total_seconds() + 1
        await real.accounts.set_wanted([account_id], running=False, chatting=None)
    finally:
        etcd.thaw()
    await eventually(real, TWO, account_id)


async def test_a_dead_endpoint_is_passed_over(etcd: EtcdProcess) -> None:
    [dead] = free_ports(1)
    client = EtcdClient(Endpoints.parse(f"127.0.0.1:{dead},{etcd.endpoint}"), timedelta(seconds=3))
    store = EtcdLeaseStore(client, LEASE_TTL)
    assert await store.set_mirror(1, None, timedelta(0)) is not None
    start = time.monotonic()
    for _ in range(20):
        assert (await store.view()).mirror == 1
    assert time.monotonic() - start < 1, "it stays with the one that answers"
    await client.close()


async def test_nothing_of_an_answer_that_was_lost_is_lost(real: Parts, etcd: EtcdProcess) -> None:
    """The caller goes away in the middle of an acquisition; the same request then gets every session."""
    ids = await real.add(*(f"n{number}" for number in range(150)))
    items = [AcquireItem(account_id, "") for account_id in ids]
    for delay in (0.01, 0.03, 0.06, 0.1):
        first = asyncio.create_task(real.sessions.acquire(ONE, "request", items, []))
        await asyncio.sleep(delay)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
    results, terms = await real.again().sessions.acquire(ONE, "request", items, [])
    grants = [result for result in results if isinstance(result, Grant)]
    assert len(grants) == len(ids)
    assert {grant.lease_id for grant in grants} == {term.lease_id for term in terms}
    assert await real.sessions.renew(ONE, [term.lease_id for term in terms]) == [True] * len(terms)


async def test_a_lease_that_ends_between_grant_and_use_spoils_only_its_own_batch(etcd: EtcdProcess) -> None:
    client = EtcdClient(Endpoints.parse(etcd.endpoint), timedelta(seconds=3))
    await EtcdLeaseStore(client, LEASE_TTL).set_mirror(1, None, timedelta(0))
    groups = GrantGroups(client)
    good, gone = await client.grant(60), await client.grant(60)
    await client.revoke(gone)
    batches = [
        Batch(Epoch(1, 0), [Attempt(layout.session_key(key), b"{}", lease_id, None)], [(lease_id, b"{}")])
        for key, lease_id in (("00" * 8, good), ("11" * 8, gone), ("22" * 8, good))
    ]
    batches[2].records = []
    first, second, third = await asyncio.gather(*map(groups.submit, batches), return_exceptions=True)
    assert isinstance(first, tuple)
    assert isinstance(third, tuple)
    assert first[1][0].granted
    assert third[1][0].granted
    assert isinstance(second, LeaseNotFoundError)
    await groups.close()
    await client.close()
