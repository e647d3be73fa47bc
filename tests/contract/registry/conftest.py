"""The lease stores that the contract suite runs against: the one in memory and the one over a real etcd."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Protocol

import pytest

from services.registry.adapters.etcd_client import EtcdClient, rpc_pb2
from services.registry.adapters.etcd_layout import PREFIX
from services.registry.adapters.etcd_leases import EtcdLeaseStore
from services.registry.adapters.memory_leases import InMemoryLeaseStore
from services.registry.ports import LeaseStore
from services.runtime.addresses import Endpoints
from services.runtime.clock import ManualClock
from tests.support.etcd import EtcdProcess

LEASE_TTL = timedelta(seconds=1)
"""T. With S = 1 s etcd keeps leases for 2 s, the least it can."""

STEP = 0.1


class Harness(Protocol):
    """A lease store and the passing of its time."""

    store: LeaseStore

    async def moments(self, limit: float) -> AsyncIterator[float]:
        """Lets time pass in small steps for `limit` seconds, yielding how much has passed."""
        yield 0.0

    async def lose_everything(self) -> None:
        """What etcd does when it comes back with an empty folder."""


class MemoryHarness:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.memory = InMemoryLeaseStore(self.clock, LEASE_TTL)
        self.store: LeaseStore = self.memory

    async def moments(self, limit: float) -> AsyncIterator[float]:
        passed = 0.0
        while passed < limit:
            yield passed
            self.clock.advance(STEP)
            passed += STEP

    async def lose_everything(self) -> None:
        self.memory.wipe()


class EtcdHarness:
    def __init__(self, client: EtcdClient) -> None:
        self.client = client
        self.store: LeaseStore = EtcdLeaseStore(client, LEASE_TTL)

    async def moments(self, limit: float) -> AsyncIterator[float]:
        start = time.monotonic()
        while (passed := time.monotonic() - start) < limit:
            yield passed
            await asyncio.sleep(STEP)

    async def lose_everything(self) -> None:
        everything = rpc_pb2.DeleteRangeRequest(key=PREFIX.encode(), range_end=PREFIX.encode() + b"\xff")
        await self.client.txn(
            rpc_pb2.TxnRequest(success=[rpc_pb2.RequestOp(request_delete_range=everything)])
        )


@pytest.fixture(scope="package")
def shared_etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdProcess]:
    folder: Path = tmp_path_factory.mktemp("etcd")
    with EtcdProcess(folder) as etcd:
        yield etcd


@pytest.fixture(params=["memory", "etcd"])
async def harness(request: pytest.FixtureRequest) -> AsyncIterator[Harness]:
    if request.param == "memory":
        yield MemoryHarness()
        return
    etcd: EtcdProcess = request.getfixturevalue("shared_etcd")
    client = EtcdClient(Endpoints.parse(etcd.endpoint), timedelta(seconds=3))
    made = EtcdHarness(client)
    await made.lose_everything()
    yield made
    await client.close()
