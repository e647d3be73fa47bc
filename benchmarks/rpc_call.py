"""A unary call with authentication, metrics and error mapping, beside bare grpc.aio; 16 in flight.

`python -m benchmarks.rpc_call [--rounds 60] [--calls 320]`. Two server processes (rpc_server.py) and this
client, all on uvloop; both get the same calls, in turn.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator

import grpc
import uvloop

from benchmarks.measure import Machine, cpu_seconds, in_turn
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


async def _main(calls: int, rounds: int) -> None:
    machine = Machine()
    async with _server("bare") as bare, _server("ours") as ours:
        found = await in_turn(lambda: bare.run(calls), lambda: ours.run(calls), calls, rounds)
        print(found.line("unary call, 16 in flight", "at least 0.85"))
        print(
            f"processor time of the server a call: bare {bare.cost:.0f} us, ours {ours.cost:.0f} us, "
            f"ratio {bare.cost / ours.cost:.2f}"
        )
    print(machine.line())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--calls", type=int, default=320)
    options = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_main(options.calls, options.rounds))
