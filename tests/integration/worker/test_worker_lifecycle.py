"""Start, run, stop: the way of one account through a worker, judged by the data centre's journal."""

from tests.integration.worker.conftest import MakeWorld
from tests.integration.worker.rig import RUNNING, STOPPED, eventually


async def test_start_run_stop_release(make_world: MakeWorld) -> None:
    w = await make_world()
    account = w.account("acc_one")
    command = w.house.dispatcher.start(["acc_one"])
    report = await w.house.dispatcher.until_answered(command, "acc_one")
    assert report.state == RUNNING
    assert report.user_id == account.user_id
    assert w.dc.control.live_connections(account.user_id)

    w.house.dispatcher.stop(["acc_one"])
    stopped = await w.house.dispatcher.until_state("acc_one", STOPPED)
    assert stopped.released
    assert not w.house.registry.holders
    await eventually(lambda: not w.dc.control.live_connections(account.user_id))
    assert [r.clean for r in w.house.registry.releases] == [True]


async def test_a_hundred_at_once(make_world: MakeWorld) -> None:
    w = await make_world()
    ids = [f"acc_{n}" for n in range(100)]
    for account_id in ids:
        w.account(account_id)
    command = w.house.dispatcher.start(ids)
    for account_id in ids:
        assert (await w.house.dispatcher.until_answered(command, account_id, 30)).state == RUNNING
    assert len(w.house.registry.acquires) == 1
    await w.stop()
    assert len(w.house.registry.releases) == 100
    assert all(r.clean for r in w.house.registry.releases)
    assert not w.dc.control.judge().overlaps
