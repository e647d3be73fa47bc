"""Transfer orders through a whole worker over MTProto: every kind of answer, and after every way in which an
outcome can become unknown, the journal of the test data centre as the judge that nothing was sent again."""

from __future__ import annotations

import asyncio
import gc
from dataclasses import dataclass
from typing import Any

import pytest

from services.testdc.domain.archive import Recipe
from services.testdc.embed import Account, Fault, FaultKind, NewAccount, Peer
from services.testdc.handlers_chats import History
from services.worker.adapters.telegram_session import WatchedSession
from tests.integration.worker.conftest import MakeWorld, World
from tests.integration.worker.rig import RUNNING, STOPPED, eventually
from tgfleet.gateway.v1 import transfer_pb2 as public
from tgfleet.worker.v1 import transfer_pb2 as worker

FORWARD = "messages.forwardMessages"
ACCOUNT = "acc_one"
UNKNOWN = [
    # (fault, what OrderUnknown says, whether the batch took effect)
    (FaultKind.LOST_ANSWER, "TIMEOUT", True),
    (FaultKind.DROP_AFTER, "LINK_CLOSED", True),
    (FaultKind.DROP_BEFORE, "LINK_CLOSED", False),
    (FaultKind.SLOW, "TIMEOUT", False),
    (FaultKind.LATE_EFFECT, "TIMEOUT", True),
    (FaultKind.SILENT, "TIMEOUT", False),
    (FaultKind.HALF_OPEN, "TIMEOUT", False),
]


@dataclass
class Road:
    """A running account between two channels."""

    world: World
    account: Account
    source: Peer
    target: Peer
    first: int
    token: Any

    @property
    def dispatcher(self) -> Any:
        return self.world.house.dispatcher

    def chat(self, peer: Peer) -> worker.ChatReference:
        return worker.ChatReference(chat_id=-1_000_000_000_000 - peer.peer_id)

    def batch(self, *offsets: int, **more: Any) -> worker.SendBatch:
        ids = [self.first + one for one in offsets]
        return worker.SendBatch(
            source=self.chat(self.source),
            target=self.chat(self.target),
            message_ids=ids,
            random_ids=[90_000 + one for one in ids],
            **more,
        )

    def send(self, *offsets: int, limit: float = 5.0, **more: Any) -> str:
        return str(self.dispatcher.order(ACCOUNT, self.token, limit=limit, send=self.batch(*offsets), **more))

    async def answer(self, order_id: str, kind: str) -> Any:
        found = await self.dispatcher.until_order(order_id)
        assert found.WhichOneof("answer") == kind, found
        return getattr(found, kind)

    def fault(self, kind: FaultKind, **more: Any) -> None:
        methods = () if kind in {FaultKind.SILENT, FaultKind.HALF_OPEN} else (FORWARD,)
        fault = Fault(kind, user_id=self.account.user_id, methods=methods, **more)
        self.world.dc.control.set_fault(fault)

    def heal(self) -> None:
        self.world.dc.control.clear_faults()

    def forwards(self) -> int:
        """How often a forward reached the data centre."""
        journal = self.world.dc.control.get_journal()
        return sum(1 for r in journal if r.kind.value == "call" and r.method == FORWARD)

    def arrived(self) -> int:
        found = self.world.dc.control.get_messages(self.account.user_id, self.target, limit=1000, after_id=0)
        return sum(1 for m in found if not m.service)


async def road(make_world: MakeWorld, **settings: str) -> Road:
    w = await make_world(**settings)
    account = w.account(ACCOUNT)
    owner = w.dc.control.create_account(NewAccount(first_name="Owner", virtual=True)).user_id
    history = History(250, Recipe(seed=3))
    source = w.dc.control.create_channel(
        "Source", owner, [account.user_id], broadcast=True, history=history, username="the_source"
    )
    target = w.dc.control.create_channel("Target", owner, admins=[account.user_id], broadcast=True)
    token = await running(w)
    first = w.dc.control.get_messages(owner, source, limit=2, after_id=1)[0].message_id
    return Road(w, account, source, target, first, token)


async def running(w: World) -> Any:
    command = w.house.dispatcher.start([ACCOUNT])
    report = await w.house.dispatcher.until_answered(command, ACCOUNT)
    assert report.state == RUNNING
    return report.token


