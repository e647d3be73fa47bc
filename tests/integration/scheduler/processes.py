"""Real etcd and scheduler processes for the integration tests."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.support.processes import spawn


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Process:
    """A child whose output goes to a log."""

    def __init__(self, argv: list[str], env: dict[str, str], log: Path) -> None:
        self.argv, self.env, self.log = argv, env, log
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = spawn(self.argv, self.env, self.log)

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)

    async def stop(self, within: float = 15) -> int:
        assert self.process is not None
        self.process.terminate()
        return await asyncio.to_thread(self.process.wait, within)

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def tail(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-40:])


class Scheduler(Process):
    """One `python -m services.scheduler`."""

    def __init__(self, name: str, directory: Path, etcd: str, registry: int, **settings: str) -> None:
        self.port = free_port()
        env = {
            "TGFLEET_SCHEDULER_LISTEN": f"127.0.0.1:{self.port}",
            "TGFLEET_REGISTRY_ENDPOINTS": f"127.0.0.1:{registry}",
            "TGFLEET_ETCD_ENDPOINTS": etcd,
            "TGFLEET_SCHEDULER_DATABASE_URL": f"sqlite:///{directory}/scheduler.db",
            "TGFLEET_LEADER_TTL": "2s",
            "TGFLEET_START_RATE": "0",
            "TGFLEET_METRICS_LISTEN": "off",
            "TGFLEET_LOG_LEVEL": "info",
            **settings,
        }
        super().__init__([sys.executable, "-m", "services.scheduler"], env, directory / f"{name}.log")

    async def health(self) -> Any:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{self.port}") as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            try:
                return (await stub.Check(health_pb2.HealthCheckRequest(), timeout=1)).status
            except grpc.aio.AioRpcError:
                return None

    async def wait_health(self, wanted: Any, within: float = 20) -> None:
        deadline = time.monotonic() + within
        while await self.health() != wanted:
            assert self.alive, self.tail()
            assert time.monotonic() < deadline, self.tail()
            await asyncio.sleep(0.05)

    async def serving(self, within: float = 20) -> None:
        await self.wait_health(health_pb2.HealthCheckResponse.SERVING, within)

    async def standing_by(self, within: float = 20) -> None:
        await self.wait_health(health_pb2.HealthCheckResponse.NOT_SERVING, within)
