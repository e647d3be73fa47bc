"""Transfers through real scheduler processes, on stub chats."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import pytest

from tests.integration.scheduler.calls import START_ALL, STOP_ALL, Transfers, fleet_call
from tests.integration.scheduler.processes import Scheduler
from tests.integration.scheduler.stubs import StubRegistry
from tests.integration.scheduler.transfer_stubs import StubChats, TransferWorker, refused
from tests.support.postgres import PostgresProcess
from tgfleet.gateway.v1 import transfer_pb2 as pb
from tgfleet.worker.v1 import transfer_pb2 as pb_worker

MakeScheduler = Callable[..., Scheduler]
MakeWorker = Callable[..., TransferWorker]


@pytest.fixture
async def make_transfer_worker() -> AsyncIterator[MakeWorker]:
    async with contextlib.AsyncExitStack() as stack:

        def make(worker_id: str, chats: StubChats, *schedulers: Scheduler) -> TransferWorker:
            worker = TransferWorker(worker_id, [one.port for one in schedulers], chats)
            stack.push_async_callback(worker.kill)
            return worker

        yield make


async def until(reached: Callable[[], bool], within: float = 15.0) -> None:
    deadline = time.monotonic() + within
    while not reached():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


async def ended(transfers: Transfers, transfer_id: str, within: float = 25.0) -> pb.Transfer:
    deadline = time.monotonic() + within
    while True:
        shown = await transfers.get(transfer_id)
        if shown.end_time.seconds:
            return shown
        assert time.monotonic() < deadline, shown
        await asyncio.sleep(0.05)


async def test_a_thousand_messages_arrive_once_in_order_with_albums_whole(
    registry: StubRegistry, make_scheduler: MakeScheduler, make_transfer_worker: MakeWorker
) -> None:
    ids = [registry.add(name) for name in ("ann", "bob")]
    scheduler = make_scheduler()
    await scheduler.serving()
    chats = StubChats.of(1000, album_every=7)
    worker = make_transfer_worker("w1", chats, scheduler).start()
    await worker.attached.wait()
    await fleet_call(scheduler, START_ALL, ids)
    transfers = Transfers(scheduler)
    made = await transfers.create(ids)
    assert made.state in {pb.TRANSFER_STATE_RUNNING, pb.TRANSFER_STATE_COMPLETED}
    assert [one.usable for one in made.candidates] == [True, True]
    told = await transfers.watch(made.transfer_id)
    assert told[-1].state == pb.TRANSFER_STATE_COMPLETED
    assert told[-1].done == 1000
    assert chats.forwarded() == list(range(1, 1001))
    groups = {one.message_id: one.grouped_id for one in chats.messages}
    for order in worker.sends():
        rest = set(groups) - set(order.send.message_ids)
        whole = {groups[one] for one in order.send.message_ids} - {0}
        assert not whole & {groups[one] for one in rest}
    shown = await transfers.get(made.transfer_id)
    assert (shown.done, shown.total) == (1000, 1000)
    await until(lambda: not worker.kept)


class Place:
    """A leader, a standby, a worker that reaches both, two accounts."""

    def __init__(self, make_scheduler: MakeScheduler, make: MakeWorker, registry: StubRegistry) -> None:
        self._make_scheduler, self._make = make_scheduler, make
        self.ids = [registry.add(name) for name in ("ann", "bob")]
        self.registry = registry
        self.chats = StubChats.of(1000)

    async def begin(self, *, standby: bool = False, running: bool = True, **settings: str) -> None:
        self.scheduler = self._make_scheduler(**settings)
        await self.scheduler.serving()
        schedulers = [self.scheduler]
        if standby:
            self.standby = self._make_scheduler(**settings)
            schedulers.append(self.standby)
            await self.standby.standing_by()
        self.worker = self._make("w1", self.chats, *schedulers).start()
        await self.worker.attached.wait()
        if running:
            await fleet_call(self.scheduler, START_ALL, self.ids)
        self.transfers = Transfers(self.scheduler)


@pytest.fixture
def place(make_scheduler: MakeScheduler, make_transfer_worker: MakeWorker, registry: StubRegistry) -> Place:
    return Place(make_scheduler, make_transfer_worker, registry)


async def test_a_flood_wait_is_answered_by_the_next_account_within_a_second(place: Place) -> None:
    await place.begin()
    flooded_at = 0.0

    def flood_second(order: pb_worker.TransferOrder) -> pb_worker.TransferAnswer | None:
        nonlocal flooded_at
        if len(place.worker.sends()) == 2:
            flooded_at = time.monotonic()
            return refused(420, "FLOOD_WAIT_X", 3000)
        if flooded_at and len(place.worker.sends()) == 3:
            assert time.monotonic() - flooded_at < 1
        return None

    place.worker.before_send = flood_second
    made = await place.transfers.create(place.ids)
    shown = await ended(place.transfers, made.transfer_id)
    assert shown.state == pb.TRANSFER_STATE_COMPLETED
    assert place.chats.forwarded() == list(range(1, 1001))
    first, second, *later = [order.account_id for order in place.worker.sends()]
    assert first == second
    assert set(later) == set(place.ids) - {first}


async def test_with_nobody_left_it_waits_until_the_wait_is_over(place: Place) -> None:
    await place.begin()
    place.worker.before_send = lambda _: (
        refused(420, "FLOOD_WAIT_X", 3) if len(place.worker.sends()) <= 2 else None
    )
    made = await place.transfers.create(place.ids)
    states = await place.transfers.watch(made.transfer_id)
    waiting = [one for one in states if one.state == pb.TRANSFER_STATE_WAITING]
    assert waiting
    assert waiting[0].reason == "FLOOD_WAIT"
    assert waiting[0].next_wake_time.seconds
    assert place.chats.forwarded() == list(range(1, 1001))


async def test_two_creates_with_one_request_id_make_one_transfer_also_after_its_end(place: Place) -> None:
    await place.begin()
    made = await asyncio.gather(*(place.transfers.create(place.ids, "same") for _ in range(5)))
    assert len({one.transfer_id for one in made}) == 1
    await ended(place.transfers, made[0].transfer_id)
    again = await place.transfers.create(place.ids, "same")
    assert again.transfer_id == made[0].transfer_id
    assert again.state == pb.TRANSFER_STATE_COMPLETED
    assert len((await place.transfers.page()).transfers) == 1
    assert place.chats.forwarded() == list(range(1, 1001))


async def test_pausing_answers_when_nothing_is_in_flight_and_resuming_goes_on(place: Place) -> None:
    await place.begin()
    place.worker.send_takes = 0.3
    made = await place.transfers.create(place.ids)
    await until(lambda: len(place.worker.sends()) == 2)
    paused = await asyncio.gather(*(place.transfers.one("Pause", made.transfer_id) for _ in range(2)))
    assert {one.transfer.state for one in paused} == {pb.TRANSFER_STATE_PAUSED}
    sent = len(place.chats.target)
    assert paused[0].transfer.done == sent
    assert paused[0].transfer.shards[0].checkpoint_id == sent
    await asyncio.sleep(0.5)
    assert len(place.chats.target) == sent
    place.worker.send_takes = 0.0
    resumed = await place.transfers.one("Resume", made.transfer_id)
    assert resumed.transfer.state != pb.TRANSFER_STATE_PAUSED
    await ended(place.transfers, made.transfer_id)
    assert place.chats.forwarded() == list(range(1, 1001))


async def test_cancelling_ends_it_for_good(place: Place) -> None:
    await place.begin()
    place.worker.send_takes = 0.2
    made = await place.transfers.create(place.ids)
    await until(lambda: len(place.worker.sends()) == 2)
    cancelled = await place.transfers.one("Cancel", made.transfer_id)
    assert cancelled.transfer.state == pb.TRANSFER_STATE_CANCELLED
    assert cancelled.transfer.end_time.seconds
    assert (await place.transfers.one("Cancel", made.transfer_id)).transfer == cancelled.transfer
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await place.transfers.one("Resume", made.transfer_id)
    assert raised.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    listed = await place.transfers.page(states=[pb.TRANSFER_STATE_CANCELLED])
    assert [one.transfer_id for one in listed.transfers] == [made.transfer_id]


async def test_a_killed_leaders_transfer_goes_on_under_the_standby(place: Place) -> None:
    await place.begin(standby=True)
    place.worker.send_takes = 0.2
    made = await place.transfers.create(place.ids)
    await until(lambda: len(place.worker.sends()) == 3)
    place.scheduler.kill()
    place.worker.send_takes = 0.0
    await place.standby.serving()
    shown = await ended(Transfers(place.standby), made.transfer_id)
    assert shown.state == pb.TRANSFER_STATE_COMPLETED
    assert shown.done == 1000
    assert place.chats.forwarded() == list(range(1, 1001))


async def test_a_restarted_scheduler_goes_on_with_the_answer_that_the_worker_kept(place: Place) -> None:
    await place.begin()
    place.worker.send_takes = 1.0
    made = await place.transfers.create(place.ids)
    await until(lambda: len(place.worker.sends()) == 1)
    place.scheduler.kill()
    await until(lambda: bool(place.worker.kept))
    place.worker.send_takes = 0.0
    place.scheduler.start()
    await place.scheduler.serving()
    shown = await ended(place.transfers, made.transfer_id)
    assert shown.done == 1000
    assert place.chats.forwarded() == list(range(1, 1001))
    first_batch = {order.order_id for order in place.worker.sends() if 1 in order.send.message_ids}
    assert len(first_batch) == 1


async def test_a_send_whose_worker_is_gone_is_settled_before_anything_else(place: Place) -> None:
    await place.begin()
    place.worker.answers_lost = 1
    made = await place.transfers.create(place.ids)
    await until(lambda: len(place.chats.target) == 100)
    await place.worker.kill()
    second = place._make("w2", place.chats, place.scheduler).start()
    shown = await ended(place.transfers, made.transfer_id, within=40)
    assert shown.state == pb.TRANSFER_STATE_COMPLETED
    assert place.chats.forwarded() == list(range(1, 1001))
    assert second.sends()[0].account_id == place.worker.sends()[0].account_id


async def test_accounts_that_nobody_started_are_started_for_the_transfer_and_stopped_after(
    place: Place,
) -> None:
    await place.begin(running=False, TGFLEET_TRANSFER_IDLE_RELEASE="1s")
    made = await place.transfers.create(place.ids)
    await ended(place.transfers, made.transfer_id)
    assert place.chats.forwarded() == list(range(1, 1001))
    await until(lambda: not place.worker.sessions)
    assert not any(record.account.wanted_running for record in place.registry.accounts.values())


async def test_a_borrowed_account_survives_a_change_of_leader(place: Place) -> None:
    await place.begin(standby=True, running=False)
    place.worker.send_takes = 0.2
    made = await place.transfers.create(place.ids[:1])
    await until(lambda: len(place.worker.sends()) == 2)
    starts = sum(message.HasField("start") for message in place.worker.commands)
    place.scheduler.kill()
    await place.standby.serving()
    await ended(Transfers(place.standby), made.transfer_id)
    assert sum(message.HasField("start") for message in place.worker.commands) == starts
    assert place.chats.forwarded() == list(range(1, 1001))


async def test_stop_all_wins_over_a_transfer_and_resuming_starts_again(place: Place) -> None:
    await place.begin(running=False)
    place.worker.send_takes = 0.2
    made = await place.transfers.create(place.ids[:1])
    await until(lambda: len(place.worker.sends()) == 2)
    await fleet_call(place.scheduler, STOP_ALL)
    assert not place.worker.sessions
    sent = len(place.worker.sends())
    await asyncio.sleep(1.0)
    assert (len(place.worker.sends()), len(place.worker.sessions)) == (sent, 0)
    shown = await place.transfers.get(made.transfer_id)
    assert shown.state in {pb.TRANSFER_STATE_WAITING, pb.TRANSFER_STATE_UNDECIDED}
    place.scheduler.kill()  # the next leader keeps to it too
    place.scheduler.start()
    await place.scheduler.serving()
    await place.worker.attached.wait()
    await asyncio.sleep(1.0)
    assert (len(place.worker.sends()), len(place.worker.sessions)) == (sent, 0)
    place.worker.send_takes = 0.0
    await place.transfers.one("Resume", made.transfer_id)
    await ended(place.transfers, made.transfer_id)
    assert place.chats.forwarded() == list(range(1, 1001))


async def test_a_standby_answers_nothing_about_transfers(place: Place) -> None:
    await place.begin(standby=True)
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await Transfers(place.standby).page()
    assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
    assert "NOT_LEADER" in str(raised.value.trailing_metadata())


@pytest.mark.parametrize(
    ("fields", "code", "reason"),
    [
        ({"ids": pb.IdRange(first=9, last=3)}, "INVALID_ARGUMENT", ""),
        ({"ids": pb.IdRange(first=2000, last=3000)}, "FAILED_PRECONDITION", "EMPTY_RANGE"),
        ({"max_per_hour": -1}, "INVALID_ARGUMENT", ""),
        ({"mode": 77}, "INVALID_ARGUMENT", ""),
        ({"account_ids": []}, "INVALID_ARGUMENT", ""),
    ],
)
async def test_what_cannot_be_is_refused_and_nothing_is_stored(
    place: Place, fields: dict[str, Any], code: str, reason: str
) -> None:
    await place.begin()
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await place.transfers.create(**{"account_ids": place.ids} | fields)
    assert raised.value.code().name == code, raised.value
    assert reason in str(raised.value.trailing_metadata())
    assert not (await place.transfers.page()).transfers


async def test_nobody_who_runs_is_a_clear_refusal(place: Place) -> None:
    await place.begin(running=False)
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await place.transfers.create(place.ids, only_running=True)
    assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
    assert "NO_ACCOUNT_RUNNING" in str(raised.value.trailing_metadata())


async def test_pages_and_explanations(place: Place) -> None:
    await place.begin()
    made = [await place.transfers.create(place.ids, last=number) for number in (1, 2, 3)]
    for one in made:
        await ended(place.transfers, one.transfer_id)
    first = await place.transfers.page(page_size=2)
    rest = await place.transfers.page(page_size=2, page_token=first.next_page_token)
    listed = [one.transfer_id for one in [*first.transfers, *rest.transfers]]
    assert listed == [one.transfer_id for one in reversed(made)]
    assert not rest.next_page_token
    place.worker.send_takes = 1.0
    going = await place.transfers.create(place.ids)
    explained = await place.transfers.one("Explain", going.transfer_id)
    assert {one.account_id for one in explained.accounts} == set(place.ids)
    assert sum(one.sent_total for one in explained.accounts) == 6


async def sent_total(transfers: Transfers, transfer_id: str) -> int:
    """What the accounts' counts say, asked while the transfer has not ended."""
    explained = await transfers.one("Explain", transfer_id)
    return sum(one.sent_total for one in explained.accounts)


