"""A fleet on mTLS: it works, its certificates change under load, and what was withdrawn is worth nothing."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import grpc
import pytest

from tests.support.certificates import DAY, Authority, Paths, named
from tests.support.errors import refusal
from tests.support.fleet import ROOT, Client, Fleet, eventually, outcomes
from tests.support.telegram import new_accounts
from tgfleet.gateway.v1 import account_pb2, fleet_pb2
from tgfleet.registry.v1 import registry_pb2, registry_pb2_grpc
from tgfleet.scheduler.v1 import scheduler_pb2, scheduler_pb2_grpc

ACCOUNTS = 12


async def test_start_all_on_mtls_and_every_certificate_and_the_ca_rotated_under_load(tmp_path: Path) -> None:
    async with Fleet(tmp_path / "fleet", workers=2, tls=True) as fleet, fleet.client() as client:
        await _import(fleet, client)
        started = await client.start_all()
        assert set(outcomes(started).values()) == {"STARTED"}, outcomes(started)
        await _cli_sees_the_fleet(fleet)
        await _a_worker_cannot_be_another(fleet)
        stolen = fleet.identities["worker-1"].channel_credentials()
        assert await _refused(fleet, stolen) == "NOT_YOUR_WORKER_ID", "until now it lets in"

        stop = asyncio.Event()
        load = [asyncio.create_task(_load(client, stop)) for _ in range(3)]
        try:
            await _new_authority(fleet, Authority(tmp_path / "new"))
        finally:
            stop.set()
        assert sum(await asyncio.gather(*load)) > 50

        assert await _refused(fleet, stolen) == "UNAVAILABLE", "the old CA's certificates are worth nothing"
        again = await client.start_all()
        assert set(outcomes(again).values()) == {"ALREADY_RUNNING"}, "nothing ran out meanwhile"
        stopped = await client.stop_all()
        assert set(outcomes(stopped).values()) == {"STOPPED"}
        await _only_the_scheduler_assigns(fleet, [result.account_id for result in stopped])


@pytest.mark.parametrize(
    ("of", "age", "says"),
    [
        (("registry", "r-1"), timedelta(), "is the certificate of registry/r-1, not of a worker"),
        (("worker", "w-2"), timedelta(), "is the certificate of worker/w-2, but this worker is w-1"),
        (("worker", "w-1"), 2 * DAY, "has expired"),
    ],
)
def test_a_bad_certificate_stops_the_start(
    tmp_path: Path, of: tuple[str, str], age: timedelta, says: str
) -> None:
    code, err = _start_worker(Authority(tmp_path / "ca").issue(*of, age=age).environment)
    assert code == 2
    assert says in err
    assert "Traceback" not in err


def test_some_of_the_files_are_not_enough(tmp_path: Path) -> None:
    environment = Authority(tmp_path / "ca").issue("worker", "w-1").environment
    del environment["TGFLEET_TLS_CA_FILE"]
    code, err = _start_worker(environment)
    assert code == 2
    assert "TGFLEET_TLS_CA_FILE must be set, too" in err


def test_the_command_sends_no_token_in_clear_to_another_machine() -> None:
    code, _, err = _tgfleet("status", TGFLEET_GATEWAY="203.0.113.1:7443", TGFLEET_TOKEN="tgf_x")
    assert code == 2
    assert "TGFLEET_GATEWAY_CA_FILE" in err


async def _import(fleet: Fleet, client: Client) -> None:
    async with fleet.control() as control:
        accounts = await new_accounts(control, ACCOUNTS, prefix="tls")
    await client.import_sessions({name: account.session for name, account in accounts.items()})


async def _new_authority(fleet: Fleet, new: Authority) -> None:
    """All processes trust both CAs; then each gets a certificate of the new one; then the old CA goes. What
    the gateway shows its callers changes with its own."""
    assert fleet.authority is not None
    own = fleet.identities
    fresh = new.ca.read_bytes()
    both = fleet.authority.ca.read_bytes() + fresh
    for paths in own.values():
        paths.ca.write_bytes(both)
    await asyncio.sleep(1.5)  # channels look once a second
    for name, paths in own.items():
        issued = new.issue(name.partition("-")[0], name)
        issued.ca.write_bytes(both)
        paths.become(issued)
        await asyncio.sleep(0.3)
    await asyncio.sleep(1.5)
    for paths in own.values():
        paths.ca.write_bytes(fresh)
    await eventually(lambda: _told(fleet, 4), 15, "every process took up its files three times")


async def _told(fleet: Fleet, times: int) -> bool:
    """Whether each process has logged so often that it uses a certificate towards the others."""

    def count(name: str) -> int:
        lines = fleet.services[name].log.read_text().splitlines()
        return sum("certificate in use" in line and '"TGFLEET_TLS"' in line for line in lines)

    return all(count(name) >= times for name in fleet.identities)


async def _load(client: Client, stop: asyncio.Event) -> int:
    calls = 0
    while not stop.is_set():
        await client.accounts.ListAccounts(account_pb2.ListAccountsRequest(), timeout=10)
        await client.fleet.GetFleetStatus(fleet_pb2.GetFleetStatusRequest(), timeout=10)
        calls += 2
        await asyncio.sleep(0.05)
    return calls


async def _refused(fleet: Fleet, credentials: grpc.ChannelCredentials) -> str:
    """What the registry says to these credentials when they ask for another worker's session."""
    address = f"127.0.0.1:{fleet.ports['registry']}"
    request = registry_pb2.AcquireSessionsRequest(worker_id="worker-2", incarnation="x", request_id="x")
    async with grpc.aio.secure_channel(address, credentials, options=named("registry")) as channel:
        try:
            await registry_pb2_grpc.RegistryServiceStub(channel).AcquireSessions(request, timeout=10)
        except grpc.aio.AioRpcError as error:
            closed = error.code() is grpc.StatusCode.UNAVAILABLE
            return "UNAVAILABLE" if closed else refusal(error).reason
    return ""


