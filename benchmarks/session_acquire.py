"""Session leases in etcd, beside bare transactions on the same etcd: one session a call, and many.

`python -m benchmarks.session_acquire [--rounds 12]`. Bare is `create the key if it is absent, else read it`
through a bare stub: alone, and nested 120 to a call. Ours is the registry's lease store, which in the same
transaction also compares the generation, the last grant and whose the lease is.

Callers that wait for etcd at the same time share a transaction in our store, so "our single" depends on how
many wait: it is measured with one caller, with 16 and with 256.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import uvloop
from aetcd.rpc import rpc_pb2, rpc_pb2_grpc

from benchmarks.measure import Machine, Ratios, in_turn
from services.registry.adapters import etcd_layout as layout
from services.registry.adapters.etcd_client import EtcdClient
from services.registry.adapters.etcd_leases import EtcdLeaseStore
from services.registry.domain.leasing import Epoch, Granted, HeldLease, Owner, Want
from services.runtime.addresses import Endpoints
from tests.support.etcd import EtcdProcess

T = S = timedelta(seconds=30)
EPOCH = Epoch(1, 0)
BARE_BATCH, OUR_BATCH = 120, 1_000
OWNER = Owner("worker-1", "c9a646d3-9c61-4cb7-bfcd-ee2522c8f633")


async def _together(once: Callable[[], Awaitable[None]], count: int, in_flight: int) -> float:
    async def caller() -> None:
        for _ in range(count // in_flight):
            await once()

    began = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(in_flight)))
    return time.perf_counter() - began


class _Bare:
    """Transactions through a bare stub."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._kv = rpc_pb2_grpc.KVStub(channel)
        self._lease = rpc_pb2_grpc.LeaseStub(channel)
        self.lease_id = 0

    async def fresh_lease(self) -> None:
        """Many keys on one lease make it slow; both sides change theirs each round."""
        self.lease_id = (await self._lease.LeaseGrant(rpc_pb2.LeaseGrantRequest(TTL=60))).ID

    async def one(self) -> None:
        answer = await self._kv.Txn(self._attempt())
        assert answer.succeeded

    async def batch(self) -> None:
        nested = [rpc_pb2.RequestOp(request_txn=self._attempt()) for _ in range(BARE_BATCH)]
        answer = await self._kv.Txn(rpc_pb2.TxnRequest(success=nested))
        assert all(inner.response_txn.succeeded for inner in answer.responses)

    def _attempt(self) -> Any:
        key = b"/bare/" + secrets.token_hex(8).encode()
        return rpc_pb2.TxnRequest(
            compare=[layout.is_absent(key)],
            success=[layout.put(key, _VALUE, self.lease_id)],
            failure=[layout.read(key)],
        )


_VALUE = layout.NewSessions(OWNER, secrets.token_hex(16), 1).of("acc_abcdefghijkl", S)


class _Ours:
    """The registry's lease store."""

    def __init__(self, store: EtcdLeaseStore) -> None:
        self._store = store
        self._held: list[HeldLease] = []

    async def fresh_lease(self) -> None:
        answer = await self._store.acquire(OWNER, secrets.token_hex(16), EPOCH, [_want()], [])
        self._held = [HeldLease(answer.new_leases[0].lease_id, 1, S)]

    async def one(self) -> None:
        answer = await self._store.acquire(OWNER, secrets.token_hex(16), EPOCH, [_want()], self._held)
        assert isinstance(answer.outcomes[0], Granted)

    async def batch(self) -> None:
        wants = [_want() for _ in range(OUR_BATCH)]
        answer = await self._store.acquire(OWNER, secrets.token_hex(16), EPOCH, wants, [])
        assert all(isinstance(outcome, Granted) for outcome in answer.outcomes)


def _want() -> Want:
    return Want("acc_abcdefghijkl", secrets.token_hex(8), S)


async def _singles(bare: _Bare, ours: _Ours, in_flight: int, rounds: int) -> Ratios:
    count = {1: 100, 16: 480, 256: 768}[in_flight]

    async def run(side: _Bare | _Ours) -> float:
        await side.fresh_lease()
        return await _together(side.one, count, in_flight)

    return await in_turn(lambda: run(bare), lambda: run(ours), count, rounds)


async def _batches(bare: _Bare, ours: _Ours, rounds: int) -> Ratios:
    calls = 9
    pieces = calls * BARE_BATCH

    async def run_bare() -> float:
        await bare.fresh_lease()
        return await _together(bare.batch, calls, 1)

    async def run_ours() -> float:
        return await _together(ours.batch, 1, 1) * pieces / OUR_BATCH

    return await in_turn(run_bare, run_ours, pieces, rounds)


async def _main(rounds: int) -> None:
    machine = Machine()
    with tempfile.TemporaryDirectory(prefix="tgfleet-bench-") as folder, EtcdProcess(Path(folder)) as etcd:
        client = EtcdClient(Endpoints.parse(etcd.endpoint), timedelta(seconds=10))
        store = EtcdLeaseStore(client, T)
        await store.set_mirror(1, None, timedelta(0))
        async with grpc.aio.insecure_channel(etcd.endpoint) as channel:
            bare, ours = _Bare(channel), _Ours(store)
            goals = {1: "no goal", 16: "at least 0.80", 256: "at least 0.80"}
            singles = {n: await _singles(bare, ours, n, rounds) for n in goals}
            for in_flight, found in singles.items():
                print(found.line(f"one session a call, {in_flight} in flight", goals[in_flight]))
            batches = await _batches(bare, ours, rounds)
            print(batches.line("many sessions a call", "at least 0.60"))
            times = {n: f"{batches.ours / found.ours:.1f}" for n, found in singles.items()}
            print(f"batched beside our own single: {times} times, by callers in flight (at least 5)")
        await store.close()
        await client.close()
    print(machine.line())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=12)
    options = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_main(options.rounds))
