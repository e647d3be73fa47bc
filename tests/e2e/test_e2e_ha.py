"""Every process of a doubled fleet is killed in turn, in the middle of a StartAll of 200 accounts.

Whoever dies, each account gets exactly one result, and what the result says is what the test data centre saw:
its journal, not our own books, tells whether a STARTED account had connected and been answered.
"""

from __future__ import annotations

import asyncio
import uuid
from pathlib import Path

import grpc
import pytest
from google.protobuf import duration_pb2

from tests.support.fleet import Client, Fleet, Service, etcd_healthy, eventually, outcome_text, outcomes
from tests.support.postgres import PostgresProcess
from tests.support.telegram import Control, journal, new_accounts, violations
from tgfleet.gateway.v1 import fleet_pb2, result_pb2
from tgfleet.testdc.v1 import control_pb2

ACCOUNTS = 200
KILL_AFTER = 40
"""So many results are in when the process dies: the call is in full swing."""
WAIT_FOR = duration_pb2.Duration(seconds=25)
"""Longer than T + S and a change of leader, so that what a kill delays still ends in this call."""

POSTGRES = "postgres"
RESTING = {fleet_pb2.SESSION_STATE_STOPPED, fleet_pb2.SESSION_STATE_UNSPECIFIED}
"""An account that nobody runs is reported by nobody."""
WAITING = {"WAITING/SETTLING", "WAITING/LEASE_HELD", "WAITING/STILL_STARTING", "WAITING/NO_WORKER_CAPACITY"}


class Watched:
    """One StartAll that survives its gateway: asked again at the other one under the same request_id."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._request = fleet_pb2.StartAllRequest(request_id=str(uuid.uuid4()), wait_for=WAIT_FOR)
        self.in_full_swing = asyncio.Event()

    async def run(self) -> list[result_pb2.AccountResult]:
        """The results of the call that came to its end. Fails when an account has two in it."""
        for gateway in (1, 2):
            try:
                return await self._through(gateway)
            except grpc.aio.AioRpcError:
                if self._fleet.services[f"gateway-{gateway}"].alive():
                    raise
        raise AssertionError("both gateways are dead")

    async def _through(self, gateway: int) -> list[result_pb2.AccountResult]:
        results: dict[str, result_pb2.AccountResult] = {}
        async with self._fleet.client(gateway) as client:
            async for message in client.fleet.StartAll(self._request, timeout=90):
                for result in message.results:
                    assert result.account_id not in results, f"two results for {result.name}"
                    results[result.account_id] = result
                if message.HasField("summary"):
                    assert message.summary.total == len(results)
                    return list(results.values())
                if len(results) >= KILL_AFTER:
                    self.in_full_swing.set()
        raise AssertionError("the stream ended without a summary")


async def answered(control: Control, after: int) -> set[str]:
    """Keys on whose main connection Telegram has answered for the user, later than this record."""
    keys: dict[int, str] = {}
    found: set[str] = set()
    for record in await journal(control):
        if record.kind == control_pb2.RECORD_KIND_KEY_BOUND and not record.media:
            keys[record.connection_id] = record.auth_key_id
        elif (
            record.seq > after
            and record.outcome == control_pb2.OUTCOME_OK
            and record.method in ("users.getUsers", "users.getFullUser")
        ):
            found.add(keys.get(record.connection_id, ""))
    return found


async def _kill_during_start(fleet: Fleet, name: str, keys: dict[str, str]) -> None:
    """One kill in the middle of one call."""
    async with fleet.control() as control:
        records = await journal(control)
        watched = Watched(fleet)
        call = asyncio.create_task(watched.run())
        await asyncio.wait_for(watched.in_full_swing.wait(), 30)
        await _kill(fleet, name)
        results = await call
        said = outcomes(results)
        assert said.keys() == keys.keys()
        started = {account for account, outcome in said.items() if outcome in ("STARTED", "ALREADY_RUNNING")}
        seen = await answered(control, records[-1].seq if records else 0)
        assert {account for account in started if keys[account] not in seen} == set(), "not seen by Telegram"
    # A worker's accounts are waited for until they run elsewhere; a call that is repeated finds some running.
    allowed = {"STARTED"} if name.startswith("worker") else WAITING | {"STARTED", "ALREADY_RUNNING"}
    odd = [f"{r.name}: {outcome_text(r)} {r.detail}" for r in results if outcome_text(r) not in allowed]
    assert not odd, f"{name} killed: {odd[:5]}"


async def _kill(fleet: Fleet, name: str) -> None:
    """kill -9; the only one of its kind comes back after a second, as a supervisor would have it."""
    if name != POSTGRES:
        fleet.services[name].kill()
        return
    assert fleet.postgres is not None
    await asyncio.to_thread(fleet.postgres.kill)
    await asyncio.sleep(1)
    await asyncio.to_thread(fleet.postgres.start)


async def _mended(fleet: Fleet, client: Client, name: str) -> None:
    """The killed process is back and nothing runs any more."""
    if name != POSTGRES:
        await _started_again(fleet, fleet.services[name])
    await fleet.workers_connected(3)
    results = await client.stop_all(timeout=60)
    assert {outcome_text(r) for r in results} <= {"STOPPED", "ALREADY_STOPPED"}, results

    async def all_stopped() -> bool:
        status = await client.status()
        return all(account.state in RESTING for account in status.values())

    await eventually(all_stopped, 20, "nothing runs")


async def _started_again(fleet: Fleet, service: Service) -> None:
    service.start()
    if service.name.startswith("etcd"):
        await etcd_healthy(service)
    elif service.name.startswith("scheduler"):
        await fleet.leader()
    else:
        await service.serving()


def everyone(fleet: Fleet) -> list[str]:
    """All processes but Telegram itself."""
    return [POSTGRES, *sorted(name for name in fleet.services if name != "testdc")]


async def _each_in_turn(fleet: Fleet) -> None:
    async with fleet.control() as control:
        accounts = await new_accounts(control, ACCOUNTS)
    keys = {name: account.auth_key_id for name, account in accounts.items()}
    async with fleet.client(2) as client:
        await client.import_sessions({name: account.session for name, account in accounts.items()})
    for name in everyone(fleet):
        await _kill_during_start(fleet, name, keys)
        async with fleet.client(1 if name != "gateway-1" else 2) as client:
            await _mended(fleet, client, name)
    async with fleet.control() as control:
        assert (await violations(control)).sentences == []


@pytest.mark.timeout(600)
async def test_whoever_is_killed_during_start_all_each_account_has_one_true_result(tmp_path: Path) -> None:
    settings = {"TGFLEET_CRASH_WINDOW": "1s"}  # kills in a row are the test's doing, not the accounts'
    with PostgresProcess() as postgres:
        fleet = Fleet(
            tmp_path,
            workers=3,
            registries=2,
            schedulers=2,
            gateways=2,
            etcds=3,
            postgres=postgres,
            tls=True,
            settings=settings,
        )
        async with fleet:
            await _each_in_turn(fleet)
