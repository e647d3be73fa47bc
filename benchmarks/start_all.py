"""StartAll of 10,000 accounts over stub workers: real gateway, scheduler, registry and etcd, no Telegram.

`python -m benchmarks.start_all [--accounts 10000] [--workers 10] [--rounds 5]`. The bare baseline is the sum
of what cannot be left out, each alone and one after the other: one unary call to each worker, which carries
its accounts with their session material and gets a report for each back; one bulk update of what is wanted in
a copy of the registry's own SQLite file (synchronous FULL); and the acquisitions in etcd, nested 120 to a
transaction. It reads no session, decrypts nothing, and decides nothing. On a busy machine the ratio of times
says more of the others there than of us, so that of processor times is given as well.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import secrets
import sqlite3
import statistics
import struct
import sys
import tempfile
import time
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import uvloop
from aetcd.rpc import rpc_pb2, rpc_pb2_grpc

from benchmarks.measure import Machine, cpu_seconds
from benchmarks.stub_workers import BARE_METHOD
from tests.support.fleet import Client, Fleet
from tgfleet.gateway.v1 import fleet_pb2, result_pb2
from tgfleet.registry.v1 import registry_pb2
from tgfleet.worker.v1 import worker_pb2

SETTINGS = {"TGFLEET_START_RATE": "0"}
NESTED = 120
_AUTH_KEY = secrets.token_bytes(256)


def _session() -> str:
    """A session string as Pyrogram makes them, of a key that nobody knows."""
    user_id = 10_000_000 + secrets.randbelow(2**40)
    packed = struct.pack(">BI?256sQ?", 2, 4242, False, secrets.token_bytes(256), user_id, False)  # noqa: FBT003
    return urlsafe_b64encode(packed).decode().rstrip("=")


class _Bare:
    """The three raw pieces."""

    def __init__(
        self, worker: grpc.aio.Channel, etcd: grpc.aio.Channel, folder: Path, ids: list[str]
    ) -> None:
        self._start: Any = worker.unary_unary(
            BARE_METHOD,
            registry_pb2.AcquireSessionsResponse.SerializeToString,
            worker_pb2.SessionReports.FromString,
        )
        self._kv, self._lease = rpc_pb2_grpc.KVStub(etcd), rpc_pb2_grpc.LeaseStub(etcd)
        self._ids = ids
        self._db = sqlite3.connect(folder / "bare.db")
        with contextlib.closing(sqlite3.connect(folder / "registry.db")) as original:
            original.backup(self._db)
        self._db.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL")

    async def run(self, workers: int) -> tuple[float, float, float]:
        """Seconds for the calls, the update and the acquisitions."""
        times = [time.perf_counter()]
        share = -(-len(self._ids) // workers)
        for start in range(0, len(self._ids), share):
            await self._start(_material(self._ids[start : start + share]))
        times.append(time.perf_counter())
        self._db.execute(
            "UPDATE accounts SET wanted_running = 1 - wanted_running, wish_revision = wish_revision + 1"
        )
        self._db.commit()
        times.append(time.perf_counter())
        await self._acquire()
        times.append(time.perf_counter())
        return times[1] - times[0], times[2] - times[1], times[3] - times[2]

    async def _acquire(self) -> None:
        for start in range(0, len(self._ids), NESTED):
            if start % (8 * NESTED) == 0:  # about 1,000 sessions a lease, as ours
                lease = (await self._lease.LeaseGrant(rpc_pb2.LeaseGrantRequest(TTL=60))).ID
            request = rpc_pb2.TxnRequest()
            for _ in self._ids[start : start + NESTED]:
                txn, key = request.success.add().request_txn, b"/bare/" + secrets.token_hex(8).encode()
                txn.compare.add(key=key, target=rpc_pb2.Compare.CREATE, result=rpc_pb2.Compare.EQUAL)
                put = txn.success.add().request_put
                put.key, put.value, put.lease = key, b"x" * 200, lease
            answer = await self._kv.Txn(request)
            assert all(inner.response_txn.succeeded for inner in answer.responses)


def _material(ids: list[str]) -> registry_pb2.AcquireSessionsResponse:
    """What a worker needs to start these accounts."""
    message = registry_pb2.AcquireSessionsResponse()
    for account_id in ids:
        grant = message.results.add(account_id=account_id).grant
        grant.token.generation, grant.token.revision = 1, 1
        grant.lease_id, grant.auth_key_id, grant.user_id = 1, "0" * 16, 1
        grant.name, grant.time_zone = account_id, "UTC"
        grant.session.dc_id, grant.session.auth_key, grant.session.user_id = 2, _AUTH_KEY, 1
    return message


@dataclass(frozen=True)
class _Started:
    """One StartAll: seconds to the first result and to the summary."""

    first: float
    all: float


async def _start_all(client: Client, expected: int) -> _Started:
    began = time.perf_counter()
    first = 0.0
    seen: set[str] = set()
    count = 0
    call = client.fleet.StartAll(fleet_pb2.StartAllRequest(), timeout=120)
    async for message in call:
        first = first or time.perf_counter() - began
        count += len(message.results)
        for result in message.results:
            assert result.outcome == result_pb2.OUTCOME_STARTED, result
            seen.add(result.account_id)
    assert count == len(seen) == expected, f"{count} results for {len(seen)} of {expected} accounts"
    return _Started(first, time.perf_counter() - began)


@contextlib.asynccontextmanager
async def _stub_workers(
    fleet: Fleet, workers: int, capacity: int
) -> AsyncIterator[tuple[grpc.aio.Channel, int]]:
    """A channel to the bare call of the workers' process, and its id."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.stub_workers", str(workers), str(capacity)),
        env={
            "TGFLEET_REGISTRY_ENDPOINTS": f"127.0.0.1:{fleet.ports['registry']}",
            "TGFLEET_SCHEDULER_ENDPOINTS": f"127.0.0.1:{fleet.ports['scheduler-1']}",
        },
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        port = int(await asyncio.wait_for(process.stdout.readline(), 20))
        await fleet.workers_connected(workers)
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield channel, process.pid
    finally:
        process.stdin.close()
        await asyncio.wait_for(process.wait(), 20)


