"""Sessions move between workers: after a crash not before T + S, after a clean drain at once."""

from __future__ import annotations

import time

from tests.support.fleet import Client, Fleet, eventually, outcomes
from tests.support.telegram import new_accounts, violations
from tgfleet.gateway.v1 import fleet_pb2

ACCOUNTS = 10


async def _running_on(client: Client, worker: str) -> bool:
    status = await client.status()
    return all(a.state == fleet_pb2.SESSION_STATE_RUNNING and a.worker_id == worker for a in status.values())


async def _on_worker_1(fleet: Fleet, client: Client) -> None:
    """All accounts run on worker-1: worker-2 is drained while they start, then takes accounts again."""
    async with fleet.control() as control:
        accounts = await new_accounts(control, ACCOUNTS)
    await client.fleet.DrainWorker(fleet_pb2.DrainWorkerRequest(worker_id="worker-2"))
    await client.import_sessions({name: a.session for name, a in accounts.items()})
    assert outcomes(await client.start_all()) == dict.fromkeys(accounts, "STARTED")
    assert await _running_on(client, "worker-1")
    await client.fleet.DrainWorker(fleet_pb2.DrainWorkerRequest(worker_id="worker-2", undo=True))


async def test_a_killed_workers_accounts_come_up_elsewhere_by_themselves(fleet: Fleet) -> None:
    async with fleet.client() as client:
        await _on_worker_1(fleet, client)
        killed = time.monotonic()
        fleet.services["worker-1"].kill()
        await eventually(lambda: _running_on(client, "worker-2"), 30, "all accounts run on the other worker")
        # Nobody may have taken a session before its lease could have run out: T + S after the last renewal,
        # which was at most T/3 before the kill.
        assert time.monotonic() - killed >= 2 + 1 - 2 / 3 - 0.1
        async with fleet.control() as control:
            assert not (await violations(control)).sentences


async def test_a_clean_drain_does_not_wait_for_the_settle_time(tmp_path_factory: object) -> None:
    directory = tmp_path_factory.mktemp("drain")  # type: ignore[attr-defined]
    async with Fleet(directory, workers=2, ttl="30s", settle="30s") as fleet, fleet.client() as client:
        await _on_worker_1(fleet, client)
        began = time.monotonic()
        answer = await client.fleet.DrainWorker(fleet_pb2.DrainWorkerRequest(worker_id="worker-1"))
        await eventually(lambda: _running_on(client, "worker-2"), 20, "all accounts run on the other worker")
        assert time.monotonic() - began < 20
        assert not answer.remaining
        assert answer.moved == ACCOUNTS
        async with fleet.control() as control:
            assert not (await violations(control)).sentences
