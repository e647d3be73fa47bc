"""A whole fleet of real processes for end-to-end tests and chaos: each can be killed, frozen, restarted.

Shares no code with services.standalone or services.admin (but for certificates): it starts `python -m
services.<name>` with settings in the environment, as Kubernetes would, and speaks the public gRPC interface.
Everything listens on loopback.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.support.certificates import Authority, Paths
from tests.support.postgres import PostgresProcess
from tests.support.proxy import CuttableLink
from tgfleet.gateway.v1 import (
    account_pb2,
    account_pb2_grpc,
    fleet_pb2,
    fleet_pb2_grpc,
    result_pb2,
    token_pb2_grpc,
    transfer_pb2_grpc,
)
from tgfleet.testdc.v1 import control_pb2_grpc

ROOT = Path(__file__).resolve().parents[2]


_SLICES, _SLICE = 12, 1_000
_MINE = int(os.environ.get("PYTEST_XDIST_WORKER", "gw-1").removeprefix("gw")) + 1
_ports = itertools.cycle(range(20_000 + _MINE % _SLICES * _SLICE, 20_000 + (_MINE % _SLICES + 1) * _SLICE))


def free_port() -> int:
    """A loopback port that nobody listens on now, and that no test beside this one is given.

    Each process of a parallel test run counts through a thousand ports of its own, below the range from
    which systems lend out client ports: one of those would be taken before the service binds it.
    """
    while True:
        port = next(_ports)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port


def killable_etcd() -> Path:
    """An etcd that survives kill -9; fails, never skips, when there is none (see fetch_etcd.sh)."""
    path = Path(os.environ.get("TGFLEET_TEST_ETCD") or ROOT / ".cache/etcd/usr/bin/etcd")
    assert path.is_file(), f"{path} is missing: run tests/support/fetch_etcd.sh or set TGFLEET_TEST_ETCD"
    return path


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
        base = {k: v for k, v in os.environ.items() if not k.startswith(("TGFLEET_", "USERBOT_"))}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.argv,
                env={**base, **self.env},
                cwd=ROOT,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

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


class Fleet:
    """etcd, test data centre, registries, schedulers, workers and gateways in `directory`."""

    def __init__(
        self,
        directory: Path,
        *,
        workers: int = 2,
        registries: int = 1,
        schedulers: int = 1,
        gateways: int = 1,
        etcds: int = 1,
        ttl: str = "2s",
        settle: str = "1s",
        capacity: int = 500,
        settings: Mapping[str, str] | None = None,
        tls: bool = False,
        postgres: PostgresProcess | None = None,
    ) -> None:
        """With `tls` the services speak mTLS and the gateway TLS, with certificates of `authority`. Databases
        are made in `postgres`, if it is given and runs; else they are SQLite files."""
        assert registries == 1 or postgres, "SQLite allows one registry; more need PostgreSQL"
        self.directory = directory
        self.services: dict[str, Service] = {}
        self.links: dict[str, CuttableLink] = {}
        self._stack = contextlib.AsyncExitStack()
        self._counts = {"worker": workers, "scheduler": schedulers, "gateway": gateways}
        self.etcd_names = [f"etcd-{n}" for n in range(1, etcds + 1)] if etcds > 1 else ["etcd"]
        self.registry_names = [f"registry-{n}" for n in range(1, registries + 1)]
        if registries == 1:
            self.registry_names = ["registry"]
        self.postgres = postgres
        self._ttl, self._settle, self._capacity = ttl, settle, capacity
        self._settings = dict(settings or {})
        self.authority = Authority(directory / "ca") if tls else None
        self.identities: dict[str, Paths] = {}
        self.admin_token = "tgf_" + secrets.token_hex(24)
        self.ports: dict[str, int] = {}
        self.metrics_ports: dict[str, int] = {}

    async def __aenter__(self) -> Self:
        self.directory.mkdir(parents=True, exist_ok=True)
        self._write_secrets()
        self._plan()
        try:
            await self._start_all()
        except BaseException:
            await self._teardown()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._teardown()

    async def _teardown(self) -> None:
        for service in self.services.values():
            service.kill()
        await self._stack.aclose()

    def _write_secrets(self) -> None:
        key = self.directory / "master.key"
        if not key.exists():
            key.write_text("k1:" + base64.b64encode(secrets.token_bytes(32)).decode() + "\n")
            key.chmod(0o600)
        token = self.directory / "admin.token"
        token.write_text(self.admin_token)
        token.chmod(0o600)

    def _plan(self) -> None:
        names = [*self.etcd_names, *(f"{name}-peer" for name in self.etcd_names)]
        names += ["testdc", *self.registry_names]
        names += [f"{kind}-{n}" for kind, count in self._counts.items() for n in range(1, count + 1)]
        for name in (*names, "testdc-media", "testdc-control"):
            self.ports[name] = free_port()

    def _common(self) -> dict[str, str]:
        schedulers = ",".join(
            f"127.0.0.1:{port}" for name, port in self.ports.items() if name.startswith("scheduler-")
        )
        return {
            "PYTHONUNBUFFERED": "1",
            "TGFLEET_LOG_FORMAT": "json",
            "TGFLEET_LOG_LEVEL": "info",
            "TGFLEET_ETCD_ENDPOINTS": ",".join(
                f"127.0.0.1:{self.link_port(name)}" for name in self.etcd_names
            ),
            "TGFLEET_REGISTRY_ENDPOINTS": ",".join(
                f"127.0.0.1:{self.ports[name]}" for name in self.registry_names
            ),
            "TGFLEET_SCHEDULER_ENDPOINTS": schedulers,
            "TGFLEET_LEASE_TTL": self._ttl,
            "TGFLEET_LEASE_SETTLE": self._settle,
            **self._settings,
        }

    def _add(self, name: str, module: str, extra: Mapping[str, str]) -> Service:
        kind = module.upper()
        self.metrics_ports[name] = free_port()
        own = {
            f"TGFLEET_{kind}_LISTEN": f"127.0.0.1:{self.ports[name]}",
            "TGFLEET_METRICS_LISTEN": f"127.0.0.1:{self.metrics_ports[name]}",
        }
        health_port, secured = self._secured(name, module)
        env = {**self._common(), **own, **secured, **extra}
        service = Service(
            name,
            [sys.executable, "-m", f"services.{module}"],
            env,
            self.ports[name],
            self.directory / f"{name}.log",
            health_port=health_port,
        )
        self.services[name] = service
        return service

    def _secured(self, name: str, module: str) -> tuple[int, dict[str, str]]:
        """The port for health and the settings for TLS; none without it and for the test data centre."""
        if self.authority is None or module == "testdc":
            return 0, {}
        paths = self.identities[name] = self.authority.issue(module, name)
        public = {
            "TGFLEET_GATEWAY_TLS_CERT_FILE": str(paths.certificate),
            "TGFLEET_GATEWAY_TLS_KEY_FILE": str(paths.key),
        }
        port = free_port()
        health = {"TGFLEET_HEALTH_LISTEN": f"127.0.0.1:{port}"}
        return port, {**paths.environment, **health, **(public if module == "gateway" else {})}

    async def _start_all(self) -> None:
        await self.start_etcd()
        await self._start_testdc()
        registry = {
            "TGFLEET_REGISTRY_DATABASE_URL": self._database("registry"),
            "TGFLEET_MASTER_KEY_FILE": str(self.directory / "master.key"),
            "TGFLEET_BOOTSTRAP_TOKEN_FILE": str(self.directory / "admin.token"),
        }
        for name in self.registry_names:
            service = self._add(name, "registry", registry)
            service.start()
            await service.serving()
        scheduler = {"TGFLEET_SCHEDULER_DATABASE_URL": self._database("scheduler")}
        for n in range(1, self._counts["scheduler"] + 1):
            self._add(f"scheduler-{n}", "scheduler", scheduler).start()
        for n in range(1, self._counts["worker"] + 1):
            (await self._worker(f"worker-{n}")).start()
        for n in range(1, self._counts["gateway"] + 1):
            self._add(f"gateway-{n}", "gateway", {}).start()
        await self.leader()
        for name, service in self.services.items():
            if name.startswith(("gateway", "worker")):
                await service.serving()
        await self.workers_connected(self._counts["worker"])

    def _database(self, name: str) -> str:
        if self.postgres is not None:
            return self.postgres.new_database()
        return f"sqlite+aiosqlite:///{self.directory}/{name}.db"

    def link_port(self, name: str) -> int:
        """Where others reach this process: its link when it has one, else itself."""
        return self.links[name].port if name in self.links else self.ports[name]

    async def start_etcd(self) -> None:
        """Start etcd, all its members, on the data they have."""
        if len(self.etcd_names) > 1:
            for name in (each for etcd in self.etcd_names for each in (etcd, f"{etcd}-peer")):
                if name not in self.links:
                    link = CuttableLink(self.ports[name])
                    self.links[name] = await self._stack.enter_async_context(link)
        for name in self.etcd_names:
            argv = self._etcd_argv(name)
            made = Service(name, argv, {}, self.ports[name], self.directory / f"{name}.log")
            self.services.setdefault(name, made).start()
        for name in self.etcd_names:
            await etcd_healthy(self.services[name])

    def _etcd_argv(self, name: str) -> list[str]:
        """Several members are reached through links of their own, by each other too: each can be cut off."""
        peers = {each: f"http://127.0.0.1:{self.link_port(f'{each}-peer')}" for each in self.etcd_names}
        arguments = {
            "name": name,
            "data-dir": str(self.directory / name),
            "logger": "zap",
            "log-level": "warn",
            "listen-client-urls": f"http://127.0.0.1:{self.ports[name]}",
            "advertise-client-urls": f"http://127.0.0.1:{self.link_port(name)}",
            "listen-peer-urls": f"http://127.0.0.1:{self.ports[f'{name}-peer']}",
            "initial-advertise-peer-urls": peers[name],
            "initial-cluster": ",".join(f"{each}={url}" for each, url in peers.items()),
        }
        return [str(killable_etcd()), *(f"--{key}={value}" for key, value in arguments.items())]

    async def _start_testdc(self) -> None:
        extra = {
            "TGFLEET_TESTDC_MEDIA_PORT": str(self.ports["testdc-media"]),
            "TGFLEET_TESTDC_STATE": str(self.directory / "testdc.state"),
            "TGFLEET_TESTDC_CONTROL_LISTEN": f"127.0.0.1:{self.ports['testdc-control']}",
            "TGFLEET_TESTDC_JOURNAL": str(self.directory / "journal.jsonl"),
            "TGFLEET_TESTDC_RSA_KEY": str(self.directory / "testdc.pem"),
        }
        service = self._add("testdc", "testdc", extra)
        service.port = self.ports["testdc-control"]
        service.start()
        await service.serving()

    async def _worker(self, name: str) -> Service:
        sessions = self.directory / name
        sessions.mkdir(exist_ok=True)
        to_registries = []
        for registry in self.registry_names:
            link = await self._stack.enter_async_context(CuttableLink(self.ports[registry]))
            self.links[name if registry == "registry" else f"{name}/{registry}"] = link
            to_registries.append(f"127.0.0.1:{link.port}")
        return self._add(
            name,
            "worker",
            {
                "TGFLEET_WORKER_ID": name,
                "TGFLEET_WORKER_CAPACITY": str(self._capacity),
                "TGFLEET_WORKER_SESSIONS_DIR": str(sessions),
                "TGFLEET_REGISTRY_ENDPOINTS": ",".join(to_registries),
                "TGFLEET_TELEGRAM_DC": f"127.0.0.1:{self.ports['testdc']}",
                "TGFLEET_TELEGRAM_RSA_KEY": str(self.directory / "testdc.pem"),
                "TGFLEET_TELEGRAM_API_ID": "4242",
                "TGFLEET_TELEGRAM_API_HASH": "0123456789abcdef0123456789abcdef",
            },
        )

    async def leader(self, within: float = 30) -> Service:
        """The scheduler that serves, as soon as one does."""
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            for name, service in self.services.items():
                if (
                    name.startswith("scheduler-")
                    and service.alive()
                    and await health_is(service.probe, health_pb2.HealthCheckResponse.SERVING)
                ):
                    return service
            await asyncio.sleep(0.05)
        tails = "\n".join(s.tail(8) for n, s in self.services.items() if n.startswith("scheduler-"))
        raise AssertionError(f"no scheduler leads after {within} s:\n{tails}")

    async def workers_connected(self, count: int, within: float = 30) -> None:
        """Wait until the scheduler counts so many connected workers."""
        deadline = time.monotonic() + within
        connected = 0
        while time.monotonic() < deadline:
            with contextlib.suppress(grpc.aio.AioRpcError):
                async with self.client() as client:
                    workers = (
                        await client.fleet.ListWorkers(fleet_pb2.ListWorkersRequest(), timeout=5)
                    ).workers
                connected = sum(w.state == fleet_pb2.WORKER_STATE_CONNECTED for w in workers)
                if connected >= count:
                    return
            await asyncio.sleep(0.1)
        raise AssertionError(f"{connected} of {count} workers connected after {within} s")

    @contextlib.asynccontextmanager
    async def client(self, gateway: int = 1, token: str | None = None) -> AsyncIterator[Client]:
        """A client of one gateway, with the admin's token unless another is given."""
        address = f"127.0.0.1:{self.ports[f'gateway-{gateway}']}"
        if self.authority is None:
            opened = grpc.aio.insecure_channel(address)
        else:
            trusted = grpc.ssl_channel_credentials(self.authority.ca.read_bytes())
            opened = grpc.aio.secure_channel(address, trusted)
        async with opened as channel:
            yield Client(channel, self.admin_token if token is None else token)

    @contextlib.asynccontextmanager
    async def control(self) -> AsyncIterator[control_pb2_grpc.ControlServiceStub]:
        """The test data centre's control interface."""
        options = [("grpc.max_receive_message_length", 256 * 1024 * 1024)]
        async with grpc.aio.insecure_channel(
            f"127.0.0.1:{self.ports['testdc-control']}", options=options
        ) as channel:
            yield control_pb2_grpc.ControlServiceStub(channel)

    def logs(self) -> Iterable[Path]:
        """Every process's log."""
        return self.directory.glob("*.log")