class _Clocks:
    """The processor time of several processes since this was made, in seconds by name."""

    def __init__(self, pids: dict[str, int]) -> None:
        self._pids = pids
        self._began = {name: cpu_seconds(pid) for name, pid in pids.items()}

    def spent(self) -> dict[str, float]:
        return {name: cpu_seconds(pid) - self._began[name] for name, pid in self._pids.items()}


async def _rounds(
    client: Client, bare: _Bare, pids: dict[str, int], *, accounts: int, workers: int, rounds: int
) -> None:
    ours: list[_Started] = []
    raw: list[float] = []
    costs: list[float] = []
    for number in range(rounds):
        clocks = _Clocks(pids)
        pieces = await bare.run(workers)
        bare_cpu, clocks = sum(clocks.spent().values()), _Clocks(pids)
        started = await _start_all(client, accounts)
        cpu = clocks.spent()
        await client.stop_all(timeout=120)
        raw.append(sum(pieces))
        ours.append(started)
        costs.append(sum(cpu.values()) / bare_cpu)
        print(
            f"round {number + 1}: first {started.first * 1000:.0f} ms, all {started.all * 1000:.0f} ms; bare "
            + " + ".join(f"{piece * 1000:.0f}" for piece in pieces)
            + f" ms (calls, SQL, etcd); ratio {started.all / raw[-1]:.2f}; processor time "
            + ", ".join(f"{name} {seconds:.2f} s" for name, seconds in cpu.items())
            + f", {costs[-1]:.2f} of bare",
            flush=True,
        )
    first = statistics.median(one.first for one in ours) * 1000
    everything, bare_ms = (statistics.median(s) * 1000 for s in ([one.all for one in ours], raw))
    ratio = statistics.median(one.all / seconds for one, seconds in zip(ours, raw, strict=True))
    print(
        f"StartAll of {accounts:,}: first {first:.0f} ms (below 50), all {everything:.0f} ms, "
        f"bare {bare_ms:.0f} ms, ratio {ratio:.2f} (at most 1.50); processor time of all processes "
        f"{statistics.median(costs):.2f} of bare; every account exactly once"
    )


async def _main(accounts: int, workers: int, rounds: int) -> None:
    machine = Machine()
    with tempfile.TemporaryDirectory(prefix="tgfleet-bench-") as directory:
        async with (
            Fleet(Path(directory), workers=0, ttl="30s", settle="30s", settings=SETTINGS) as fleet,
            fleet.client() as client,
            _stub_workers(fleet, workers, 2 * accounts // workers) as (worker, worker_pid),
            grpc.aio.insecure_channel(f"127.0.0.1:{fleet.ports['etcd']}") as etcd,
        ):
            added = await client.import_sessions({f"account-{n:05}": _session() for n in range(accounts)})
            bare = _Bare(worker, etcd, Path(directory), [a.account_id for a in added.values()])
            pids = {
                name: fleet.services[name].pid for name in ("gateway-1", "scheduler-1", "registry", "etcd")
            }
            pids |= {"workers": worker_pid, "client": os.getpid()}
            await _rounds(client, bare, pids, accounts=accounts, workers=workers, rounds=rounds)
    print(machine.line())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accounts", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_main(options.accounts, options.workers, options.rounds))
