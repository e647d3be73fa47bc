"""A unary call with authentication, metrics and error mapping, beside bare grpc.aio; 16 in flight.

`python -m benchmarks.rpc_call [--rounds 200] [--calls 160] [--pairs 3]`. Two server processes (rpc_server.py)
and this client, all on uvloop; both get the same calls, in short turns. Two processes that run the same code
differ by up to a fifth (where their memory lies, which core they got), so several pairs are measured one
after the other and the medians over all their rounds count.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import statistics
import sys
import time
from collections.abc import AsyncIterator

import grpc
import uvloop

from benchmarks.measure import Machine, cpu_seconds, ratios_of, timed_in_turn
from tgfleet.gateway.v1 import account_pb2, account_pb2_grpc

IN_FLIGHT = 16
_METADATA = (("authorization", "Bearer tgf_0123456789abcdef0123456789abcdef"),)
_REQUEST = account_pb2.GetAccountRequest(account_id="acc_abcdefghijkl")


class _Server:
    """A server process, its channel, and the processor time that its calls cost."""

    def __init__(self, pid: int, stub: account_pb2_grpc.AccountServiceStub) -> None:
        self.pid = pid
        self.cpu = 0.0
        self.calls = 0
        self._stub = stub

    async def run(self, calls: int) -> float:
        """Makes so many calls; the seconds that they took."""

        async def caller() -> None:
            for _ in range(calls // IN_FLIGHT):
                await self._stub.GetAccount(_REQUEST, metadata=_METADATA)

        cpu, began = cpu_seconds(self.pid), time.perf_counter()
        await asyncio.gather(*(caller() for _ in range(IN_FLIGHT)))
        seconds = time.perf_counter() - began
        self.cpu += cpu_seconds(self.pid) - cpu
        self.calls += calls
        return seconds

    @property
    def cost(self) -> float:
        """Microseconds of the server's processor time a call."""
        return self.cpu / self.calls * 1e6


@contextlib.asynccontextmanager
async def _server(kind: str) -> AsyncIterator[_Server]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.rpc_server", kind),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        port = int(await asyncio.wait_for(process.stdout.readline(), 20))
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield _Server(process.pid, account_pb2_grpc.AccountServiceStub(channel))
    finally:
        process.stdin.close()
        await asyncio.wait_for(process.wait(), 20)


async def _pair(calls: int, rounds: int) -> tuple[list[tuple[float, float]], float, float]:
    """Seconds (bare, ours) of each round of two fresh servers, and what a call cost each."""
    async with _server("bare") as bare, _server("ours") as ours:
        seconds = await timed_in_turn(lambda: bare.run(calls), lambda: ours.run(calls), rounds)
        found = ratios_of(seconds, calls)
        print(found.line("  one pair", f"processor time {bare.cost:.0f} and {ours.cost:.0f} us"), flush=True)
        return seconds, bare.cost, ours.cost


async def _main(calls: int, rounds: int, pairs: int) -> None:
    machine = Machine()
    seconds: list[tuple[float, float]] = []
    costs: list[tuple[float, float]] = []
    for _ in range(pairs):
        one, bare_cost, our_cost = await _pair(calls, rounds)
        seconds += one
        costs.append((bare_cost, our_cost))
    print(ratios_of(seconds, calls).line("unary call, 16 in flight", "at least 0.85"))
    bare, ours = (statistics.mean(cost) for cost in zip(*costs, strict=True))
    ratio = bare / ours
    print(f"processor time of the server a call: bare {bare:.0f} us, ours {ours:.0f} us, ratio {ratio:.2f}")
    print(machine.line())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--calls", type=int, default=160)
    parser.add_argument("--pairs", type=int, default=3)
    options = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_main(options.calls, options.rounds, options.pairs))