class _Authorized:
    """A stub whose every call carries the token."""

    def __init__(self, stub: Any, token: str) -> None:
        self._stub, self._token = stub, token

    def __getattr__(self, method: str) -> Any:
        call = getattr(self._stub, method)
        metadata = (("authorization", f"Bearer {self._token}"),) if self._token else ()

        def with_token(request: Any, timeout: float = 60) -> Any:
            return call(request, timeout=timeout, metadata=metadata)

        return with_token


class Client:
    """The public services, as a third party would use them."""

    def __init__(self, channel: grpc.aio.Channel, token: str) -> None:
        self.fleet = _Authorized(fleet_pb2_grpc.FleetServiceStub(channel), token)
        self.accounts = _Authorized(account_pb2_grpc.AccountServiceStub(channel), token)
        self.tokens = _Authorized(token_pb2_grpc.TokenServiceStub(channel), token)
        self.transfers = _Authorized(transfer_pb2_grpc.TransferServiceStub(channel), token)

    async def import_sessions(
        self, sessions: Mapping[str, str], **common: Any
    ) -> dict[str, account_pb2.Account]:
        """Import session strings by name; fails unless all are added."""
        items = [
            account_pb2.ImportItem(name=name, session_string=text, **common)
            for name, text in sessions.items()
        ]
        added: dict[str, account_pb2.Account] = {}
        for start in range(0, len(items), 500):
            answer = await self.accounts.ImportAccounts(
                account_pb2.ImportAccountsRequest(items=items[start : start + 500])
            )
            for result in answer.results:
                assert not result.reason, f"{result.name}: {result.reason} {result.detail}"
                added[result.name] = result.account
        return added

    async def start_all(self, timeout: float = 60, **request: Any) -> list[result_pb2.AccountResult]:
        """StartAll; every result. Fails unless the summary agrees and no account has two."""
        return await collect(self.fleet.StartAll(fleet_pb2.StartAllRequest(**request), timeout=timeout))

    async def stop_all(self, timeout: float = 60, **request: Any) -> list[result_pb2.AccountResult]:
        """StopAll; every result, checked as in `start_all`."""
        return await collect(self.fleet.StopAll(fleet_pb2.StopAllRequest(**request), timeout=timeout))

    async def start_chat(self, timeout: float = 60, **request: Any) -> list[result_pb2.AccountResult]:
        """StartChat; every result, checked as in `start_all`."""
        return await collect(self.fleet.StartChat(fleet_pb2.StartChatRequest(**request), timeout=timeout))

    async def status(self) -> dict[str, fleet_pb2.AccountStatus]:
        """Every account's status by name."""
        answer = await self.fleet.GetFleetStatus(
            fleet_pb2.GetFleetStatusRequest(page_size=10_000), timeout=10
        )
        return {account.name: account for account in answer.accounts}