async def test_orders_are_answered_over_the_stream(make_world: MakeWorld) -> None:
    r = await road(make_world)
    target = worker.ChatReference(query=str(r.chat(r.target).chat_id))
    inspect = worker.InspectChats(source=worker.ChatReference(query="@the_source"), target=target, last=120)
    found = await r.answer(r.dispatcher.order(ACCOUNT, r.token, inspect=inspect), "inspected")
    assert found.source.chat_id == r.chat(r.source).chat_id
    assert found.target.can_post
    assert found.last_id - found.first_id == 119
    read = worker.ReadSource(source=r.chat(r.source), after_id=found.first_id - 1, through_id=found.last_id)
    read.media.append(public.MEDIA_KIND_TEXT)
    page = await r.answer(r.dispatcher.order(ACCOUNT, r.token, read=read), "page")
    assert [m.message_id for m in page.messages] == list(range(found.first_id, found.first_id + 100))
    sent = await r.answer(r.send(*range(100)), "sent")
    assert len(set(sent.target_ids)) == 100
    look = worker.LookInTarget(
        source=r.chat(r.source), target=r.chat(r.target), message_ids=sent.message_ids[:2], limit=500
    )
    looked = await r.answer(r.dispatcher.order(ACCOUNT, r.token, look=look), "looked")
    assert looked.complete
    assert len(looked.source) == 2
    assert [t.forward_message_id for t in looked.target][-100:] == list(sent.message_ids)
    assert r.forwards() == 1


@pytest.mark.parametrize(("fault", "cause", "effect"), UNKNOWN)
async def test_after_an_unknown_outcome_nothing_is_sent_again(
    make_world: MakeWorld, fault: FaultKind, cause: str, effect: bool
) -> None:
    r = await road(make_world, TGFLEET_PING_INTERVAL="30s", TGFLEET_PROBE_INTERVAL="30s")
    await r.answer(r.send(0), "sent")
    r.fault(fault, delay=1.2)
    connections = r.world.dc.control.live_connections(r.account.user_id)
    order_id = r.send(1, 2, limit=0.6)
    unknown = await r.answer(order_id, "unknown")
    assert unknown.cause == cause
    # Told after the connection was closed: the data centre sees its end (unless it does not even read).
    r.heal()
    if fault is not FaultKind.HALF_OPEN:
        await eventually(
            lambda: not set(connections) & set(r.world.dc.control.live_connections(r.account.user_id))
        )
    await r.dispatcher.until_state(ACCOUNT, RUNNING)
    await asyncio.sleep(1.5)  # a library that sends again would have done so on the new link
    # What the half-open data centre has not read is gone with the connection, or is read once when it wakes.
    assert r.forwards() <= 2
    assert r.arrived() == (3 if effect else 1) or fault is FaultKind.HALF_OPEN
    # The same order again is not carried out; the same batch under a new order id is, on the new link.
    before = r.forwards()
    r.dispatcher.order(ACCOUNT, r.token, order_id=order_id, send=r.batch(1, 2))
    again = await r.dispatcher.until_order(r.send(1, 2))
    assert r.forwards() == before + 1
    assert again.WhichOneof("answer") in {"sent", "refused"}
    assert r.arrived() == 3


async def test_a_salt_that_ran_out_is_told_as_not_done_and_the_next_attempt_works(
    make_world: MakeWorld,
) -> None:
    r = await road(make_world)
    await r.answer(r.send(0), "sent")
    session = _session()
    session.salt = 12345
    not_done = await r.answer(r.send(1), "not_done")
    assert not_done.cause == "BAD_SALT"
    assert r.arrived() == 1
    connections = r.world.dc.control.live_connections(r.account.user_id)
    await r.answer(r.send(1), "sent")
    assert r.world.dc.control.live_connections(r.account.user_id) == connections, "the link was not cut"
    assert r.arrived() == 2


async def test_a_wrong_clock_is_told_as_not_done_and_put_right(make_world: MakeWorld) -> None:
    r = await road(make_world)
    await r.answer(r.send(0), "sent")
    session = _session()
    session.client._ahead += 40.0
    assert (await r.answer(r.send(1), "not_done")).cause == "WRONG_CLOCK"
    assert r.arrived() == 1
    await r.answer(r.send(1), "sent")
    assert r.arrived() == 2


@pytest.mark.parametrize("code", [19, 20, 32, 33, 64])
@pytest.mark.parametrize("effect", [False, True])
async def test_a_packet_that_is_called_bad_for_another_reason_proves_nothing(
    make_world: MakeWorld, code: int, effect: bool
) -> None:
    r = await road(make_world)
    r.fault(FaultKind.BAD_MSG_AFTER if effect else FaultKind.BAD_MSG, code=code)
    assert (await r.answer(r.send(1), "unknown")).cause == "BAD_MESSAGE"
    r.heal()
    await r.dispatcher.until_state(ACCOUNT, RUNNING)
    await asyncio.sleep(0.5)
    assert r.forwards() == 1
    assert r.arrived() == effect


