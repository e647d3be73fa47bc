"""A place for tests of transfers: scheduler processes, a worker on stub chats, two accounts."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable

import grpc

from tests.integration.scheduler.calls import START_ALL, Transfers, fleet_call
from tests.integration.scheduler.processes import Scheduler
from tests.integration.scheduler.stubs import StubRegistry
from tests.integration.scheduler.transfer_stubs import StubChats, TransferWorker
from tgfleet.gateway.v1 import transfer_pb2 as pb

MakeScheduler = Callable[..., Scheduler]
MakeWorker = Callable[..., TransferWorker]


async def until(reached: Callable[[], bool], within: float = 15.0) -> None:
    deadline = time.monotonic() + within
    while not reached():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


async def ended(transfers: Transfers, transfer_id: str, within: float = 25.0) -> pb.Transfer:
    deadline = time.monotonic() + within
    while True:
        shown = await transfers.get(transfer_id)
        if shown.end_time.seconds:
            return shown
        assert time.monotonic() < deadline, shown
        await asyncio.sleep(0.05)


class Place:
    """A leader, a standby, a worker that reaches both, two accounts."""

    def __init__(self, make_scheduler: MakeScheduler, make: MakeWorker, registry: StubRegistry) -> None:
        self._make_scheduler, self._make = make_scheduler, make
        self.ids = [registry.add(name) for name in ("ann", "bob")]
        self.registry = registry
        self.chats = StubChats.of(1000)

    async def begin(self, *, standby: bool = False, running: bool = True, **settings: str) -> None:
        self.scheduler = self._make_scheduler(**settings)
        await self.scheduler.serving()
        schedulers = [self.scheduler]
        if standby:
            self.standby = self._make_scheduler(**settings)
            schedulers.append(self.standby)
            await self.standby.standing_by()
        self.worker = self._make("w1", self.chats, *schedulers).start()
        await self.worker.attached.wait()
        if running:
            await fleet_call(self.scheduler, START_ALL, self.ids)
        self.transfers = Transfers(self.scheduler)


async def sent_total(transfers: Transfers, transfer_id: str) -> int:
    """What the accounts' counts say, asked while the transfer has not ended."""
    explained = await transfers.one("Explain", transfer_id)
    return sum(one.sent_total for one in explained.accounts)


async def until_following(
    transfers: Transfers, transfer_id: str, done: int = 1000, within: float = 20.0
) -> None:
    deadline = time.monotonic() + within
    while True:
        with contextlib.suppress(grpc.aio.AioRpcError):
            shown = await transfers.get(transfer_id)
            if shown.state == pb.TRANSFER_STATE_FOLLOWING and shown.done == done:
                return
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)
