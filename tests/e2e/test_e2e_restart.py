"""A restart of any process, and of all, loses no wish, imports nothing twice and invents no result."""

from __future__ import annotations

import pytest
from google.protobuf import duration_pb2

from tests.support.fleet import Client, Fleet, eventually, outcomes, port_open
from tests.support.telegram import connected_keys, new_accounts, violations
from tgfleet.gateway.v1 import account_pb2, fleet_pb2

ACCOUNTS = 6


async def _all_running(client: Client) -> bool:
    status = await client.status()
    return len(status) == ACCOUNTS and all(
        a.state == fleet_pb2.SESSION_STATE_RUNNING for a in status.values()
    )


async def _listed(client: Client) -> list[account_pb2.Account]:
    return list((await client.accounts.ListAccounts(account_pb2.ListAccountsRequest())).accounts)


async def _started(fleet: Fleet) -> dict[str, str]:
    async with fleet.control() as control:
        accounts = await new_accounts(control, ACCOUNTS)
    async with fleet.client() as client:
        await client.import_sessions({name: a.session for name, a in accounts.items()})
        assert outcomes(await client.start_all()) == dict.fromkeys(accounts, "STARTED")
    return {name: a.auth_key_id for name, a in accounts.items()}


async def _as_before(fleet: Fleet, keys: dict[str, str]) -> None:
    async with fleet.client() as client:
        await eventually(lambda: _all_running(client), 45, "every wanted account runs again by itself")
        listed = await eventually(lambda: _listed(client), 10, "the registry is reached again")
        assert {a.name: a.auth_key_id for a in listed} == keys
        # A session that was fenced while etcd was away may still settle: then it is waited for.
        results = outcomes(await client.start_all(wait_for=duration_pb2.Duration(seconds=20)))
        assert set(results) == set(keys)
        assert set(results.values()) <= {"ALREADY_RUNNING", "STARTED"}
    async with fleet.control() as control:

        async def seen_by_telegram() -> bool:
            return await connected_keys(control) == set(keys.values())

        await eventually(seen_by_telegram, 20, "the data centre sees every session, and no other")
        assert not (await violations(control)).sentences


@pytest.mark.timeout(240)
async def test_any_single_process_may_be_restarted(fleet: Fleet) -> None:
    keys = await _started(fleet)
    for name in ("registry", "gateway-1", "worker-1", "worker-2", "etcd", "scheduler-1", "scheduler-2"):
        service = fleet.services[name]
        await service.stop()
        service.start()
        await port_open(service)
        await _as_before(fleet, keys)


@pytest.mark.timeout(240)
async def test_all_processes_may_be_killed_and_restarted(fleet: Fleet) -> None:
    keys = await _started(fleet)
    ours = [service for name, service in fleet.services.items() if name != "testdc"]
    for service in ours:
        service.kill()
    for service in ours:
        service.start()
        await port_open(service)
    await fleet.leader()
    await _as_before(fleet, keys)


async def test_every_process_stops_cleanly_when_asked(fleet: Fleet) -> None:
    await _started(fleet)
    names = [
        "gateway-1",
        "gateway-2",
        "worker-1",
        "worker-2",
        "scheduler-1",
        "scheduler-2",
        "registry",
        "testdc",
    ]
    codes = {name: await fleet.services[name].stop() for name in names}
    assert codes == dict.fromkeys(names, 0)
