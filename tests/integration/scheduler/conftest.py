"""Fixtures: a real etcd, a stub registry, and real scheduler processes."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.scheduler.processes import Scheduler
from tests.integration.scheduler.stubs import StubRegistry, StubWorker
from tests.integration.scheduler.transfer_place import MakeScheduler, MakeWorker, Place
from tests.integration.scheduler.transfer_stubs import StubChats, TransferWorker
from tests.support.etcd import EtcdProcess


@pytest.fixture
def etcd(tmp_path: Path) -> Iterator[EtcdProcess]:
    with EtcdProcess(tmp_path / "etcd") as process:
        yield process


@pytest.fixture
async def registry() -> AsyncIterator[StubRegistry]:
    async with StubRegistry() as stub:
        yield stub


@pytest.fixture
async def make_scheduler(
    tmp_path: Path, etcd: EtcdProcess, registry: StubRegistry
) -> AsyncIterator[Callable[..., Scheduler]]:
    made: list[Scheduler] = []

    def make(**settings: str) -> Scheduler:
        scheduler = Scheduler(f"scheduler-{len(made)}", tmp_path, etcd.endpoint, registry.port, **settings)
        made.append(scheduler)
        scheduler.start()
        return scheduler

    try:
        yield make
    finally:
        for scheduler in made:
            scheduler.kill()


@pytest.fixture
async def make_worker() -> AsyncIterator[Callable[..., StubWorker]]:
    async with contextlib.AsyncExitStack() as stack:

        def make(worker_id: str, *schedulers: Scheduler, capacity: int = 500) -> StubWorker:
            worker = StubWorker(worker_id, [s.port for s in schedulers], capacity)
            stack.push_async_callback(worker.kill)
            return worker

        yield make


@pytest.fixture
async def make_transfer_worker() -> AsyncIterator[MakeWorker]:
    async with contextlib.AsyncExitStack() as stack:

        def make(worker_id: str, chats: StubChats, *schedulers: Scheduler) -> TransferWorker:
            worker = TransferWorker(worker_id, [one.port for one in schedulers], chats)
            stack.push_async_callback(worker.kill)
            return worker

        yield make


@pytest.fixture
def place(make_scheduler: MakeScheduler, make_transfer_worker: MakeWorker, registry: StubRegistry) -> Place:
    return Place(make_scheduler, make_transfer_worker, registry)
