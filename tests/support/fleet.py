"""A whole fleet of real processes for end-to-end tests and chaos: each can be killed, frozen, restarted.

Shares no code with services.standalone or services.admin (but for certificates): it starts `python -m
services.<name>` with settings in the environment, as Kubernetes would, and speaks the public gRPC interface.
Everything listens on loopback. Tests take all they need from here; the parts are in `processes`, `client` and
`ports`.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import secrets
import sys
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from pathlib import Path
from typing import Self

import grpc
from grpc_health.v1 import health_pb2

from tests.support.certificates import Authority, Paths
from tests.support.client import Client, collect, eventually, outcome_text, outcomes
from tests.support.etcd import killable_etcd_binary, secured
from tests.support.ports import free_port
from tests.support.postgres import PostgresProcess
from tests.support.processes import ROOT, Service, etcd_healthy, health_is, port_open
from tests.support.proxy import CuttableLink
from tgfleet.gateway.v1 import fleet_pb2
from tgfleet.testdc.v1 import control_pb2_grpc

__all__ = [
    "ROOT",
    "Client",
    "Fleet",
    "Service",
    "collect",
    "etcd_healthy",
    "eventually",
    "free_port",
    "health_is",
    "outcome_text",
    "outcomes",
    "port_open",
]


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
        """With `tls` the services speak mTLS and the gateway TLS, with certificates of `authority`, and etcd
        TLS, with those of a CA of its own: it lets in whoever has one of them, and workers shall not.
        Databases are made in `postgres`, if it is given and runs; else they are SQLite files."""
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
        self._etcd_authority = Authority(directory / "etcd-ca") if tls else None
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
        names = [f"{name}{what}" for name in self.etcd_names for what in ("", "-peer", "-health")]
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
        more = public if module == "gateway" else self._for_etcd(name, module)
        return port, {**paths.environment, **health, **more}

    def _for_etcd(self, name: str, module: str) -> dict[str, str]:
        if self._etcd_authority is None or module not in ("registry", "scheduler"):
            return {}
        shown = self._etcd_authority.issue(module, name).environment
        return {key.replace("_TLS_", "_ETCD_TLS_"): value for key, value in shown.items()}

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
            health = self.ports[f"{name}-health"] if self._etcd_authority else 0
            made = Service(
                name, argv, {}, self.ports[name], self.directory / f"{name}.log", health_port=health
            )
            self.services.setdefault(name, made).start()
        for name in self.etcd_names:
            await etcd_healthy(self.services[name])

    def _etcd_argv(self, name: str) -> list[str]:
        """Several members are reached through links of their own, by each other too: each can be cut off."""
        authority = self._etcd_authority
        tls = authority.issue("etcd", name) if authority else None
        scheme = "https" if authority else "http"
        peers = {each: f"http://127.0.0.1:{self.link_port(f'{each}-peer')}" for each in self.etcd_names}
        arguments = {
            "name": name,
            "data-dir": str(self.directory / name),
            "logger": "zap",
            "log-level": "warn",
            "listen-client-urls": f"{scheme}://127.0.0.1:{self.ports[name]}",
            "advertise-client-urls": f"{scheme}://127.0.0.1:{self.link_port(name)}",
            "listen-peer-urls": f"http://127.0.0.1:{self.ports[f'{name}-peer']}",
            "initial-advertise-peer-urls": peers[name],
            "initial-cluster": ",".join(f"{each}={url}" for each, url in peers.items()),
            **secured(tls, self.ports[f"{name}-health"]),
        }
        return [str(killable_etcd_binary()), *(f"--{key}={value}" for key, value in arguments.items())]

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
        raise AssertionError(f"no scheduler leads after {within} s:\n{self._tails('scheduler-')}")

    async def workers_connected(self, count: int, within: float = 60) -> None:
        """Wait until the scheduler counts so many connected workers. Fails at once when one has ended."""
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
            for name, service in self.services.items():
                if name.startswith("worker-") and service.process is not None and not service.alive():
                    raise AssertionError(f"{name} ended:\n{service.tail()}")
            await asyncio.sleep(0.1)
        raise AssertionError(
            f"{connected} of {count} workers connected after {within} s:\n"
            + self._tails("scheduler-", "worker-")
        )

    def _tails(self, *prefixes: str) -> str:
        return "\n".join(f"{n}: {s.tail(8)}" for n, s in self.services.items() if n.startswith(prefixes))

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