async def collect(call: Any) -> list[result_pb2.AccountResult]:
    """Drain a fleet call's stream; fails unless it ends with a summary that counts exactly its results."""
    results: list[result_pb2.AccountResult] = []
    summary = None
    try:
        async for message in call:
            assert summary is None, "a message after the summary"
            results += message.results
            if message.HasField("summary"):
                summary = message.summary
    finally:
        call.cancel()
    assert summary is not None, "the stream ended without a summary"
    assert summary.total == len(results)
    assert len({r.account_id for r in results}) == len(results), "an account has two results"
    return results


def outcomes(results: Iterable[result_pb2.AccountResult]) -> dict[str, str]:
    """Results as `{name: "OUTCOME" or "OUTCOME/REASON"}`, for comparing and reading."""
    return {r.name: outcome_text(r) for r in results}


def outcome_text(result: result_pb2.AccountResult) -> str:
    outcome = result_pb2.Outcome.Name(result.outcome).removeprefix("OUTCOME_")
    reason = result_pb2.Reason.Name(result.reason).removeprefix("REASON_")
    return outcome if result.reason == result_pb2.REASON_UNSPECIFIED else f"{outcome}/{reason}"


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
    while not await _says_healthy(service.port):
        assert service.alive(), f"{service.name} ended:\n{service.tail()}"
        assert time.monotonic() < deadline, f"{service.name} is not healthy:\n{service.tail()}"
        await asyncio.sleep(0.05)


async def _says_healthy(port: int) -> bool:
    """etcd serves HTTP on its client port too; /health is true once a read through the leader worked."""
    try:
        async with asyncio.timeout(2):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /health HTTP/1.1\r\nHost: etcd\r\nConnection: close\r\n\r\n")
            answer = await reader.read()
    except OSError:
        return False
    writer.close()
    return b'"health":"true"' in answer


async def eventually(check: Any, within: float, what: str) -> Any:
    """Poll an async check until it gives something true; fails with `what` at the deadline."""
    deadline = time.monotonic() + within
    while True:
        last: Any = None
        with contextlib.suppress(grpc.aio.AioRpcError):
            last = await check()
        if last:
            return last
        assert time.monotonic() < deadline, f"not within {within} s: {what} (last: {last!r})"
        await asyncio.sleep(0.1)
