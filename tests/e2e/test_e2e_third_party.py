"""The public interface from a client that shares no code with us: `buf curl`, which works like grpcurl."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.fleet import Fleet
from tests.support.telegram import new_accounts
from tests.support.transfers import new_scene
from tgfleet.gateway.v1 import token_pb2

pytestmark = pytest.mark.asyncio(loop_scope="module")

BUF = Path(sys.executable).parent / "buf"


async def buf_curl(
    fleet: Fleet, method: str, request: dict[str, Any] | None = None, token: str = "", *more: str
) -> tuple[int, str, str]:
    """Call one method; the exit code, standard output and standard error."""
    url = f"http://127.0.0.1:{fleet.ports['gateway-1']}" + (f"/{method}" if method else "")
    argv = [str(BUF), "curl", "--http2-prior-knowledge", "--protocol", "grpc", *more]
    if token:
        argv += ["-H", f"authorization: Bearer {token}"]
    if request is not None:
        argv += ["-d", json.dumps(request)]
    process = await asyncio.create_subprocess_exec(
        *argv, url, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def test_reflection_lists_the_public_services_and_no_internal_one(shared_fleet: Fleet) -> None:
    code, out, err = await buf_curl(shared_fleet, "", None, "", "--list-services")
    assert code == 0, err
    services = set(out.split())
    assert {
        "tgfleet.gateway.v1.FleetService",
        "tgfleet.gateway.v1.AccountService",
        "tgfleet.gateway.v1.TokenService",
        "tgfleet.gateway.v1.TransferService",
    } <= services
    assert "grpc.health.v1.Health" in services
    assert not [name for name in services if "registry" in name or "scheduler" in name]


async def test_health_says_serving(shared_fleet: Fleet) -> None:
    code, out, err = await buf_curl(shared_fleet, "grpc.health.v1.Health/Check", {})
    assert code == 0, err
    assert json.loads(out) == {"status": "SERVING"}


async def test_start_all_gives_a_result_per_account(shared_fleet: Fleet) -> None:
    async with shared_fleet.control() as control:
        accounts = await new_accounts(control, 3, prefix="curl")
    async with shared_fleet.client() as client:
        await client.import_sessions(
            {name: account.session for name, account in accounts.items()}, labels={"group": "curl"}
        )
    request = {"matchLabels": {"group": "curl"}}
    code, out, err = await buf_curl(
        shared_fleet, "tgfleet.gateway.v1.FleetService/StartAll", request, shared_fleet.admin_token
    )
    assert code == 0, err
    messages = spoken(out)
    results = [result for message in messages for result in message.get("results", [])]
    assert sorted((r["name"], r["outcome"]) for r in results) == [
        (name, "OUTCOME_STARTED") for name in sorted(accounts)
    ]
    assert messages[-1]["summary"]["total"] == 3
    assert messages[-1]["summary"]["byOutcome"] == {"STARTED": 3}


def spoken(out: str) -> list[Any]:
    """The messages of a stream."""
    decoder, messages, rest = json.JSONDecoder(), [], out.strip()
    while rest:
        message, end = decoder.raw_decode(rest)
        messages.append(message)
        rest = rest[end:].strip()
    return messages


async def test_a_transfer_is_created_and_watched_to_its_end(shared_fleet: Fleet) -> None:
    async with shared_fleet.control() as control, shared_fleet.client() as client:
        scene = await new_scene(control, messages=120)
        sessions = {f"curl-{name}": sample.session for name, sample in scene.accounts.items()}
        await client.import_sessions(sessions, labels={"group": "curl-transfer"})
    spec = {"source": str(scene.source_id), "target": str(scene.target_id), "last": 100}
    request = {"spec": {**spec, "matchLabels": {"group": "curl-transfer"}}, "requestId": "curl-1"}
    service, token = "tgfleet.gateway.v1.TransferService", shared_fleet.admin_token
    code, out, err = await buf_curl(shared_fleet, f"{service}/CreateTransfer", request, token)
    assert code == 0, err
    named = {"transferId": json.loads(out)["transfer"]["transferId"]}
    code, out, err = await buf_curl(shared_fleet, f"{service}/WatchTransfer", named, token)
    assert code == 0, err
    last = spoken(out)[-1]["transfer"]
    assert last["state"] == "TRANSFER_STATE_COMPLETED"
    assert int(last["done"]) + int(last.get("skipped", {}).get("SERVICE", 0)) == 100
    code, _, err = await buf_curl(shared_fleet, f"{service}/CreateTransfer", {"spec": spec}, token)
    assert code != 0
    assert "Choose the accounts" in err


async def test_without_a_token_nobody_gets_in(shared_fleet: Fleet) -> None:
    code, out, err = await buf_curl(shared_fleet, "tgfleet.gateway.v1.FleetService/StartAll", {})
    assert code != 0
    assert "unauthenticated" in err
    assert "results" not in out


async def test_a_viewer_may_look_but_not_start(shared_fleet: Fleet) -> None:
    async with shared_fleet.client() as client:
        made = await client.tokens.CreateToken(
            token_pb2.CreateTokenRequest(name="curl-viewer", role=token_pb2.ROLE_VIEWER)
        )
    code, _, err = await buf_curl(shared_fleet, "tgfleet.gateway.v1.FleetService/StartAll", {}, made.secret)
    assert code != 0
    assert "permission_denied" in err
    code, out, err = await buf_curl(
        shared_fleet, "tgfleet.gateway.v1.FleetService/GetFleetStatus", {}, made.secret
    )
    assert code == 0, err
    assert json.loads(out)
