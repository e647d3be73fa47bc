"""StartAll never lies: one result for each selected account, and the journal says the same."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from tests.support.fleet import Fleet, collect, eventually, outcomes
from tests.support.telegram import connected_keys, new_accounts, violations
from tgfleet.gateway.v1 import fleet_pb2


async def test_two_gateways_at_once_each_get_every_account_once(fleet: Fleet) -> None:
    async with fleet.control() as control:
        accounts = await new_accounts(control, 12)
    async with fleet.client(1) as one, fleet.client(2) as two:
        await one.import_sessions({name: a.session for name, a in accounts.items()})
        first, second = await asyncio.gather(one.start_all(), two.start_all())
        for results in (first, second):
            assert {r.name for r in results} == set(accounts)
            assert set(outcomes(results).values()) <= {"STARTED", "ALREADY_RUNNING"}
        async with fleet.control() as control:
            assert await connected_keys(control) == {a.auth_key_id for a in accounts.values()}
            assert not (await violations(control)).sentences
        again = await two.start_all()
        assert set(outcomes(again).values()) == {"ALREADY_RUNNING"}


async def test_the_same_request_id_joins_the_running_call(fleet: Fleet) -> None:
    async with fleet.control() as control:
        accounts = await new_accounts(control, 6)
    async with fleet.client(1) as one, fleet.client(2) as two:
        await one.import_sessions({name: a.session for name, a in accounts.items()})
        call = one.fleet.StartAll(fleet_pb2.StartAllRequest(request_id="night-1"))
        await call.read()  # the caller goes away after the first message ...
        call.cancel()
        results = await two.start_all(request_id="night-1")  # ... and comes back through another gateway
        assert outcomes(results) == dict.fromkeys(accounts, "STARTED")


async def test_the_leader_killed_in_the_middle_loses_no_result(fleet: Fleet) -> None:
    async with fleet.control() as control:
        accounts = await new_accounts(control, 30, delay=timedelta(milliseconds=100))
    async with fleet.client() as client:
        await client.import_sessions({name: a.session for name, a in accounts.items()})
        leader = await fleet.leader()
        running = asyncio.create_task(collect(client.fleet.StartAll(fleet_pb2.StartAllRequest(), timeout=90)))
        async with fleet.control() as control:
            await eventually(lambda: connected_keys(control), 20, "the first account connects")
        leader.kill()
        results = await running
        assert {r.name for r in results} == set(accounts)
        assert set(outcomes(results).values()) <= {"STARTED", "ALREADY_RUNNING"}
        async with fleet.control() as control:
            assert await connected_keys(control) == {a.auth_key_id for a in accounts.values()}
            assert not (await violations(control)).sentences


async def test_chat_in_a_fleet_where_nothing_runs_is_not_a_success(fleet: Fleet) -> None:
    async with fleet.control() as control:
        accounts = await new_accounts(control, 3)
    async with fleet.client() as client:
        await client.import_sessions({name: a.session for name, a in accounts.items()})
        assert outcomes(await client.start_chat()) == dict.fromkeys(accounts, "NOT_RUNNING")
        await client.start_all()
        assert outcomes(await client.start_chat()) == dict.fromkeys(accounts, "CHAT_STARTED")
        assert outcomes(await client.start_chat()) == dict.fromkeys(accounts, "ALREADY_CHATTING")
        assert outcomes(await client.stop_all()) == dict.fromkeys(accounts, "STOPPED")
        async with fleet.control() as control:
            assert await connected_keys(control) == set()
        assert outcomes(await client.stop_all()) == dict.fromkeys(accounts, "ALREADY_STOPPED")
        await client.start_all()
        status = await eventually(lambda: _all_chatting(client), 10, "the wish to chat outlives a stop")
        assert status


async def _all_chatting(client: object) -> bool:
    status = await client.status()  # type: ignore[attr-defined]
    return bool(status) and all(account.chatting for account in status.values())
