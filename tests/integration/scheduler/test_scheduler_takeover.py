"""Leaders that die, freeze and return; callers that come back; workers that are killed."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import Callable

import grpc
import pytest

from tests.integration.scheduler.calls import START_ALL, Answers, fleet_call, status
from tests.integration.scheduler.processes import Scheduler
from tests.integration.scheduler.stubs import StubRegistry, StubWorker
from tgfleet.gateway.v1 import fleet_pb2, result_pb2
from tgfleet.scheduler.v1 import scheduler_pb2, scheduler_pb2_grpc

MakeScheduler = Callable[..., Scheduler]
MakeWorker = Callable[..., StubWorker]


async def until(reached: Callable[[], bool], within: float = 15.0) -> None:
    deadline = time.monotonic() + within
    while not reached():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


async def reason_of(scheduler: Scheduler) -> str:
    """The reason with which a scheduler refuses a call."""
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await fleet_call(scheduler, START_ALL)
    assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
    return (raised.value.details() or "") + str(raised.value.trailing_metadata())


async def test_a_killed_leaders_call_is_finished_by_the_standby(
    registry: StubRegistry, make_scheduler: MakeScheduler, make_worker: MakeWorker
) -> None:
    names = [f"a{n}" for n in range(20)]
    for name in names:
        registry.add(name)
    leader = make_scheduler()
    await leader.serving()
    standby = make_scheduler()
    await standby.standing_by()
    assert "NOT_LEADER" in await reason_of(standby)
    worker = make_worker("w1", leader, standby).start()
    await worker.attached.wait()

    running = worker.running
    started = 0

    def half(account_id: str, command_id: str) -> object:
        nonlocal started
        started += 1
        return running(account_id, command_id) if started <= 10 else None

    worker.answer = half  # type: ignore[assignment]
    first = Answers()
    began = time.time()
    call = asyncio.create_task(fleet_call(leader, START_ALL, request_id="r", into=first))
    await until(lambda: len(first.results) == 10)
    leader.kill()
    with contextlib.suppress(grpc.aio.AioRpcError):
        await call
    worker.answer = running
    await standby.serving()
    missing = [a for a in first.selected if a not in {r.account_id for r in first.results}]
    second = await fleet_call(standby, START_ALL, missing, request_id="r", began=began)
    together = {**first.outcomes, **second.outcomes}
    assert together == dict.fromkeys(names, "STARTED")
    assert len(first.results) + len(second.results) == 20
    everything = await fleet_call(standby, START_ALL)
    assert everything.outcomes == dict.fromkeys(names, "ALREADY_RUNNING")
    assert worker.terms == sorted(worker.terms)
    assert worker.terms[-1] == 2


async def test_the_old_leader_that_thaws_says_nothing_more(
    registry: StubRegistry, make_scheduler: MakeScheduler, make_worker: MakeWorker
) -> None:
    registry.add("ann")
    leader = make_scheduler()
    await leader.serving()
    worker = make_worker("w1", leader).start()
    await worker.attached.wait()
    leader.signal(signal.SIGSTOP)
    await asyncio.sleep(3)
    call = asyncio.create_task(fleet_call(leader, START_ALL, timeout=10))
    await asyncio.sleep(0.3)
    leader.signal(signal.SIGCONT)
    with contextlib.suppress(grpc.aio.AioRpcError):
        answers = await call
        assert worker.terms[-1] > 1, "the frozen term must not command"
        assert answers.outcomes == {"ann": "STARTED"}
    deadline = time.monotonic() + 15
    while True:
        with contextlib.suppress(grpc.aio.AioRpcError):
            if (await status(leader)).term > 1:
                return
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)


async def test_two_callers_and_one_that_comes_back_each_get_every_account_once(
    registry: StubRegistry, make_scheduler: MakeScheduler, make_worker: MakeWorker
) -> None:
    names = [f"a{n}" for n in range(300)]
    for name in names:
        registry.add(name)
    scheduler = make_scheduler()
    await scheduler.serving()
    worker = make_worker("w1", scheduler).start()
    await worker.attached.wait()
    one, two, same = await asyncio.gather(
        fleet_call(scheduler, START_ALL, request_id="r"),
        fleet_call(scheduler, START_ALL),
        fleet_call(scheduler, START_ALL, request_id="r"),
    )
    back = await fleet_call(scheduler, START_ALL, request_id="r")
    for answers in (one, two, same, back):
        assert set(answers.outcomes.values()) <= {"STARTED", "ALREADY_RUNNING"}
        assert sorted(answers.outcomes) == sorted(names)
        assert len(answers.selected) == 300
    assert back.outcomes == one.outcomes == same.outcomes


async def test_a_caller_that_leaves_stops_watching_and_not_the_starting(
    registry: StubRegistry, make_scheduler: MakeScheduler, make_worker: MakeWorker
) -> None:
    registry.add("ann")
    scheduler = make_scheduler()
    await scheduler.serving()
    worker = make_worker("w1", scheduler)
    running, worker.answer = worker.running, lambda _account, _command: None
    worker.start()
    await worker.attached.wait()
    call = asyncio.create_task(fleet_call(scheduler, START_ALL))
    await until(lambda: any(c.HasField("start") for c in worker.commands))
    call.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await call
    start = next(c for c in worker.commands if c.HasField("start"))
    assert registry.accounts[start.start.sessions[0].account_id].account.wanted_running
    late = asyncio.create_task(fleet_call(scheduler, START_ALL, timeout=2))
    assert (await late).outcomes == {"ann": "WAITING/STILL_STARTING"}
    worker.answer = running


async def test_a_killed_workers_accounts_move_and_its_crash_is_told(
    registry: StubRegistry, make_scheduler: MakeScheduler, make_worker: MakeWorker
) -> None:
    ids = {registry.add(f"a{n}") for n in range(10)}
    scheduler = make_scheduler()
    await scheduler.serving()
    first = make_worker("w1", scheduler).start()
    await first.attached.wait()
    await fleet_call(scheduler, START_ALL)
    second = make_worker("w2", scheduler).start()
    await second.attached.wait()
    await first.kill()
    killed = time.monotonic()
    await until(lambda: set(second.sessions) == ids)
    assert 1.5 < time.monotonic() - killed < 4.0  # T is 2 s
    await until(lambda: len(registry.facts) == 10)
    assert {fact.worker_crashed.incarnation for fact in registry.facts} == {first.incarnation}


async def test_settling_is_waited_for_exactly(
    registry: StubRegistry, make_scheduler: MakeScheduler, make_worker: MakeWorker
) -> None:
    registry.add("ann")
    scheduler = make_scheduler()
    await scheduler.serving()
    worker = make_worker("w1", scheduler)
    running = worker.running
    worker.answer = worker.refusing(result_pb2.OUTCOME_WAITING, result_pb2.REASON_SETTLING, 1.5)
    worker.start()
    await worker.attached.wait()
    asked = time.monotonic()
    answers = await fleet_call(scheduler, START_ALL)
    assert answers.outcomes == {"ann": "WAITING/SETTLING"}
    assert answers.results[0].HasField("retry_time")
    worker.answer = running
    patient = asyncio.create_task(fleet_call(scheduler, START_ALL, wait_for=5))
    assert (await patient).outcomes == {"ann": "STARTED"}
    assert time.monotonic() - asked < 2.5


async def test_all_processes_restart_and_everything_comes_back_by_itself(
    registry: StubRegistry, make_scheduler: MakeScheduler, make_worker: MakeWorker
) -> None:
    registry.add("ann", wanted_running=True, wanted_chatting=True)
    scheduler = make_scheduler()
    await scheduler.serving()
    worker = make_worker("w1", scheduler).start()
    await until(lambda: bool(worker.sessions))
    await worker.kill()
    assert await scheduler.stop() == 0
    scheduler.start()
    again = make_worker("w1", scheduler).start()
    await until(lambda: bool(again.sessions))
    assert next(iter(again.sessions.values())).chatting


async def test_a_second_process_with_a_live_workers_name_is_refused(
    registry: StubRegistry, make_scheduler: MakeScheduler, make_worker: MakeWorker
) -> None:
    scheduler = make_scheduler()
    await scheduler.serving()
    worker = make_worker("w1", scheduler).start()
    await worker.attached.wait()
    impostor = make_worker("w1", scheduler).start()
    await until(lambda: impostor.refused is not None)
    assert impostor.refused is not None
    assert impostor.refused.code() is grpc.StatusCode.ALREADY_EXISTS
    assert "WORKER_ID_TAKEN" in str(impostor.refused.trailing_metadata())
    await impostor.kill()
    assert worker.attached.is_set()


async def test_workers_status_events_and_drain(
    registry: StubRegistry, make_scheduler: MakeScheduler, make_worker: MakeWorker
) -> None:
    registry.add("ann")
    registry.add("bob", home_worker="w1")
    scheduler = make_scheduler()
    await scheduler.serving()
    first = make_worker("w1", scheduler).start()
    await first.attached.wait()
    await fleet_call(scheduler, START_ALL)
    second = make_worker("w2", scheduler).start()
    await second.attached.wait()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{scheduler.port}") as channel:
        stub = scheduler_pb2_grpc.SchedulerServiceStub(channel)
        events = stub.WatchEvents(scheduler_pb2.WatchEventsRequest())
        assert (await events.read()).response.events == []
        request = fleet_pb2.DrainWorkerRequest(worker_id="w1")
        request.timeout.FromSeconds(1)
        answer = await stub.DrainWorker(scheduler_pb2.DrainWorkerRequest(request=request), timeout=5)
        assert answer.response.moved >= 1
        remaining = {r.name: result_pb2.Reason.Name(r.reason) for r in answer.response.remaining}
        assert remaining in ({"bob": "REASON_HOME_WORKER_OFFLINE"}, {"bob": "REASON_STILL_STARTING"})
        await until(lambda: not first.sessions)
        await until(lambda: len(second.sessions) == 1)
        seen = (await events.read()).response.events
        assert "DRAINING" in {event.worker_changed.state for event in seen}
        events.cancel()
        listed = await stub.ListWorkers(scheduler_pb2.ListWorkersRequest())
        states = {w.worker_id: fleet_pb2.WorkerState.Name(w.state) for w in listed.response.workers}
        assert states == {"w1": "WORKER_STATE_DRAINING", "w2": "WORKER_STATE_CONNECTED"}
    shown = await status(scheduler)
    assert [a.name for a in shown.accounts] == ["ann", "bob"]
    assert dict(shown.by_state) == {"RUNNING": 1, "NOT_RUNNING": 1}
    assert shown.accounts[1].reason == result_pb2.REASON_HOME_WORKER_OFFLINE
