"""Transfer orders through a whole worker with fakes, in virtual time: what is answered when, what is sent how
often, and how waits, stops and lost links are kept apart."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from services.runtime.errors import Unavailable
from services.worker.domain.facts import FloodWaited
from services.worker.domain.picture import Token
from services.worker.domain.states import SessionState
from services.worker.domain.telegram import Refused
from services.worker.domain.transfer_answers import (
    Answer,
    Inspected,
    Looked,
    OrderNotDone,
    OrderRefused,
    OrderUnknown,
    Sent,
    SourcePage,
)
from services.worker.domain.transfer_orders import (
    ChatReference,
    InspectChats,
    LookInTarget,
    ReadSource,
    SendBatch,
    TransferOrder,
    TransferOrders,
    Work,
)
from services.worker.fakes.transfers import FakeChannel
from services.worker.ports import KnownWait
from tests.unit.worker.world import Inside, inside

pytestmark = pytest.mark.looptime

SOURCE, TARGET = -1001, -1002
FORWARD = "messages.forwardMessages"


class Asker:
    """A scheduler's side: gives orders, keeps answers."""

    def __init__(self, world: Inside) -> None:
        self.world = world
        self.source = world.telegram.channels[SOURCE] = FakeChannel(SOURCE, "source")
        self.target = world.telegram.channels[TARGET] = FakeChannel(TARGET, "target")
        for number in range(1, 251):
            self.source.post(f"message {number}")
        self.answers: dict[str, Answer] = {}
        self.told = 0
        self._number = 0

    def token(self, account: str) -> Token:
        return self.world.registry.holders.get(account, Token(9, 9))

    def give(self, work: Work, account: str = "a", *, limit: float = 10.0, order_id: str = "") -> str:
        self._number += 1
        order_id = order_id or f"order-{self._number}"
        order = TransferOrder(order_id, account, self.token(account), limit, work)
        self.world.order(TransferOrders(orders=(order,)))
        return order_id

    def send(self, *ids: int, **more: object) -> str:
        randoms = tuple(1000 + one for one in ids)
        batch = SendBatch(ChatReference("", SOURCE), ChatReference("", TARGET), ids, randoms)
        return self.give(batch, **more)  # type: ignore[arg-type]

    def read(self, after_id: int = 0, **more: object) -> str:
        return self.give(ReadSource(ChatReference("", SOURCE), after_id), **more)  # type: ignore[arg-type]

    def collect(self) -> None:
        for answer in self.world.tools.transfers.take(1000):
            self.answers[answer.order_id] = answer.answer
            self.told += 1

    async def answer(self, order_id: str, limit: float = 60.0) -> Answer:
        async with asyncio.timeout(limit):
            while order_id not in self.answers:
                await asyncio.sleep(0.01)
                self.collect()
        return self.answers[order_id]

    def forwards(self) -> int:
        return sum(1 for _, _, method in self.world.telegram.journal if method == FORWARD)


async def started(world: Inside, name: str = "a", **more: object) -> Asker:
    asker = Asker(world)
    world.enrol(name, **more)  # type: ignore[arg-type]
    world.start(name)
    await world.until(name, SessionState.RUNNING)
    return asker


async def test_every_kind_of_order_is_carried_out() -> None:
    async with inside() as world:
        asker = await started(world)
        page = await asker.answer(asker.read())
        assert isinstance(page, SourcePage)
        assert [one.message_id for one in page.messages] == list(range(1, 101))
        assert (page.looked_through_id, page.end) == (100, False)
        sent = await asker.answer(asker.send(1, 2, 5))
        assert sent == Sent((1, 2, 5), (1, 2, 3))
        inspect = InspectChats(ChatReference("@source"), ChatReference("https://t.me/target"))
        inspected = await asker.answer(asker.give(inspect))
        assert isinstance(inspected, Inspected)
        assert (inspected.source.chat_id, inspected.target.chat_id) == (SOURCE, TARGET)
        assert (inspected.first_id, inspected.last_id) == (1, 250)
        look = LookInTarget(ChatReference("", SOURCE), ChatReference("", TARGET), (1, 2, 5), above_id=1)
        looked = await asker.answer(asker.give(look))
        assert isinstance(looked, Looked)
        assert [one.forward_message_id for one in looked.target] == [2, 5]
        assert looked.complete


async def test_an_order_seen_before_is_not_carried_out_again() -> None:
    async with inside() as world:
        asker = await started(world)
        order_id = asker.send(1)
        await asker.answer(order_id)
        asker.send(1, order_id=order_id)
        asker.collect()
        assert asker.told == 2, "its answer is repeated"
        world.order(TransferOrders(acknowledged=(order_id,)))
        asker.send(1, order_id=order_id)
        await asyncio.sleep(1)
        asker.collect()
        assert asker.told == 2
        assert asker.forwards() == 1