async def test_a_leader_frozen_in_the_middle_gives_no_order_and_writes_nothing_when_it_wakes(
    place: Place,
) -> None:
    await place.begin(standby=True)
    place.worker.send_takes = 0.2
    made = await place.transfers.create(place.ids)
    await until(lambda: len(place.worker.sends()) == 3)
    place.scheduler.signal(signal.SIGSTOP)
    try:
        place.worker.send_takes = 0.0
        await place.worker.kill()  # its stream; what it runs runs on
        place.worker.go_first_to(place.standby.port)
        place.worker.start()
        await asyncio.sleep(2.5)  # longer than the leader's time to live
    finally:
        place.scheduler.signal(signal.SIGCONT)
    await place.standby.serving()
    shown = await ended(Transfers(place.standby), made.transfer_id)
    assert (shown.state, shown.done) == (pb.TRANSFER_STATE_COMPLETED, 1000)
    assert place.chats.forwarded() == list(range(1, 1001))
    assert place.worker.terms == sorted(place.worker.terms)


async def test_a_database_that_is_killed_and_comes_back_loses_and_doubles_nothing(
    place: Place,
) -> None:
    with PostgresProcess() as postgres:
        await place.begin(TGFLEET_SCHEDULER_DATABASE_URL=postgres.new_database())
        place.worker.send_takes = 0.1
        made = await place.transfers.create(place.ids, follow=True)
        for sends in (2, 5):
            await until(lambda least=sends: len(place.worker.sends()) >= least)  # type: ignore[misc]
            await asyncio.to_thread(postgres.kill)
            await asyncio.sleep(0.5)
            await asyncio.to_thread(postgres.start)
        await until(lambda: len(place.chats.target) == 1000, within=40)
        await until_following(place.transfers, made.transfer_id)
        assert place.chats.forwarded() == list(range(1, 1001))
        assert await sent_total(place.transfers, made.transfer_id) == 1000