async def _a_worker_cannot_be_another(fleet: Fleet) -> None:
    """Nor command the fleet, nor change what is wanted."""
    credentials = fleet.identities["worker-1"].channel_credentials()
    registry, leader = f"127.0.0.1:{fleet.ports['registry']}", await fleet.leader()
    async with grpc.aio.secure_channel(registry, credentials, options=named("registry")) as channel:
        stub = registry_pb2_grpc.RegistryServiceStub(channel)
        for call in (
            stub.SetWanted(registry_pb2.SetWantedRequest(), timeout=10),
            stub.ListAccounts(registry_pb2.ListAccountsRequest(), timeout=10),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call
            assert refusal(caught.value).reason == "CALLER_NOT_ALLOWED"
    scheduler = f"127.0.0.1:{leader.port}"
    async with grpc.aio.secure_channel(scheduler, credentials, options=named("scheduler")) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await scheduler_pb2_grpc.SchedulerServiceStub(channel).DrainWorker(
                scheduler_pb2.DrainWorkerRequest(), timeout=10
            )
    assert refusal(caught.value).reason == "CALLER_NOT_ALLOWED"


async def _only_the_scheduler_assigns(fleet: Fleet, account_ids: list[str]) -> None:
    """A worker's certificate opens no free session that the scheduler did not give it."""
    address, mine = f"127.0.0.1:{fleet.ports['registry']}", fleet.identities["worker-1"]
    request = registry_pb2.AcquireSessionsRequest(
        worker_id="worker-1",
        incarnation="x",
        request_id="x",
        items=[registry_pb2.AcquireItem(account_id=account_id) for account_id in account_ids],
    )
    async with grpc.aio.secure_channel(
        address, mine.channel_credentials(), options=named("registry")
    ) as channel:
        answer = await registry_pb2_grpc.RegistryServiceStub(channel).AcquireSessions(request, timeout=10)
    assert len(answer.results) == len(account_ids)
    for result in answer.results:
        assert result.WhichOneof("result") == "refusal"
        assert "assignment" in result.refusal.detail


async def _cli_sees_the_fleet(fleet: Fleet) -> None:
    paths: Paths = fleet.identities["gateway-1"]
    gateway = {"TGFLEET_GATEWAY": f"127.0.0.1:{fleet.ports['gateway-1']}", "TGFLEET_TOKEN": fleet.admin_token}
    code, out, err = await asyncio.to_thread(
        lambda: _tgfleet("status", "--json", **gateway, TGFLEET_GATEWAY_CA_FILE=str(paths.ca))
    )
    assert code == 0, err
    assert "tls" in json.dumps(json.loads(out))
    code, _, _ = await asyncio.to_thread(lambda: _tgfleet("status", **gateway))
    assert code != 0, "the gateway speaks TLS only"


def _clean() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if not k.startswith(("TGFLEET_", "USERBOT_"))}


def _tgfleet(*arguments: str, **environment: str) -> tuple[int, str, str]:
    return _run("services.admin", *arguments, **environment)


def _start_worker(environment: dict[str, str]) -> tuple[int, str]:
    """Starts a worker that has to refuse to start: the exit code and what it says."""
    settings = {"TGFLEET_WORKER_ID": "w-1", "TGFLEET_METRICS_LISTEN": "off", **environment}
    code, _, err = _run("services.worker", **settings)
    return code, err


def _run(module: str, *arguments: str, **environment: str) -> tuple[int, str, str]:
    argv, env = [sys.executable, "-m", module, *arguments], {**_clean(), **environment}
    done = subprocess.run(argv, env=env, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout, done.stderr
