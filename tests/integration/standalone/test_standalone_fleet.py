"""Whole fleets as `tgfleet up` runs them: the real services, the real etcd, the test data centre."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from services.standalone.adapters.gateway import GatewayClient
from services.standalone.demo import checks
from services.standalone.demo.control import Control
from services.standalone.demo.samples import SAMPLES
from services.testdc.embed import Account, NewAccount, TestDataCentre
from tests.integration.standalone.conftest import ROOT, Up, gone, until
from tgfleet.gateway.v1 import fleet_pb2, result_pb2

Starts = Callable[..., Up]

pytestmark = pytest.mark.timeout(180)

FINE = {sample.name for sample in SAMPLES if sample.runs}
START = 60.0


async def on_gateway(fleet: Up, ask: Callable[[GatewayClient], Awaitable[Any]]) -> Any:
    facts = await asyncio.to_thread(fleet.ready, START)
    async with GatewayClient(facts["gateway"], facts["token"]) as gateway:
        return await ask(gateway)


async def start_fine(gateway: GatewayClient) -> dict[str, int]:
    request = fleet_pb2.StartAllRequest(match_labels={"demo": "fine"})
    return {r.name: r.outcome async for r in gateway.results(gateway.fleet.StartAll, request)}


async def running(gateway: GatewayClient) -> set[str]:
    status = await gateway.status()
    return {name for name, one in status.items() if one.state == fleet_pb2.SESSION_STATE_RUNNING}


async def all_running(fleet: Up, wanted: set[str], within: float) -> None:
    deadline = time.monotonic() + within
    while (now := await on_gateway(fleet, running)) != wanted:
        assert time.monotonic() < deadline, f"only {now} run:\n{fleet.said()}"
        await asyncio.sleep(0.2)


async def judged(fleet: Up) -> list[str]:
    """What the data centre saw of two holders of one key."""
    async with Control(fleet.ready()["testdc_control"]) as control:
        people = await control.accounts()
        shared = frozenset(people[sample.name].auth_key_id for sample in SAMPLES if sample.shared)
        return checks.forbidden(await control.verdict(), shared)


async def killed_and_back(fleet: Up, name: str) -> None:
    before = fleet.pids()[name]
    os.kill(before, signal.SIGKILL)
    deadline = time.monotonic() + 30
    while fleet.pids().get(name, before) == before:
        assert time.monotonic() < deadline, f"{name} does not come back:\n{fleet.said()}"
        await asyncio.sleep(0.1)


async def test_a_demo_fleet_survives_the_death_of_each_service_and_a_stop_of_all(up: Starts) -> None:
    fleet = up(argv=["--demo", "--gateway-listen", "127.0.0.1:0"])
    facts = fleet.ready(START)
    assert {"gateway", "token", "pids", "testdc", "testdc_control", "rsa_key"} <= set(facts)
    assert Path(facts["rsa_key"]).exists()
    assert await on_gateway(fleet, start_fine) == dict.fromkeys(FINE, result_pb2.OUTCOME_STARTED)
    await asyncio.to_thread(paste_the_lines, fleet)

    for name in ("gateway", "scheduler", "registry", "etcd", "worker-1"):
        await killed_and_back(fleet, name)
    await all_running(fleet, FINE, 40)
    assert await judged(fleet) == []

    fleet.process.send_signal(signal.SIGINT)
    assert fleet.ended(30) == 0, fleet.said()
    stopped = re.findall(r"(\S+) +stopped", fleet.said())
    assert stopped.index("gateway") < stopped.index("scheduler") < stopped.index("worker-1")
    assert stopped.index("worker-2") < stopped.index("registry") < stopped.index("etcd")

    again = up(argv=["--demo", "--gateway-listen", "127.0.0.1:0"])
    await all_running(again, FINE, START)
    assert set(await on_gateway(again, GatewayClient.status)) == {sample.name for sample in SAMPLES}
    assert await judged(again) == []
    logs = "".join(path.read_text() for path in (again.data / "logs").iterdir()) + again.said()
    assert again.ready()["token"] not in logs
    family = again.family()
    again.process.kill()
    gone(family, within=8)


def shell(command: str) -> str:
    """What it prints; fails unless it ends well."""
    done = subprocess.run(
        command, shell=True, capture_output=True, text=True, timeout=30, cwd="/", check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def paste_the_lines(fleet: Up) -> None:
    """The lines that it prints for people work as they stand, and show no token."""
    facts = fleet.ready()
    lines = [line.strip() for line in fleet.said().splitlines() if facts["gateway"] in line]
    status = next(line for line in lines if line.startswith("TGFLEET_GATEWAY="))
    assert "alice" in shell(status)
    grpcurl = next(line for line in lines if line.startswith("grpcurl"))
    said = shell(grpcurl.replace("grpcurl -plaintext -H", "echo", 1)).strip()
    method = "tgfleet.gateway.v1.FleetService/StartAll"
    assert said == f"authorization: Bearer {facts['token']} {facts['gateway']} {method}"
    assert facts["token"] not in fleet.said()


def userbot_environment(dc: TestDataCentre, account: Account, session: str) -> dict[str, str]:
    return {
        "TGFLEET_TELEGRAM_DC": f"{dc.host}:{dc.port}",
        "TGFLEET_TELEGRAM_RSA_KEY": str(dc.rsa_key_path),
        "TGFLEET_LEASE_TTL": "2s",
        "TGFLEET_LEASE_SETTLE": "1s",
        "USERBOT_API_ID": "12345",
        "USERBOT_API_HASH": "0123456789abcdef0123456789abcdef",
        "USERBOT_SESSION": session,
    }


async def test_the_account_of_a_single_account_set_up_is_served_alone(up: Starts) -> None:
    async with TestDataCentre() as dc:
        ann = dc.control.create_account(NewAccount(first_name="Ann"))
        bob = dc.control.create_account(NewAccount(first_name="Bob"))
        sessions = [(ann, ann.telethon_session), (ann, ann.telethon_session), (bob, bob.pyrogram_session)]
        for account, session in sessions:
            fleet = up(
                argv=["--workers", "1", "--gateway-listen", "127.0.0.1:0"],
                **userbot_environment(dc, account, session),
            )
            await asyncio.to_thread(fleet.ready, START)
            assert "the pool of accounts is left alone" in " ".join(fleet.said().split())
            await all_running(fleet, {"userbot"}, 20)
            assert set(await on_gateway(fleet, GatewayClient.status)) == {"userbot"}
            served = await on_gateway(fleet, lambda gateway: gateway.account("userbot"))
            assert served.auth_key_id == account.auth_key_id
            family = fleet.family()
            assert not any(session in " ".join(process.cmdline()) for process in family)
            fleet.process.terminate()
            assert await asyncio.to_thread(fleet.ended, 30) == 0
            gone(family, within=1)
            for path in fleet.data.rglob("*"):
                if path.is_file():
                    assert session.encode() not in path.read_bytes(), path
        assert not (fleet.data / "registry.sqlite").exists()


def test_the_tour_of_make_demo_ends_well(tmp_path: Path) -> None:
    environ = {**os.environ, "TMPDIR": str(tmp_path), "TGFLEET_LEASE_TTL": "nonsense of my own fleet"}
    began = time.monotonic()
    tour = subprocess.run(  # noqa: PLW1510 - checked below
        [sys.executable, "-m", "services.standalone.demo"],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        timeout=150,
    )
    assert tour.returncode == 0, tour.stdout + tour.stderr
    assert "T = 2 s, S = 1 s" in tour.stdout
    assert "Every outcome was the expected one" in tour.stdout
    said = " ".join(tour.stdout.split())
    assert "kill -9 of worker-" in said
    assert said.count("Telegram told") >= 2
    assert "all 1,000 messages arrived, none lost, none repeated, in order" in said
    assert not list(tmp_path.iterdir()), "the demo leaves nothing behind"
    assert time.monotonic() - began < 120


def test_a_tour_that_is_told_to_stop_takes_its_fleet_along(tmp_path: Path) -> None:
    environ = {**os.environ, "TMPDIR": str(tmp_path)}
    with (tmp_path.parent / "tour.output").open("wb") as out:
        tour = subprocess.Popen(
            [sys.executable, "-m", "services.standalone.demo"], cwd=ROOT, env=environ, stdout=out
        )
    me = psutil.Process(tour.pid)
    until(lambda: len(me.children(recursive=True)) >= 3, 20, lambda: "the fleet does not start")
    family = me.children(recursive=True)
    tour.terminate()
    assert tour.wait(30) == 128 + signal.SIGTERM
    gone(family, within=1)
    assert not list(tmp_path.iterdir())
