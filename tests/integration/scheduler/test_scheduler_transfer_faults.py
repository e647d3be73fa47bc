"""Transfers while schedulers, workers and databases die, freeze and come back."""

from __future__ import annotations

import asyncio
import random
import signal

import pytest

from tests.integration.scheduler.calls import Transfers
from tests.integration.scheduler.transfer_place import (
    Place,
    ended,
    sent_total,
    until,
    until_following,
)
from tests.integration.scheduler.transfer_stubs import StubChats
from tests.support.postgres import PostgresProcess
from tgfleet.gateway.v1 import transfer_pb2 as pb


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
