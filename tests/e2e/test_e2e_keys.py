"""Keys, tokens and the audit trail through a whole fleet: the master key is rotated under load, a token is
revoked, and the trail knows it all. Real processes and the real command."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import secrets
import subprocess
import sys
from typing import Any

import grpc
import pytest

from tests.integration.registry.conftest import session_string
from tests.support.fleet import Client, Fleet, eventually, outcomes
from tests.support.telegram import new_accounts
from tgfleet.gateway.v1 import account_pb2, token_pb2

pytestmark = pytest.mark.asyncio(loop_scope="module")

ACCOUNTS = 30


def tgfleet(fleet: Fleet, *arguments: str, token: str = "") -> subprocess.CompletedProcess[str]:
    env = {k: v for k, v in os.environ.items() if not k.startswith("TGFLEET_")}
    env |= {
        "TGFLEET_GATEWAY": f"127.0.0.1:{fleet.ports['gateway-1']}",
        "TGFLEET_TOKEN": token or fleet.admin_token,
    }
    argv = [sys.executable, "-m", "services.admin", *arguments]
    return subprocess.run(argv, env=env, capture_output=True, text=True, timeout=60, check=False)


async def command(fleet: Fleet, *arguments: str) -> Any:
    done = await asyncio.to_thread(tgfleet, fleet, *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


async def load(client: Client, names: list[str], stop: asyncio.Event) -> int:
    """Unary calls that read, write and seal, until told to stop; none may fail. How many there were."""
    calls = 0
    while not stop.is_set():
        name = names[calls % len(names)]
        await client.accounts.ListAccounts(account_pb2.ListAccountsRequest())
        await client.accounts.UpdateAccount(
            account_pb2.UpdateAccountRequest(
                account=account_pb2.Account(account_id=name, priority=calls % 100),
                update_mask={"paths": ["priority"]},
            )
        )
        await client.import_sessions({f"new-{calls}": session_string()})
        assert set(outcomes(await client.stop_all(account_ids=[name]))) == {name}
        assert outcomes(await client.start_all(account_ids=[name])) == {name: "STARTED"}
        calls += 5
    return calls


async def counts(fleet: Fleet) -> dict[str, int]:
    return {key["key_id"]: int(key.get("secrets", 0)) for key in await command(fleet, "keys", "list")}


async def test_the_master_key_is_rotated_under_load_and_the_old_one_removed(shared_fleet: Fleet) -> None:
    fleet = shared_fleet
    async with fleet.control() as control:
        accounts = await new_accounts(control, ACCOUNTS)
    async with fleet.client() as client:
        await client.import_sessions({name: a.session for name, a in accounts.items()})
        assert set(outcomes(await client.start_all()).values()) == {"STARTED"}
        stop = asyncio.Event()
        running = asyncio.create_task(load(client, list(accounts), stop))
        path = fleet.directory / "master.key"
        old, new = path.read_text(), f"k2:{base64.b64encode(secrets.token_bytes(32)).decode()}\n"

        async def keys_are(*wanted: str) -> bool:
            return sorted(await counts(fleet)) == sorted(wanted)

        path.write_text(old + new)
        await eventually(lambda: keys_are("k1", "k2"), 20, "the new key is known")
        path.write_text(new + old)

        async def only_the_new_one() -> bool:
            done = await command(fleet, "keys", "rotate")
            assert not int(done.get("unreadable", 0))
            return done["key_id"] == "k2" and not (await counts(fleet))["k1"]

        await eventually(only_the_new_one, 30, "the old key seals nothing")
        path.write_text(new)
        await eventually(lambda: keys_are("k2"), 20, "the old key is gone")
        await asyncio.sleep(1)  # some more load with the new key alone
        stop.set()
        assert await asyncio.wait_for(running, 60) > 0
        everyone = list(accounts)
        await client.stop_all(account_ids=everyone)
        assert set(outcomes(await client.start_all(account_ids=everyone)).values()) == {"STARTED"}


async def test_a_token_is_used_changed_and_revoked_and_the_trail_knows(shared_fleet: Fleet) -> None:
    fleet = shared_fleet
    made = await command(fleet, "tokens", "create", "ci", "--role", "viewer")
    async with fleet.client(token=made["secret"]) as ci, fleet.client() as admin:
        await ci.accounts.ListAccounts(account_pb2.ListAccountsRequest())
        enable = account_pb2.EnableAccountRequest(account_id="nobody")

        async def refused_as(code: grpc.StatusCode) -> bool:
            try:
                await ci.accounts.EnableAccount(enable)
            except grpc.aio.AioRpcError as error:
                return error.code() is code
            return False

        assert await refused_as(grpc.StatusCode.PERMISSION_DENIED)
        assert (
            await asyncio.to_thread(tgfleet, fleet, "tokens", "set-role", "ci", "operator")
        ).returncode == 0
        await eventually(lambda: refused_as(grpc.StatusCode.NOT_FOUND), 15, "the new role counts")

        async def used() -> bool:
            listed = await admin.tokens.ListTokens(token_pb2.ListTokensRequest())
            return any(t.name == "ci" and t.HasField("last_use_time") for t in listed.tokens)

        await eventually(used, 20, "its last use is shown")
        assert (await asyncio.to_thread(tgfleet, fleet, "tokens", "revoke", "ci")).returncode == 0
        await eventually(lambda: refused_as(grpc.StatusCode.UNAUTHENTICATED), 15, "it stops working")
    done = await asyncio.to_thread(tgfleet, fleet, "audit", "--all", "--json")
    trail = [json.loads(line) for line in reversed(done.stdout.splitlines())]
    of_tokens = [e for e in trail if e["method"].startswith("TokenService.")]
    by_admin = [e["method"] for e in of_tokens if e.get("token_name") == "bootstrap"]
    assert by_admin == ["TokenService.CreateToken", "TokenService.UpdateToken", "TokenService.RevokeToken"]
    of_ci = [(e["outcome"], e["reason"]) for e in trail if e.get("token_name") == "ci"]
    assert of_ci[0] == ("REFUSED", "ROLE_TOO_LOW")
    assert ("REFUSED", "ACCOUNT_NOT_FOUND") in of_ci
    assert made["secret"] not in done.stdout
    assert fleet.admin_token not in done.stdout
