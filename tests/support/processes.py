"""One process under test: started with settings in its environment; killed, frozen, watched."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

ROOT = Path(__file__).resolve().parents[2]


def spawn(argv: Sequence[str], env: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
    """A child with these settings and no others, its output appended to a log."""
    ours = ("TGFLEET_", "USERBOT_", "ETCD_")
    base = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    with log.open("ab") as out:
        return subprocess.Popen(
            argv,
            env={**base, **env},
            cwd=ROOT,
            stdout=out,
            stderr=out,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )


@dataclass
class Service:
    """One process: what to run, and the process that runs it now."""

    name: str
    argv: list[str]
    env: dict[str, str]
    port: int
    log: Path
    process: subprocess.Popen[bytes] | None = None
    exits: list[int] = field(default_factory=list)
    health_port: int = 0

    @property
    def probe(self) -> int:
        """The port that answers health in clear: one of its own with mTLS."""
        return self.health_port or self.port

    def start(self) -> None:
        """Start it, with its output appended to its log."""
        self.process = spawn(self.argv, self.env, self.log)

    @property
    def pid(self) -> int:
        assert self.process is not None, f"{self.name} was never started"
        return self.process.pid

    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        if self.alive():
            os.kill(self.pid, number)

    def kill(self) -> None:
        """kill -9, and wait until it is gone."""
        if self.process is None:
            return
        self.signal(signal.SIGKILL)
        self.exits.append(self.process.wait(10))

    async def stop(self, within: float = 20) -> int:
        """SIGTERM; the exit code. Fails when it is not gone in time."""
        assert self.process is not None
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        code = await asyncio.to_thread(self.process.wait, within)
        self.exits.append(code)
        return code

    async def serving(self, within: float = 30) -> None:
        """Wait until its health service says SERVING."""
        deadline = time.monotonic() + within
        while not await health_is(self.probe, health_pb2.HealthCheckResponse.SERVING):
            assert self.alive(), f"{self.name} ended:\n{self.tail()}"
            assert time.monotonic() < deadline, f"{self.name} is not serving after {within} s:\n{self.tail()}"
            await asyncio.sleep(0.05)

    def tail(self, lines: int = 25) -> str:
        return (
            "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:]) if self.log.exists() else ""
        )


async def health_is(port: int, status: int) -> bool:
    """Whether the process on this port answers its health check with this status."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        try:
            answer = await health_pb2_grpc.HealthStub(channel).Check(
                health_pb2.HealthCheckRequest(), timeout=2
            )
        except grpc.aio.AioRpcError:
            return False
        return bool(answer.status == status)


async def port_open(service: Service, within: float = 20) -> None:
    """Wait until the process accepts connections on its port."""
    deadline = time.monotonic() + within
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", service.port)
        except OSError:
            assert service.alive(), f"{service.name} ended:\n{service.tail()}"
            assert time.monotonic() < deadline, f"{service.name} does not listen:\n{service.tail()}"
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return


async def etcd_healthy(service: Service, within: float = 20) -> None:
    """Wait until this member of etcd says that it follows a leader, so that the next one may go down."""
    deadline = time.monotonic() + within
    while not await _says_healthy(service.probe):
        assert service.alive(), f"{service.name} ended:\n{service.tail()}"
        assert time.monotonic() < deadline, f"{service.name} is not healthy:\n{service.tail()}"
        await asyncio.sleep(0.05)


async def _says_healthy(port: int) -> bool:
    """etcd serves HTTP on its client port too, with TLS on a port for that; /health is true once a read
    through the leader worked."""
    try:
        async with asyncio.timeout(2):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /health HTTP/1.1\r\nHost: etcd\r\nConnection: close\r\n\r\n")
            answer = await reader.read()
    except OSError:
        return False
    writer.close()
    return b'"health":"true"' in answer
