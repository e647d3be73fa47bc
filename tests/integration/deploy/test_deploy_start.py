"""Every pod of the manifests starts, with exactly the command, environment and files that they give it.

Only what a loopback machine cannot have is translated: listening ports and names of Services become loopback
ports, absolute paths get a folder of the pod's own before them, the image's `python` is ours. Neither stores
nor Telegram are faked; no account exists, so nothing is dialled.
"""

from __future__ import annotations

import asyncio
import base64
import os
import re
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.integration.deploy.pods import Pod, ours
from tests.support.certificates import Authority
from tests.support.etcd import EtcdProcess
from tests.support.fleet import free_port
from tests.support.postgres import PostgresProcess
from tgfleet.gateway.v1 import fleet_pb2, fleet_pb2_grpc

SERVING = health_pb2.HealthCheckResponse.SERVING
TOKEN = "tgf_" + secrets.token_hex(24)
KEY_LINE = "k1:" + base64.b64encode(secrets.token_bytes(32)).decode() + "\n"
_START_LIMIT = 40.0


@dataclass
class Machine:
    """One loopback machine that stands in for a cluster."""

    folder: Path
    etcd: EtcdProcess
    etcd_with_tls: EtcdProcess
    secrets: dict[str, dict[str, str]]
    issuers: dict[str, Authority]
    ports: dict[tuple[str, str], int] = field(default_factory=dict)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def port(self, pod: str, number: str) -> int:
        return self.ports.setdefault((pod, number), free_port())

    def run(self, pod: Pod, name: str) -> subprocess.Popen[bytes]:
        """Starts one replica in an empty working folder."""
        root = self.folder / name
        (root / "work").mkdir(parents=True)
        self._write_files(pod, root)
        etcd = self.etcd_with_tls if "TGFLEET_ETCD_TLS_CERT_FILE" in pod.env else self.etcd
        env = {key: self._translate(value, name, root, etcd) for key, value in pod.env.items()}
        path = {"PATH": os.environ["PATH"], "HOME": str(root / "work")}
        with (root / "log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", pod.module],
                env={**path, **env},
                cwd=root / "work",
                stdout=log,
                stderr=log,
            )
        self.processes[name] = process
        return process

    def log(self, name: str) -> str:
        return (self.folder / name / "log").read_text()

    def written(self, name: str) -> list[Path]:
        """What the process left in its working folder and home."""
        return list((self.folder / name / "work").iterdir())

    def _write_files(self, pod: Pod, root: Path) -> None:
        for mount, volume in pod.mounts():
            target = root / mount.lstrip("/")
            target.mkdir(parents=True)
            if "secret" in volume:
                for file, text in self.secrets[volume["secret"]["secretName"]].items():
                    (target / file).write_text(text)
            if "csi" in volume:
                attributes = volume["csi"]["volumeAttributes"]
                uri = attributes["csi.cert-manager.io/uri-sans"]
                authority = self.issuers[attributes["csi.cert-manager.io/issuer-name"]]
                service, _, who = uri.removeprefix("spiffe://tgfleet/").partition("/")
                files = authority.issue(service, who.replace("${POD_NAME}", root.name))
                (target / "tls.crt").write_bytes(files.certificate.read_bytes())
                (target / "tls.key").write_bytes(files.key.read_bytes())
                (target / "ca.crt").write_bytes(files.ca.read_bytes())

    def _translate(self, value: str, name: str, root: Path, etcd: EtcdProcess) -> str:
        if listen := re.fullmatch(r"0\.0\.0\.0:(\d+)", value):
            return f"127.0.0.1:{self.port(name, listen[1])}"
        if service := re.fullmatch(r"dns:///(registry|scheduler):(\d+)", value):
            replicas = [pod for pod in REPLICAS if pod.startswith(f"{service[1]}-")]
            return ",".join(f"127.0.0.1:{self.port(pod, service[2])}" for pod in replicas)
        if value == "etcd-0.etcd:2379,etcd-1.etcd:2379,etcd-2.etcd:2379":
            return etcd.endpoint
        if path := re.fullmatch(r"(file://)?(/run/.+)", value):
            return f"{path[1] or ''}{root}{path[2]}"
        assert not re.search(r"[/:]", value), f"what is {value}?"
        return value