async def test_orders_for_another_token_or_an_account_that_does_not_run_are_not_done() -> None:
    async with inside() as world:
        asker = await started(world)
        stale = asker.send(1, account="b")
        assert await asker.answer(stale) == OrderNotDone("NOT_RUNNING")
        world.registry.holders["a"] = Token(7, 7)
        assert await asker.answer(asker.send(1)) == OrderNotDone("NOT_RUNNING")
        assert asker.forwards() == 0


async def test_sends_go_one_at_a_time_with_readings_beside_them() -> None:
    async with inside() as world:
        asker = await started(world)
        asker.target.lose_requests = True
        first, second = asker.send(1, limit=5), asker.send(2, limit=100)
        page = asker.read()
        assert isinstance(await asker.answer(page, 1), SourcePage)
        assert world.tools.transfers.under_way == (first, second)
        assert await asker.answer(first) == OrderUnknown("TIMEOUT")
        asker.target.lose_requests = False
        assert await asker.answer(second) == Sent((2,), (1,))


async def test_after_an_unknown_outcome_the_link_is_cut_and_the_next_order_takes_the_new_one() -> None:
    async with inside() as world:
        asker = await started(world)
        asker.target.lose_answers = True
        first, second = asker.send(1, limit=5), asker.send(1, 2, limit=20)
        assert await asker.answer(first) == OrderUnknown("TIMEOUT")
        assert not world.telegram.live(world.key("a")), "the link is closed before it is told"
        asker.target.lose_answers = False
        assert await asker.answer(second) == Sent((1, 2), (1, 2))
        assert len(asker.target.posts) == 2
        assert asker.forwards() == 2


async def test_a_link_that_does_not_come_back_is_told_as_not_done() -> None:
    async with inside() as world:
        asker = await started(world)
        world.telegram.accounts[world.key("a")].unreachable = None
        world.telegram.accounts[world.key("a")].silent = True
        world.telegram.drop(world.key("a"))
        await world.until("a", SessionState.RECONNECTING)
        assert await asker.answer(asker.send(1, limit=30)) == OrderNotDone("LINK_DOWN")
        assert asker.forwards() == 0


async def test_a_flood_wait_is_answered_reported_and_then_kept() -> None:
    async with inside() as world:
        asker = await started(world)
        asker.target.refuse = Refused(420, "FLOOD_WAIT_X", FORWARD, 30)
        assert await asker.answer(asker.send(1)) == OrderRefused(420, "FLOOD_WAIT_X", 30, FORWARD)
        asker.target.refuse = None
        inside_wait = await asker.answer(asker.send(1))
        assert isinstance(inside_wait, OrderNotDone)
        assert inside_wait.cause == "FLOOD_WAIT"
        assert inside_wait.retry_time is not None
        left = (inside_wait.retry_time - world.tools.clock.wall()).total_seconds()
        assert 28 < left <= 30
        assert asker.forwards() == 1
        assert isinstance(await asker.answer(asker.read()), SourcePage), "the wait is of its method only"
        await asyncio.sleep(31)
        assert isinstance(await asker.answer(asker.send(1)), Sent)
        facts = [one.kind for one in world.registry.facts.values() if isinstance(one.kind, FloodWaited)]
        assert [(one.method, one.chat_id) for one in facts] == [(FORWARD, 0)]


async def test_slow_mode_counts_for_its_chat_only() -> None:
    async with inside() as world:
        asker = await started(world)
        other = world.telegram.channels[-1003] = FakeChannel(-1003, "other")
        asker.target.refuse = Refused(420, "SLOWMODE_WAIT_X", FORWARD, 30)
        assert isinstance(await asker.answer(asker.send(1)), OrderRefused)
        batch = SendBatch(ChatReference("", SOURCE), ChatReference("", other.chat_id), (1,), (5,))
        assert isinstance(await asker.answer(asker.give(batch)), Sent)
        assert (await asker.answer(asker.send(1))) != OrderRefused(420, "SLOWMODE_WAIT_X", 30, FORWARD)
        await asyncio.sleep(1)
        facts = [one.kind for one in world.registry.facts.values() if isinstance(one.kind, FloodWaited)]
        assert [(one.method, one.chat_id) for one in facts] == [(FORWARD, TARGET)]


async def test_a_wait_that_came_with_the_grant_is_kept_for_readings_too() -> None:
    async with inside() as world:
        until = world.tools.clock.wall() + timedelta(seconds=40)
        asker = await started(world, waits=(KnownWait("messages.getHistory", 0, until),))
        answer = await asker.answer(asker.read())
        assert isinstance(answer, OrderNotDone)
        assert answer.cause == "FLOOD_WAIT"
        await asyncio.sleep(41)
        assert isinstance(await asker.answer(asker.read()), SourcePage)


