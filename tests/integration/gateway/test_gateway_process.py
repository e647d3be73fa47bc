"""`python -m services.gateway` as a real process, asked by a client that shares no code with it: buf curl."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from services.runtime.lifeline import ReadyPipe
from tests.integration.gateway.fakes import (
    OPERATOR,
    VIEWER,
    FakeRegistry,
    FakeScheduler,
    serve_registry,
    serve_scheduler,
)

BUF = Path(sys.executable).parent / "buf"
START_ALL = "tgfleet.gateway.v1.FleetService/StartAll"


@dataclass
class Process:
    """A running gateway."""

    address: str
    process: asyncio.subprocess.Process


def environment(**settings: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("TGFLEET_", "USERBOT_"))}
    return {**kept, **settings}


async def run_gateway(settings: dict[str, str]) -> tuple[asyncio.subprocess.Process, ReadyPipe]:
    ready = ReadyPipe()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.gateway"),
        env=environment(**settings, **ready.environ),
        pass_fds=[ready.fd],
        stderr=asyncio.subprocess.PIPE,
    )
    ready.close_child_end()
    return process, ready


@pytest.fixture
async def gateway() -> AsyncIterator[Process]:
    async with AsyncExitStack() as stack:
        registry = await serve_registry(FakeRegistry())
        scheduler = await serve_scheduler(FakeScheduler())
        stack.push_async_callback(registry.stop)
        stack.push_async_callback(scheduler.stop)
        process, ready = await run_gateway(
            {
                "TGFLEET_GATEWAY_LISTEN": "127.0.0.1:0",
                "TGFLEET_REGISTRY_ENDPOINTS": str(registry.address),
                "TGFLEET_SCHEDULER_ENDPOINTS": str(scheduler.address),
            }
        )
        info = await ready.read(limit=30)
        assert info is not None
        yield Process(str(info["listen"]), process)
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def buf_curl(*arguments: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *(str(BUF), "curl", "--http2-prior-knowledge", "--protocol", "grpc", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment(),
    )
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


async def test_a_third_party_client_lists_and_calls(gateway: Process) -> None:
    base = f"http://{gateway.address}"
    code, out, _ = await buf_curl("--list-services", base)
    assert code == 0
    assert {f"tgfleet.gateway.v1.{n}Service" for n in ("Fleet", "Account", "Token")} <= set(out.split())

    bearer = ("-H", f"authorization: Bearer {OPERATOR}")
    code, out, err = await buf_curl(*bearer, "-d", "{}", f"{base}/{START_ALL}")
    assert code == 0, err
    decoder, messages = json.JSONDecoder(), []
    while out := out.strip():
        message, end = decoder.raw_decode(out)
        messages.append(message)
        out = out[end:]
    assert [r["outcome"] for r in messages[0]["results"]] == ["OUTCOME_STARTED"] * 2
    assert messages[-1]["summary"]["byOutcome"] == {"STARTED": 2}

    for header, status in (
        ((), "unauthenticated"),
        (("-H", f"authorization: Bearer {VIEWER}"), "permission_denied"),
    ):
        code, _, err = await buf_curl(*header, "-d", "{}", f"{base}/{START_ALL}")
        assert code != 0
        assert json.loads(err)["code"] == status

    code, out, err = await buf_curl("-d", "{}", f"{base}/grpc.health.v1.Health/Check")
    assert json.loads(out)["status"] == "SERVING", err


async def test_sigterm_ends_it_cleanly_and_its_log_holds_no_token(gateway: Process) -> None:
    await buf_curl(
        "-H", f"authorization: Bearer {OPERATOR}", "-d", "{}", f"http://{gateway.address}/{START_ALL}"
    )
    gateway.process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(15):
        _, log = await gateway.process.communicate()
    assert gateway.process.returncode == 0
    assert OPERATOR.encode() not in log
    assert b"Traceback" not in log
    assert b"ERROR" not in log.upper()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"TGFLEET_GATEWAY_LISTEN": "nonsense"}, b"TGFLEET_GATEWAY_LISTEN has a bad value"),
        ({"TGFLEET_GATEWAY_LISSEN": "x"}, b"did you mean TGFLEET_GATEWAY_LISTEN?"),
    ],
)
async def test_bad_settings_are_one_sentence(settings: dict[str, str], said: bytes) -> None:
    process, ready = await run_gateway(settings)
    async with asyncio.timeout(30):
        _, log = await process.communicate()
    assert await ready.read(limit=1) is None
    assert process.returncode == 2
    assert said in log
    assert log.count(b"\n") == 1


async def test_reflection_can_be_switched_off() -> None:
    process, ready = await run_gateway({"TGFLEET_GATEWAY_LISTEN": "127.0.0.1:0", "TGFLEET_REFLECTION": "off"})
    info = await ready.read(limit=30)
    assert info is not None
    code, _, _ = await buf_curl("--list-services", f"http://{info['listen']}")
    process.terminate()
    await process.communicate()
    assert code != 0
