"""The fence: what a worker that lost its lease may still send, which is nothing. Judged by the data centre's
journal."""

import asyncio
import os
import signal
import time

from services.testdc.embed import NewAccount, TestDataCentre
from tests.integration.worker.conftest import MakeWorld
from tests.integration.worker.rig import FAILED, RUNNING, House, WorkerProcess, environ, eventually
from tgfleet.gateway.v1 import result_pb2


async def test_a_frozen_worker_sends_not_one_byte_after_it_wakes() -> None:
    ttl = 2.0
    async with TestDataCentre() as dc, House(ttl=ttl, settle=1.0) as house:
        accounts = [dc.control.create_account(NewAccount(first_name=f"A{n}")) for n in range(20)]
        for n, account in enumerate(accounts):
            house.enrol(f"acc_{n}", account)
        ids = [f"acc_{n}" for n in range(20)]
        # Pings every 50 ms, so that at any instant something is about to be sent.
        settings = environ(house, dc, TGFLEET_PING_INTERVAL="50ms")
        async with WorkerProcess(settings) as worker:
            assert worker.process is not None
            await house.dispatcher.until(lambda: house.dispatcher.hellos)
            command = house.dispatcher.start(ids)
            for account_id in ids:
                assert (await house.dispatcher.until_answered(command, account_id)).state == RUNNING
            os.kill(worker.process.pid, signal.SIGSTOP)
            await asyncio.sleep(ttl + 0.5)
            woken_at_seq = dc.control.get_journal()[-1].seq
            os.kill(worker.process.pid, signal.SIGCONT)
            for account_id in ids:
                report = await house.dispatcher.until_state(account_id, FAILED)
                assert report.outcome == result_pb2.OUTCOME_WAITING
                assert report.reason == result_pb2.REASON_SETTLING
                assert "lease" in report.detail
            later = [r for r in dc.control.get_journal(woken_at_seq) if r.kind.value in {"call", "key_bound"}]
            assert later == []
            assert worker.process.returncode is None
            # Given back as unclean: Telegram may not know yet.
            await eventually(lambda: len(house.registry.releases) >= 20)
            assert not any(r.clean for r in house.registry.releases)


async def test_a_registry_out_of_reach_fences_in_time(make_world: MakeWorld) -> None:
    w = await make_world(ttl=1.5, settle=1.0, TGFLEET_PING_INTERVAL="100ms")
    account = w.account("acc_one")
    command = w.house.dispatcher.start(["acc_one"])
    await w.house.dispatcher.until_answered(command, "acc_one")
    renewals = w.house.registry.renewals
    await eventually(lambda: w.house.registry.renewals > renewals + 2, what="renewals while all is well")
    last = time.time()
    w.house.registry.down = True
    report = await w.house.dispatcher.until_state("acc_one", FAILED)
    assert report.reason == result_pb2.REASON_SETTLING
    sent = [r.wall_time for r in w.dc.control.get_journal() if r.user_id == account.user_id]
    assert max(sent) < last + 1.5, "nothing after T, counted from the last renewal"
    w.house.registry.down = False
    await eventually(lambda: w.house.registry.releases)
    causes = {e.disconnected.cause for e in w.house.dispatcher.events if e.HasField("disconnected")}
    assert causes == {"FENCED"}


async def test_a_lease_that_etcd_lost_fences_at_once(make_world: MakeWorld) -> None:
    w = await make_world(ttl=3.0, TGFLEET_PING_INTERVAL="100ms")
    w.account("acc_one")
    command = w.house.dispatcher.start(["acc_one"])
    await w.house.dispatcher.until_answered(command, "acc_one")
    w.house.registry.forget_leases = True
    began = time.monotonic()
    await w.house.dispatcher.until_state("acc_one", FAILED)
    assert time.monotonic() - began < 1.5, "the next renewal, T/3 at most"


async def test_a_short_outage_of_the_registry_is_survived(make_world: MakeWorld) -> None:
    w = await make_world(ttl=3.0)
    w.account("acc_one")
    command = w.house.dispatcher.start(["acc_one"])
    await w.house.dispatcher.until_answered(command, "acc_one")
    w.house.registry.down = True
    await asyncio.sleep(1.2)
    w.house.registry.down = False
    renewals = w.house.registry.renewals
    await eventually(lambda: w.house.registry.renewals >= renewals + 2)
    last = w.house.dispatcher.last("acc_one")
    assert last is not None
    assert last.state == RUNNING


async def test_a_lost_answer_to_an_acquisition_is_asked_again(make_world: MakeWorld) -> None:
    w = await make_world()
    w.house.registry.lose_answers = 2
    w.account("acc_one")
    command = w.house.dispatcher.start(["acc_one"])
    assert (await w.house.dispatcher.until_answered(command, "acc_one")).state == RUNNING
    assert len({a.request_id for a in w.house.registry.acquires}) == 1
    assert len(w.house.registry.acquires) == 3


async def test_a_grant_that_came_too_late_is_not_used(make_world: MakeWorld) -> None:
    w = await make_world(ttl=0.5, TGFLEET_CONNECT_TIMEOUT="10s")
    w.house.registry.lose_answers = 3
    account = w.account("acc_one")
    command = w.house.dispatcher.start(["acc_one"])
    report = await w.house.dispatcher.until_answered(command, "acc_one")
    assert report.outcome == result_pb2.OUTCOME_WAITING
    assert not [r for r in w.dc.control.get_journal() if r.user_id == account.user_id]
    await eventually(lambda: not w.house.registry.holders)
