"""etcd over TLS with client certificates: leases and the election work, and nobody else gets in."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from services.registry.adapters.etcd_client import EtcdClient
from services.registry.adapters.etcd_leases import EtcdLeaseStore
from services.registry.domain.leasing import Epoch, Granted, Owner, Want
from services.runtime.addresses import Endpoints
from services.runtime.clock import SystemClock
from services.runtime.errors import SettingsError, Unavailable
from services.runtime.tls import Certificates, client_certificates
from services.scheduler.adapters.election import EtcdElection
from services.scheduler.adapters.etcd import EtcdClient as SchedulersClient
from tests.support.certificates import DAY, Authority, Paths
from tests.support.etcd import EtcdProcess

LIMIT = timedelta(seconds=3)
OWNER = Owner("w1", "i-1")
SETTLE = timedelta(seconds=1)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("etcd-ca"))


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[EtcdProcess]:
    with EtcdProcess(tmp_path_factory.mktemp("etcd"), tls=authority.issue("etcd", "etcd-0")) as running:
        yield running


def shown(paths: Paths) -> Certificates:
    made = client_certificates("TGFLEET_ETCD_TLS", paths.certificate, paths.key, paths.ca)
    assert made is not None
    return made


async def granted(client: EtcdClient, key: str) -> bool:
    store = EtcdLeaseStore(client, timedelta(seconds=2))
    view = await store.view()
    number = view.mirror or 1
    await store.set_mirror(number, view.mirror, timedelta(0))
    answer = await store.acquire(OWNER, key, Epoch(number, 0), [Want("acc_a", key, SETTLE)], [])
    [lease] = answer.new_leases
    assert (await store.renew(OWNER, number, [lease.lease_id])).held == (True,)
    await store.close()
    return isinstance(answer.outcomes[0], Granted)


async def test_leases_are_granted_and_renewed_and_the_files_are_followed(
    etcd: EtcdProcess, authority: Authority
) -> None:
    paths = authority.issue("registry", "r-1")
    client = EtcdClient(Endpoints.parse(etcd.endpoint), LIMIT, shown(paths))
    assert await granted(client, "aa" * 8)
    [before] = [endpoint.channel for endpoint in client._endpoints]
    paths.become(authority.issue("registry", "r-1", "renewed"))
    async with asyncio.timeout(10):
        while before.generation == 0:  # type: ignore[attr-defined]
            assert await client.get(b"x")
            await asyncio.sleep(0.05)
    assert await granted(client, "bb" * 8)
    await client.close()


async def test_a_scheduler_is_elected(etcd: EtcdProcess, authority: Authority) -> None:
    tls = shown(authority.issue("scheduler", "s-1"))
    client = SchedulersClient(Endpoints.parse(etcd.endpoint), 2.0, tls)
    election = EtcdElection(client, "s-1", 3, SystemClock())
    async with asyncio.timeout(10):
        leadership = await election.campaign()
    assert leadership is not None
    await client.close()


@pytest.mark.parametrize("who", ["in clear", "of another CA", "expired"])
async def test_nobody_else_gets_in(etcd: EtcdProcess, authority: Authority, tmp_path: Path, who: str) -> None:
    tls: Certificates | None = None
    if who == "of another CA":  # of the fleet's own CA, say: workers have one of those
        paths = Authority(tmp_path).issue("worker", "w-1")
        paths.ca.write_bytes(paths.ca.read_bytes() + authority.ca.read_bytes())
        tls = shown(paths)
    elif who == "expired":
        with pytest.raises(SettingsError, match="TGFLEET_ETCD_TLS_CERT_FILE has expired"):
            shown(authority.issue("registry", "r-2", age=2 * DAY))
        return
    client = EtcdClient(Endpoints.parse(etcd.endpoint), LIMIT, tls)
    with pytest.raises(Unavailable) as refused:
        await client.get(b"x")
    assert refused.value.reason == "ETCD_UNAVAILABLE"
    await client.close()


async def test_an_etcd_with_a_certificate_of_another_ca_is_not_talked_to(
    tmp_path: Path, authority: Authority
) -> None:
    tls = shown(authority.issue("registry", "r-3"))
    with EtcdProcess(tmp_path / "etcd", tls=Authority(tmp_path / "ca").issue("etcd", "false")) as impostor:
        client = EtcdClient(Endpoints.parse(impostor.endpoint), LIMIT, tls)
        with pytest.raises(Unavailable):
            await client.get(b"x")
        await client.close()


def test_some_of_the_files_are_not_enough(tmp_path: Path, authority: Authority) -> None:
    paths = authority.issue("registry", "r-4")
    with pytest.raises(SettingsError, match="TGFLEET_ETCD_TLS_CA_FILE must be set, too"):
        client_certificates("TGFLEET_ETCD_TLS", paths.certificate, paths.key, None)
    assert client_certificates("TGFLEET_ETCD_TLS", None, None, None) is None
