"""kill -9 of a worker with many sessions: when its keys are grantable, and when all run on the other worker.

`python -m benchmarks.worker_crash [--sessions 100] [--rounds 3]`. Each round starts as many clients with
a bare kurigram loop on the same data centre, 20 at a time, interleaved with our crash; only the ratio counts.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import grpc
from aetcd.rpc import kv_pb2, rpc_pb2, rpc_pb2_grpc

from benchmarks.measure import Machine
from tests.support.fleet import Client, Fleet, eventually
from tests.support.telegram import new_accounts, violations
from tgfleet.gateway.v1 import fleet_pb2

TTL, SETTLE, AT_ONCE = 2.0, 1.0, 20

SETTINGS = {"TGFLEET_CRASH_WINDOW": "1s", "TGFLEET_START_RATE": "0"}
"""The same accounts are there at every crash: nobody shall be quarantined for that here. And the fleet-wide
start rate, of 50 a second on purpose, would make 1,000 sessions a measurement of that figure."""


async def _bare(fleet: Fleet, sessions: Iterable[str]) -> float:
    """Seconds that a bare loop needs to start as many clients."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.bare_start", "127.0.0.1", str(fleet.ports["testdc"])),
        *(str(fleet.directory / "testdc.pem"), str(AT_ONCE)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("".join(f"{text}\n" for text in sessions).encode() + b"\n")
    assert await asyncio.wait_for(process.stdout.readline(), 30) == b"ready\n"
    seconds = float(await asyncio.wait_for(process.stdout.readline(), 120))
    process.stdin.close()
    await asyncio.wait_for(process.wait(), 60)
    return seconds


class _KeysGone:
    """Watches etcd for sessions' keys that are deleted, by whoever or by time."""

    def __init__(self) -> None:
        self.last = 0.0
        self.keys: set[bytes] = set()

    async def watch(self, port: int, standing: asyncio.Event) -> None:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            call = rpc_pb2_grpc.WatchStub(channel).Watch()
            create = rpc_pb2.WatchCreateRequest(key=b"/tgfleet/sessions/", range_end=b"/tgfleet/sessions0")
            await call.write(rpc_pb2.WatchRequest(create_request=create))
            async for answer in call:
                standing.set()
                for event in answer.events:
                    if event.type == kv_pb2.Event.DELETE:
                        self.keys.add(event.kv.key)
                        self.last = time.monotonic()


async def _all_on(client: Client, worker: str, names: set[str]) -> bool:
    status = await client.status()
    return all(
        status[n].state == fleet_pb2.SESSION_STATE_RUNNING and status[n].worker_id == worker for n in names
    )


async def _crash(
    fleet: Fleet, client: Client, victim: str, heir: str, names: set[str]
) -> tuple[float, float]:
    """Kill `victim`; seconds until the last key was grantable, and from then until all run on `heir`."""
    gone, standing = _KeysGone(), asyncio.Event()
    watching = asyncio.create_task(gone.watch(fleet.ports["etcd"], standing))
    try:
        await asyncio.wait_for(standing.wait(), 10)
        killed = time.monotonic()
        fleet.services[victim].kill()
        await eventually(lambda: _all_on(client, heir, names), 60, f"all run on {heir}")
        running = time.monotonic()
        assert len(gone.keys) == len(names), f"{len(gone.keys)} keys of {len(names)} were seen going"
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    return gone.last - killed, running - gone.last


async def _main(sessions: int, rounds: int) -> None:
    machine = Machine()
    with tempfile.TemporaryDirectory(prefix="tgfleet-bench-") as directory:
        async with (
            Fleet(Path(directory), capacity=2 * sessions, settings=SETTINGS) as fleet,
            fleet.client() as client,
        ):
            async with fleet.control() as control:
                ours = await new_accounts(control, sessions, prefix="ours")
                bare = await new_accounts(control, sessions, prefix="bare")
            await client.fleet.DrainWorker(fleet_pb2.DrainWorkerRequest(worker_id="worker-2"))
            await client.import_sessions({name: a.session for name, a in ours.items()})
            await client.start_all()
            await client.fleet.DrainWorker(fleet_pb2.DrainWorkerRequest(worker_id="worker-2", undo=True))
            victim, heir = "worker-1", "worker-2"
            print(f"{sessions} sessions, T = {TTL:.0f} s, S = {SETTLE:.0f} s; bare loop: {AT_ONCE} at a time")
            for number in range(1, rounds + 1):
                seconds = await _bare(fleet, (a.session for a in bare.values()))
                grantable, running = await _crash(fleet, client, victim, heir, set(ours))
                print(
                    f"round {number}: keys grantable after {grantable:.2f} s (at most {TTL + SETTLE + 1.5}); "
                    f"all running {running:.2f} s later; bare start {seconds:.2f} s; "
                    f"ratio {running / seconds:.2f} (at most 2.00)",
                    flush=True,
                )
                fleet.services[victim].start()
                await fleet.workers_connected(2)
                victim, heir = heir, victim
            async with fleet.control() as control:
                print(
                    "judge:",
                    "; ".join((await violations(control)).sentences) or "no key was used twice at once",
                )
    print(machine.line())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    asyncio.run(_main(options.sessions, options.rounds))