async def test_a_fence_in_the_middle_of_a_transmission(make_world: MakeWorld) -> None:
    r = await road(make_world, ttl=3.0)
    r.fault(FaultKind.LOST_ANSWER)
    order_id, waiting = r.send(1, limit=60), r.send(2, limit=60)
    await eventually(lambda: r.forwards() == 1)
    r.world.house.registry.down = True
    assert (await r.answer(order_id, "unknown")).cause in {"LINK_CLOSED", "FENCED"}
    assert (await r.answer(waiting, "not_done")).cause in {"FENCED", "STOPPING", "LINK_DOWN"}
    await asyncio.sleep(0.5)
    assert r.forwards() == 1
    r.world.house.registry.down = False


async def test_a_flood_wait_is_answered_reported_and_kept(make_world: MakeWorld) -> None:
    r = await road(make_world)
    r.fault(FaultKind.FLOOD_WAIT, seconds=30)
    refused = await r.answer(r.send(0), "refused")
    assert (refused.code, refused.name, refused.seconds, refused.method) == (420, "FLOOD_WAIT_X", 30, FORWARD)
    facts = r.world.house.registry.facts
    await eventually(lambda: any(f.WhichOneof("kind") == "flood_wait" for f in facts.values()))
    r.heal()
    not_done = await r.answer(r.send(0), "not_done")
    assert not_done.cause == "FLOOD_WAIT"
    assert not_done.HasField("retry_time")
    assert r.forwards() == 1


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (400, "CHAT_FORWARDS_RESTRICTED"),
        (500, "RANDOM_ID_DUPLICATE"),
        (500, "INTERNAL"),
        (-503, "Timeout"),
        (400, "A_NAME_THAT_NOBODY_LISTS"),
    ],
)
async def test_errors_are_told_as_telegram_said_them_and_not_tried_again(
    make_world: MakeWorld, code: int, error: str
) -> None:
    r = await road(make_world)
    r.fault(FaultKind.RPC_ERROR, code=code, error=error)
    refused = await r.answer(r.send(0), "refused")
    assert (refused.code, refused.method) == (abs(code), FORWARD), "the library drops the sign"
    assert refused.name.upper() == error.upper()
    await asyncio.sleep(0.3)
    assert r.forwards() == 1
    r.heal()
    await r.answer(r.send(0), "sent")


async def test_answers_are_kept_over_a_broken_stream_until_acknowledged(make_world: MakeWorld) -> None:
    r = await road(make_world)
    d = r.dispatcher
    order_id = r.send(0)
    await r.answer(order_id, "sent")
    r.fault(FaultKind.SLOW, delay=1.0)
    slow = r.send(1)
    await eventually(lambda: r.forwards() == 2)
    d.drop_streams()
    await d.until(lambda: len(d.hellos) == 2)
    assert list(d.hellos[1].transfer_order_ids) == [slow]
    await d.until(lambda: [a.order_id for a in d.answers] == [order_id, order_id, slow])
    d.send(transfer_orders=worker.TransferOrders(acknowledged_order_ids=[order_id]))
    d.drop_streams()
    await d.until(lambda: len(d.answers) == 4)
    assert d.answers[-1].order_id == slow
    assert r.forwards() == 2


async def test_a_stop_lets_the_transmission_under_way_end(make_world: MakeWorld) -> None:
    r = await road(make_world)
    r.fault(FaultKind.SLOW, delay=0.8)
    order_id, waiting = r.send(0), r.send(1)
    await eventually(lambda: r.forwards() == 1)
    r.dispatcher.stop([ACCOUNT])
    await r.answer(order_id, "sent")
    assert (await r.answer(waiting, "not_done")).cause == "STOPPING"
    await r.dispatcher.until_state(ACCOUNT, STOPPED)
    assert r.world.house.registry.releases[-1].clean
    late = await r.answer(r.send(2), "not_done")
    assert late.cause == "NOT_RUNNING"


async def test_the_end_of_the_process_answers_what_is_under_way(make_world: MakeWorld) -> None:
    r = await road(make_world)
    r.fault(FaultKind.SLOW, delay=0.8)
    order_id = r.send(0)
    await eventually(lambda: r.forwards() == 1)
    await r.world.stop()
    await r.answer(order_id, "sent")


async def test_a_cancelled_order_is_cut_off(make_world: MakeWorld) -> None:
    r = await road(make_world)
    r.fault(FaultKind.LOST_ANSWER)
    order_id = r.send(0, limit=60)
    await eventually(lambda: r.forwards() == 1)
    r.dispatcher.send(transfer_orders=worker.TransferOrders(cancelled_order_ids=[order_id]))
    assert (await r.answer(order_id, "unknown")).cause == "CANCELLED"
    r.heal()
    await r.answer(r.send(1), "sent")
    assert r.forwards() == 2


def _session() -> Any:
    """The library's session in this process."""
    return next(one for one in gc.get_objects() if isinstance(one, WatchedSession) and one.up)
