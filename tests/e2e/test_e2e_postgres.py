"""Two registries and two schedulers over one PostgreSQL: each may be lost, and the database itself too."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
import pytest_asyncio
from google.protobuf import duration_pb2

from tests.support.errors import refusal
from tests.support.fleet import Client, Fleet, eventually, outcomes
from tests.support.postgres import PostgresProcess
from tests.support.telegram import Control, connected_keys, journal, new_accounts, violations
from tgfleet.gateway.v1 import account_pb2, fleet_pb2
from tgfleet.testdc.v1 import control_pb2

ACCOUNTS = 8
OUTAGE = 4.0
"""Seconds: longer than T + S."""


@pytest_asyncio.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[Fleet]:
    with PostgresProcess() as postgres:
        async with Fleet(
            tmp_path, workers=2, registries=2, schedulers=2, gateways=1, postgres=postgres
        ) as running:
            yield running
            for log in running.logs():
                assert postgres.password not in log.read_text(errors="replace"), log.name


async def _all_running(client: Client, count: int) -> bool:
    states = [account.state for account in (await client.status()).values()]
    return states == [fleet_pb2.SESSION_STATE_RUNNING] * count


async def _dialled(control: Control) -> int:
    """How many connections were made to the data centre."""
    return sum(record.kind == control_pb2.RECORD_KIND_KEY_BOUND for record in await journal(control))


async def _listed(client: Client) -> set[str]:
    answer = await client.accounts.ListAccounts(account_pb2.ListAccountsRequest(), timeout=20)
    return {account.name for account in answer.accounts}


@pytest.mark.timeout(240)
async def test_registry_leader_and_database_are_lost_one_after_the_other(fleet: Fleet) -> None:
    async with fleet.control() as control:
        accounts = await new_accounts(control, ACCOUNTS + 1)
    *first, late = accounts
    async with fleet.client() as client, fleet.control() as control:
        await client.import_sessions({name: accounts[name].session for name in first})
        assert outcomes(await client.start_all()) == dict.fromkeys(first, "STARTED")

        # Both registries serve: with either gone, a change made at the other is seen by the scheduler.
        fleet.services["registry-1"].kill()
        await eventually(lambda: _imported(client, {late: accounts[late].session}), 20, "the other imports")
        again = outcomes(await client.start_all(wait_for=duration_pb2.Duration(seconds=20)))
        assert again.pop(late) == "STARTED"
        assert set(again.values()) <= {"ALREADY_RUNNING", "STARTED"}
        fleet.services["registry-1"].start()
        await fleet.services["registry-1"].serving()
        fleet.services["registry-2"].kill()

        leader = await fleet.leader()
        leader.kill()
        assert (await fleet.leader()).name != leader.name
        await eventually(lambda: _all_running(client, len(accounts)), 30, "all run under the next leader")

        dialled = await _dialled(control)
        await _database_is_lost_and_comes_back(fleet, client)
        assert await _dialled(control) == dialled, "sessions run on: leases are renewed without the database"
        await eventually(lambda: _all_running(client, len(accounts)), 60, "all are seen running again")
        assert await _listed(client) == set(accounts)
        assert await connected_keys(control) == {account.auth_key_id for account in accounts.values()}
        assert not (await violations(control)).sentences


async def _imported(client: Client, sessions: dict[str, str]) -> bool:
    await client.import_sessions(sessions)
    return True


async def _database_is_lost_and_comes_back(fleet: Fleet, client: Client) -> None:
    assert fleet.postgres is not None
    fleet.postgres.kill()
    began = time.monotonic()
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await _listed(client)
    await asyncio.sleep(max(0.0, OUTAGE - (time.monotonic() - began)))
    error = refusal(raised.value)
    assert (error.code, error.reason) == ("UNAVAILABLE", "DATABASE_UNAVAILABLE")
    assert time.monotonic() - began < 16
    fleet.postgres.start()
    await eventually(lambda: _listed(client), 20, "the registry answers again, without a restart")
