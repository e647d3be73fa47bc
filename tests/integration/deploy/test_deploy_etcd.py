"""Three members of etcd start with the command of the production manifests, on loopback, and take only
clients with a certificate of their CA.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from datetime import timedelta
from pathlib import Path

import pytest

from services.registry.adapters.etcd_client import EtcdClient
from services.runtime.addresses import Endpoints
from services.runtime.errors import Unavailable
from services.runtime.tls import client_certificates
from tests.integration.deploy.pods import pods
from tests.support.certificates import Authority
from tests.support.etcd import killable_etcd_binary
from tests.support.ports import free_port

MEMBERS = ("etcd-0", "etcd-1", "etcd-2")
LIMIT = 30.0
Process = subprocess.Popen[bytes]


@pytest.fixture
def ports() -> dict[tuple[str, int], int]:
    return {(name, port): free_port() for name in MEMBERS for port in (2379, 2380, 2381)}


def command(name: str, folder: Path, ports: dict[tuple[str, int], int]) -> list[str]:
    """The member's command with loopback addresses and a folder of its own."""
    program, *arguments = pods("production")["etcd"].container["command"]
    assert program == "etcd"
    translated = [str(killable_etcd_binary())]
    for one in arguments:
        argument = one.replace("$(POD_NAME)", name).replace("/run/etcd-tls", str(folder / "tls"))
        argument = argument.replace("/var/lib/etcd", str(folder))
        for (member, port), mine in ports.items():
            argument = argument.replace(f"{member}.etcd:{port}", f"127.0.0.1:{mine}")
            if member == name:
                argument = argument.replace(f"0.0.0.0:{port}", f"127.0.0.1:{mine}")
        translated.append(argument)
    return translated


def start(name: str, folder: Path, authority: Authority, ports: dict[tuple[str, int], int]) -> Process:
    """The member, with the files that cert-manager would give it."""
    files = authority.issue("etcd", name)
    (folder / "tls").mkdir(parents=True)
    for path, to in ((files.certificate, "tls.crt"), (files.key, "tls.key"), (files.ca, "ca.crt")):
        (folder / "tls" / to).write_bytes(path.read_bytes())
    environment = {k: v for k, v in os.environ.items() if not k.startswith("ETCD_")}
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(command(name, folder, ports), env=environment, stdout=log, stderr=log)


@pytest.mark.timeout(90)
async def test_etcd_starts_as_production_says(tmp_path: Path, ports: dict[tuple[str, int], int]) -> None:
    authority = Authority(tmp_path / "ca")
    running: list[Process] = []
    try:
        running.extend(start(name, tmp_path / name, authority, ports) for name in MEMBERS)
        await _serves_those_with_a_certificate_only(authority, ports)
    finally:
        for process in running:
            process.kill()
            process.wait()


async def _serves_those_with_a_certificate_only(
    authority: Authority, ports: dict[tuple[str, int], int]
) -> None:
    shown = authority.issue("registry", "r-1")
    endpoints = Endpoints.parse(",".join(f"127.0.0.1:{ports[name, 2379]}" for name in MEMBERS))
    tls = client_certificates("TGFLEET_ETCD_TLS", shown.certificate, shown.key, shown.ca)
    client = EtcdClient(endpoints, timedelta(seconds=3), tls)
    deadline = time.monotonic() + LIMIT
    while True:
        try:
            await client.get(b"x")
            break
        except Unavailable:
            assert time.monotonic() < deadline, "etcd does not serve"
            await asyncio.sleep(0.1)
    await client.close()
    stranger = EtcdClient(endpoints, timedelta(seconds=3))
    with pytest.raises(Unavailable):
        await stranger.get(b"x")
    await stranger.close()
