"""A durable, exactly-once transfer beside a bare loop of raw messages.forwardMessages on the same data
centre.

`python -m benchmarks.transfer [--messages 5000] [--rounds 5]`. The data centre takes 20 ms a call and 1 ms
a message (BASELINES.md). Rounds in turn; ours is measured from CreateTransfer to COMPLETED, its reading,
planning and commits (SQLite, synchronous FULL) included. Then four accounts against one where each
account's allowance is the limit.

The processor time is that of all our processes, a client that watches the transfer included, without what
the bare client needs for its calls and without what the fleet needs when it is idle.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.measure import Machine, cpu_seconds
from tests.support.fleet import Client, Fleet
from tests.support.transfers import Scene, Transfers, new_scene
from tgfleet.gateway.v1 import transfer_pb2
from tgfleet.testdc.v1 import control_pb2 as pb

BATCH = 100
OURS = ("gateway-1", "scheduler-1", "worker-1", "registry")
ALLOWANCE, EVERY = 400, 4.0
"""Messages that an account may forward in so many seconds, where that is the limit."""


class _Bare:
    """The bare loop in its process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, fleet: Fleet, session: str, scene: Scene, messages: int) -> _Bare:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "benchmarks.bare_forward", "127.0.0.1", str(fleet.ports["testdc"])),
            *(str(fleet.directory / "testdc.pem"), str(scene.source_id), str(scene.target_id), str(messages)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        bare = cls(process)
        await bare._tell(session)
        assert await bare._line() == "ready"
        return bare

    async def run(self) -> tuple[float, float]:
        """Seconds, and processor seconds."""
        await self._tell("go")
        seconds, used = (await self._line()).split()
        return float(seconds), float(used)

    async def stop(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        await asyncio.wait_for(self._process.wait(), 30)

    async def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())
        await self._process.stdin.drain()

    async def _line(self) -> str:
        assert self._process.stdout is not None
        return (await asyncio.wait_for(self._process.stdout.readline(), 120)).decode().strip()


async def _ours(fleet: Fleet, transfers: Transfers, scene: Scene) -> tuple[float, float]:
    used = sum(cpu_seconds(fleet.services[name].pid) for name in OURS)
    began = time.monotonic()
    made = await transfers.create(scene, max_per_hour=1_000_000)
    async for answer in transfers.stub.WatchTransfer(
        transfer_pb2.WatchTransferRequest(transfer_id=made.transfer_id), timeout=120
    ):
        last = answer.transfer
    seconds = time.monotonic() - began
    assert last.state == transfer_pb2.TRANSFER_STATE_COMPLETED, last
    return seconds, sum(cpu_seconds(fleet.services[name].pid) for name in OURS) - used


async def _idle(fleet: Fleet, seconds: float = 5.0) -> float:
    """Processor seconds a second that our processes use without any transfer: renewals, heartbeats."""
    used = sum(cpu_seconds(fleet.services[name].pid) for name in OURS)
    await asyncio.sleep(seconds)
    return (sum(cpu_seconds(fleet.services[name].pid) for name in OURS) - used) / seconds


async def _beside_the_bare_loop(fleet: Fleet, client: Client, messages: int, rounds: int) -> None:
    plain = pb.History(count=messages, seed=1)
    async with fleet.control() as control:
        scene = await new_scene(control, accounts=1, history=plain)
        bare_scene = await new_scene(control, accounts=1, history=plain)
    bare = await _Bare.start(fleet, bare_scene.accounts["acc-1"].session, bare_scene, messages)
    await client.import_sessions({name: one.session for name, one in scene.accounts.items()})
    await client.start_all()
    transfers = Transfers(client)
    batches = messages / BATCH
    ratios, extra = [], []
    idle = await _idle(fleet)
    for number in range(rounds + 1):
        theirs = await bare.run()
        ours = await _ours(fleet, transfers, scene)
        if number:
            ratios.append(theirs[0] / ours[0])
            used = ours[1] - idle * ours[0]
            extra.append((used - theirs[1]) / batches * 1000)
            print(
                f"round {number}: {messages} messages: bare {theirs[0]:.2f} s, ours {ours[0]:.2f} s, "
                f"ratio {ratios[-1]:.3f}; processor a batch: bare {theirs[1] / batches * 1000:.1f} ms, "
                f"ours {used / batches * 1000:.1f} ms",
                flush=True,
            )
    await bare.stop()
    print(
        f"transfer beside the bare loop: ratio {statistics.median(ratios):.3f} (at least 0.95); "
        f"processor beyond the bare client's and an idle fleet's ({idle * 1000:.0f} ms a second): "
        f"{statistics.median(extra):.1f} ms a batch (at most 5)"
    )


async def _limited(fleet: Fleet, client: Client, accounts: int) -> float:
    """Messages a second of so many accounts, each allowed ALLOWANCE in EVERY seconds."""
    async with fleet.control() as control:
        scene = await new_scene(control, accounts=accounts, history=pb.History(count=8_000, seed=2))
        for one in scene.accounts.values():
            policy = pb.FloodPolicy(
                methods=["messages.forwardMessages"],
                user_id=one.user_id,
                shape=pb.FLOOD_SHAPE_WINDOW,
                budget=ALLOWANCE,
            )
            policy.period.FromNanoseconds(int(EVERY * 1e9))
            policy.wait.FromNanoseconds(int(EVERY * 1e9))
            await control.SetFloodPolicy(pb.SetFloodPolicyRequest(policy=policy), timeout=10)
    label = f"limited-{accounts}"
    names = {f"{label}-{name}": one.session for name, one in scene.accounts.items()}
    await client.import_sessions(names, labels={"of": label})
    await client.start_all()
    transfers = Transfers(client)
    made = await transfers.create(scene, match_labels={"of": label}, max_per_hour=1_000_000)
    await asyncio.sleep(5 * EVERY)
    done = (await transfers.get(made.transfer_id)).done
    await transfers.wish("Cancel", made.transfer_id)
    return done / (5 * EVERY)


async def _main(messages: int, rounds: int) -> None:
    machine = Machine()
    with tempfile.TemporaryDirectory(prefix="tgfleet-bench-") as directory:
        # T and S as in production: with 2 s the renewals of an idle fleet would count as ours
        fleet = Fleet(Path(directory), workers=1, ttl="30s", settle="30s")
        async with fleet, fleet.client() as client:
            async with fleet.control() as control:
                await control.SetRules(_costs(), timeout=10)
            await _beside_the_bare_loop(fleet, client, messages, rounds)
            one = await _limited(fleet, client, 1)
            four = await _limited(fleet, client, 4)
            print(
                f"each account allowed {ALLOWANCE} in {EVERY:.0f} s: one {one:.0f}/s, four {four:.0f}/s, "
                f"ratio {four / one:.2f} (at least 3)"
            )
    print(machine.line())


def _costs() -> pb.SetRulesRequest:
    cost = pb.MethodCost(method="messages.forwardMessages")
    cost.per_call.FromMilliseconds(20)
    cost.per_message.FromMilliseconds(1)
    return pb.SetRulesRequest(costs=[cost])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=5_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    asyncio.run(_main(options.messages, options.rounds))
