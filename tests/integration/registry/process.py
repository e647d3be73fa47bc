"""A registry as its own process, and a client for it."""

import asyncio
import base64
import os
import secrets
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc

from tests.support.etcd import free_ports
from tgfleet.gateway.v1 import account_pb2
from tgfleet.registry.v1 import registry_pb2 as pb
from tgfleet.registry.v1.registry_pb2_grpc import RegistryServiceStub

_START_LIMIT = 30.0
_STOP_LIMIT = 15.0
BOOTSTRAP = "tgf_" + "b" * 43


class RegistryProcess:
    """`python -m services.registry` over a folder (database, keys) and an etcd; T = 2 s, S = 1 s."""

    def __init__(self, folder: Path, etcd: str, **environment: str) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.log = folder / f"registry-{secrets.token_hex(4)}.log"
        self.keys, token = folder / "master.keys", folder / "token"
        if not self.keys.exists():
            self.keys.write_text(f"k1:{base64.b64encode(secrets.token_bytes(32)).decode()}\n")
            token.write_text(BOOTSTRAP)
        [port] = free_ports(1)
        self.address = f"127.0.0.1:{port}"
        self.environment = {
            "TGFLEET_REGISTRY_LISTEN": self.address,
            "TGFLEET_REGISTRY_DATABASE_URL": f"sqlite:///{folder}/registry.db",
            "TGFLEET_ETCD_ENDPOINTS": etcd,
            "TGFLEET_MASTER_KEY_FILE": str(self.keys),
            "TGFLEET_BOOTSTRAP_TOKEN_FILE": str(token),
            "TGFLEET_LEASE_TTL": "2s",
            "TGFLEET_LEASE_SETTLE": "1s",
            **environment,
        }
        self.process: subprocess.Popen[bytes] | None = None
        self.channel: grpc.aio.Channel | None = None

    def spawn(self) -> subprocess.Popen[bytes]:
        """Starts the process without waiting for it."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "services.registry"],
                env={k: v for k, v in os.environ.items() if not k.startswith("TGFLEET_")} | self.environment,
                stdout=log,
                stderr=log,
            )
        return self.process

    async def start(self) -> "RegistryProcess":
        """Starts it and waits until it serves."""
        self.spawn()
        return await self.connect()

    async def connect(self) -> "RegistryProcess":
        """A client in this event loop, once it serves."""
        process = self.process
        assert process is not None
        self.channel = grpc.aio.insecure_channel(self.address)
        ready = asyncio.ensure_future(self.channel.channel_ready())
        try:
            async with asyncio.timeout(_START_LIMIT):
                while not ready.done():
                    assert process.poll() is None, self.log.read_text()
                    await asyncio.wait({ready}, timeout=0.05)
        finally:
            ready.cancel()
        return self

    @property
    def stub(self) -> RegistryServiceStub:
        """A client."""
        assert self.channel is not None
        return RegistryServiceStub(self.channel)

    async def disconnect(self) -> None:
        """Ends the client, not the process."""
        if self.channel is not None:
            await self.channel.close()
            self.channel = None

    async def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Ends it; the exit code. Idempotent."""
        await self.disconnect()
        process, self.process = self.process, None
        if process is None:
            return 0
        process.send_signal(how)
        try:
            return await asyncio.to_thread(process.wait, _STOP_LIMIT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise

    async def add(self, *items: account_pb2.ImportItem, request_id: str = "") -> list[Any]:
        """Imports and returns the results."""
        request = account_pb2.ImportAccountsRequest(items=items, request_id=request_id)
        answer = await self.stub.ImportAccounts(pb.ImportAccountsRequest(request=request), timeout=20)
        return list(answer.response.results)

    async def acquire(
        self, worker_id: str, incarnation: str, request_id: str, account_ids: list[str], timeout: float = 10
    ) -> Any:
        """Asks for sessions on new leases."""
        items = [pb.AcquireItem(account_id=account_id) for account_id in account_ids]
        request = pb.AcquireSessionsRequest(
            worker_id=worker_id, incarnation=incarnation, request_id=request_id, items=items
        )
        return await self.stub.AcquireSessions(request, timeout=timeout)

    async def renew(self, worker_id: str, incarnation: str, *lease_ids: int) -> list[bool]:
        """Whether each lease is still held."""
        request = pb.RenewLeasesRequest(worker_id=worker_id, incarnation=incarnation, lease_ids=lease_ids)
        return [lease.held for lease in (await self.stub.RenewLeases(request, timeout=10)).leases]