async def test_a_stop_refuses_what_waits_and_lets_the_transmission_under_way_end() -> None:
    async with inside() as world:
        asker = await started(world)
        world.telegram.accounts[world.key("a")].delay = 2.0
        first, second = asker.send(1), asker.send(2)
        await asyncio.sleep(0.1)
        world.stop("a")
        await asyncio.sleep(0.1)
        third = asker.send(3)
        await world.until("a", SessionState.STOPPED)
        assert await asker.answer(first) == Sent((1,), (1,))
        assert await asker.answer(second) == OrderNotDone("STOPPING")
        assert await asker.answer(third) == OrderNotDone("STOPPING")
        assert asker.forwards() == 1
        assert world.registry.releases[-1].clean


async def test_a_stop_does_not_wait_for_ever_and_is_not_clean_then() -> None:
    async with inside() as world:
        asker = await started(world)
        asker.target.lose_answers = True
        first = asker.send(1, limit=1000)
        await asyncio.sleep(0.1)
        world.stop("a")
        await world.until("a", SessionState.STOPPED, limit=10)
        assert await asker.answer(first) == OrderUnknown("STOPPING")
        assert not world.registry.releases[-1].clean
        assert await asker.answer(asker.send(2)) == OrderNotDone("NOT_RUNNING")


async def test_cancelled_orders_are_answered() -> None:
    async with inside() as world:
        asker = await started(world)
        asker.target.lose_requests = True
        first, second = asker.send(1, limit=100), asker.send(2, limit=100)
        await asyncio.sleep(0.1)
        world.order(TransferOrders(cancelled=(second, first, "unknown")))
        assert await asker.answer(second) == OrderNotDone("CANCELLED")
        assert await asker.answer(first) == OrderUnknown("CANCELLED")
        assert not world.telegram.live(world.key("a"))


async def test_a_fence_in_the_middle_leaves_the_outcome_unknown() -> None:
    async with inside() as world:
        asker = await started(world)
        asker.target.lose_answers = True
        first, second = asker.send(1, limit=100), asker.send(2, limit=100)
        await asyncio.sleep(0.1)
        world.registry.down = True
        assert await asker.answer(first) == OrderUnknown("FENCED")
        refused = await asker.answer(second)
        assert isinstance(refused, OrderNotDone)
        assert asker.forwards() == 1


async def test_spam_reports_silence_the_chats_but_not_an_operator_who_goes_on() -> None:
    async with inside() as world:
        asker = await started(world)
        asker.target.refuse = Refused(400, "PEER_FLOOD", FORWARD)
        assert await asker.answer(asker.send(1)) == OrderRefused(400, "PEER_FLOOD", 0, FORWARD)
        last = world.last("a")
        assert last is not None
        assert "spam reports" in last.detail
        assert await asker.answer(asker.send(1)) == OrderRefused(400, "PEER_FLOOD", 0, FORWARD)


async def test_a_ban_ends_the_session_after_it_was_answered() -> None:
    async with inside() as world:
        asker = await started(world)
        asker.target.refuse = Refused(401, "USER_DEACTIVATED_BAN", FORWARD)
        answer = await asker.answer(asker.send(1))
        assert answer == OrderRefused(401, "USER_DEACTIVATED_BAN", 0, FORWARD)
        await world.until("a", SessionState.FAILED)


async def test_malformed_batches_are_not_sent() -> None:
    async with inside() as world:
        asker = await started(world)
        for ids in ((2, 1), (1, 1), (), tuple(range(1, 102))):
            assert await asker.answer(asker.send(*ids)) == OrderNotDone("BAD_ORDER")
        assert asker.forwards() == 0


async def test_a_wait_that_the_registry_has_not_heard_of_outlives_the_session() -> None:
    async with inside() as world:
        asker = await started(world)
        report = world.registry.report_facts

        async def deaf(facts: object, limit: float) -> None:
            raise Unavailable("The registry takes no facts on purpose.")

        world.registry.report_facts = deaf  # type: ignore[method-assign]
        asker.target.refuse = Refused(420, "FLOOD_WAIT_X", FORWARD, 300)
        await asker.answer(asker.send(1))
        asker.target.refuse = None
        world.stop("a")
        await world.until("a", SessionState.STOPPED)
        await asyncio.sleep(60)
        world.start("a", command_id="start-2")
        await world.until("a", SessionState.RUNNING)
        answer = await asker.answer(asker.send(1))
        assert isinstance(answer, OrderNotDone)
        assert answer.cause == "FLOOD_WAIT"
        assert asker.forwards() == 1
        world.registry.report_facts = report  # type: ignore[method-assign]
        await asyncio.sleep(301)
        assert isinstance(await asker.answer(asker.send(1)), Sent)