async def until_following(
    transfers: Transfers, transfer_id: str, done: int = 1000, within: float = 20.0
) -> None:
    deadline = time.monotonic() + within
    while True:
        with contextlib.suppress(grpc.aio.AioRpcError):
            shown = await transfers.get(transfer_id)
            if shown.state == pb.TRANSFER_STATE_FOLLOWING and shown.done == done:
                return
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)


async def test_a_hundred_transfers_at_once_all_arrive(
    registry: StubRegistry, make_scheduler: MakeScheduler, make_transfer_worker: MakeWorker
) -> None:
    ids = [registry.add(f"a{number}") for number in range(20)]
    scheduler = make_scheduler(TGFLEET_TRANSFER_MAX_PER_HOUR="0")
    await scheduler.serving()
    chats = StubChats.of(300)
    worker = make_transfer_worker("w1", chats, scheduler).start()
    await worker.attached.wait()
    await fleet_call(scheduler, START_ALL, ids)
    transfers = Transfers(scheduler)
    made = await asyncio.gather(*(transfers.create(ids, timeout=60) for _ in range(100)))
    for one in made:
        assert (await ended(transfers, one.transfer_id, within=60)).done == 300
    assert sorted(chats.forwarded()) == sorted(list(range(1, 301)) * 100)


@pytest.mark.parametrize("seed", [1, 2])
async def test_a_scheduler_killed_again_and_again_counts_every_message_once(place: Place, seed: int) -> None:
    rng = random.Random(seed)
    place.chats.messages.extend(StubChats.of(3000).messages[1000:])
    await place.begin()
    place.worker.send_takes = 0.03
    made = await place.transfers.create(place.ids, follow=True, max_per_hour=100_000)
    for _ in range(4):
        before = len(place.worker.sends())
        await until(lambda least=before: len(place.worker.sends()) > least)  # type: ignore[misc]
        await asyncio.sleep(rng.random() * 0.2)
        place.scheduler.kill()
        place.scheduler.start()
        await place.scheduler.serving()
    await until(lambda: len(place.chats.target) == 3000, within=40)
    await until_following(place.transfers, made.transfer_id, 3000)
    assert place.chats.forwarded() == list(range(1, 3001))
    assert await sent_total(place.transfers, made.transfer_id) == 3000


async def test_on_postgresql_a_frozen_leaders_transfer_is_ended_by_the_next_and_stays_as_it_is(
    place: Place,
) -> None:
    with PostgresProcess() as postgres:
        await place.begin(standby=True, TGFLEET_SCHEDULER_DATABASE_URL=postgres.new_database())
        place.worker.send_takes = 0.2
        made = await place.transfers.create(place.ids)
        await until(lambda: len(place.worker.sends()) == 3)
        place.scheduler.signal(signal.SIGSTOP)
        try:
            place.worker.send_takes = 0.0
            await place.worker.kill()  # its stream; what it runs runs on
            place.worker.go_first_to(place.standby.port)
            place.worker.start()
            await place.standby.serving()
            shown = await ended(Transfers(place.standby), made.transfer_id)
            orders = len(place.worker.orders)
        finally:
            place.scheduler.signal(signal.SIGCONT)
        await place.scheduler.standing_by()
        again = await Transfers(place.standby).get(made.transfer_id)
        assert (again, len(place.worker.orders)) == (shown, orders)
        assert shown.done == 1000
        assert place.chats.forwarded() == list(range(1, 1001))