REPLICAS = {"registry-0": "registry", "scheduler-0": "scheduler", "scheduler-1": "scheduler"}
REPLICAS |= {"worker-0": "worker", "gateway-0": "gateway"}


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    authority, for_etcd = Authority(tmp_path / "ca"), Authority(tmp_path / "etcd-ca")
    secured = EtcdProcess(tmp_path / "etcd-with-tls", tls=for_etcd.issue("etcd", "etcd-0"))
    with PostgresProcess() as postgres, EtcdProcess(tmp_path / "etcd") as etcd, secured:
        public = authority.issue("gateway", "public", "gateway-public")
        files = {
            "registry-database": {"url": postgres.new_database()},
            "scheduler-database": {"url": postgres.new_database()},
            "registry": {"master.key": KEY_LINE, "bootstrap.token": TOKEN},
            "telegram": {"api-id": "4242", "api-hash": "0123456789abcdef0123456789abcdef"},
            "gateway-tls": {"tls.crt": public.certificate.read_text(), "tls.key": public.key.read_text()},
        }
        issuers = {"tgfleet": authority, "tgfleet-etcd": for_etcd}
        made = Machine(tmp_path / "pods", etcd, secured, files, issuers)
        try:
            yield made
        finally:
            for process in made.processes.values():
                process.kill()
                process.wait()


@pytest.mark.parametrize("target", ["demo", "production"])
async def test_every_service_starts_as_the_manifests_say(machine: Machine, target: str) -> None:
    pods = ours(target)
    for job in ("migrate-registry", "migrate-scheduler"):
        code = await asyncio.to_thread(machine.run(pods[job], job).wait, _START_LIMIT)
        assert code == 0, machine.log(job)
    for name, workload in REPLICAS.items():
        machine.run(pods[workload], name)
    for name, workload in REPLICAS.items():
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            await _passes(machine, name, pods[workload].container[probe]["grpc"])
    await _leads(machine)
    assert await _worker_connected(machine, tls=target == "production") == "worker-0"
    for name in REPLICAS:
        machine.processes[name].terminate()
    for name in REPLICAS:
        assert await asyncio.to_thread(machine.processes[name].wait, 20) == 0, machine.log(name)
        assert machine.written(name) == [], "the root is read-only in the cluster"


def test_a_name_that_no_service_reads_stops_the_start(machine: Machine) -> None:
    pod = ours("demo")["gateway"]
    broken = Pod(pod.name, pod.kind, pod.labels, pod.spec, {**pod.env, "TGFLEET_GATEWAY_PORT": "1"})
    assert machine.run(broken, "gateway-0").wait(_START_LIMIT) == 2
    assert "TGFLEET_GATEWAY_PORT is not a setting" in machine.log("gateway-0")


async def _passes(machine: Machine, name: str, probe: dict[str, object]) -> None:
    deadline = time.monotonic() + _START_LIMIT
    port = machine.port(name, str(probe["port"]))
    while await _health(port, str(probe.get("service", ""))) != SERVING:
        assert machine.processes[name].poll() is None, machine.log(name)
        assert time.monotonic() < deadline, machine.log(name)
        await asyncio.sleep(0.1)


async def _leads(machine: Machine) -> None:
    """One scheduler leads, the other is a standby: alive, not serving."""
    deadline = time.monotonic() + _START_LIMIT
    while True:
        ports = [machine.port(name, "7400") for name in ("scheduler-0", "scheduler-1")]
        if sum([await _health(port, "") == SERVING for port in ports]) == 1:
            return
        assert time.monotonic() < deadline, machine.log("scheduler-0") + machine.log("scheduler-1")
        await asyncio.sleep(0.1)


async def _health(port: int, service: str) -> int:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        try:
            request = health_pb2.HealthCheckRequest(service=service)
            return int((await health_pb2_grpc.HealthStub(channel).Check(request, timeout=2)).status)
        except grpc.aio.AioRpcError:
            return health_pb2.HealthCheckResponse.UNKNOWN


async def _worker_connected(machine: Machine, *, tls: bool) -> str:
    """The name of the worker that the gateway tells an administrator about."""
    address = f"127.0.0.1:{machine.port('gateway-0', '7443')}"
    trusted = grpc.ssl_channel_credentials(machine.issuers["tgfleet"].ca.read_bytes())
    opened = grpc.aio.secure_channel(address, trusted) if tls else grpc.aio.insecure_channel(address)
    deadline = time.monotonic() + _START_LIMIT
    async with opened as channel:
        stub = fleet_pb2_grpc.FleetServiceStub(channel)
        while time.monotonic() < deadline:
            metadata = (("authorization", f"Bearer {TOKEN}"),)
            try:
                answer = await stub.ListWorkers(fleet_pb2.ListWorkersRequest(), timeout=5, metadata=metadata)
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise
            else:
                up = [w for w in answer.workers if w.state == fleet_pb2.WORKER_STATE_CONNECTED]
                if up:
                    return str(up[0].worker_id)
            await asyncio.sleep(0.1)
    raise AssertionError(machine.log("worker-0") + machine.log("gateway-0"))
