"""Floods, costs, lost answers and late effects of forwarding, as stock clients meet them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import pytest
from pyrogram import Client, raw
from pyrogram.errors import FloodPremiumWait, FloodWait, PeerFlood

from services.testdc.domain.costs import Cost
from services.testdc.domain.floodpolicy import FloodPolicy, Shape
from services.testdc.domain.journal import Outcome, Record
from services.testdc.domain.ledger import OnRepeat
from services.testdc.domain.message import Message
from services.testdc.embed import Account, Fault, FaultKind, NewAccount, Peer, TestDataCentre
from services.testdc.handlers_chats import Role
from tests.integration.testdc.forwarders import FORWARD, forward, held, input_peer, named_ids, plain
from tests.support.testdc import kurigram_client, make_kurigram

BUDGET = FloodPolicy(Shape.BUCKET, budget=100, period=100, wait=30, punishment=2)


@dataclass
class Route:
    """A client that may forward from one chat to another."""

    dc: TestDataCentre
    account: Account
    client: Client
    there: Any
    here: Any
    target: Peer

    async def send(self, ids: Sequence[int], *, first: int = 1) -> dict[int, int]:
        """One transmission."""
        return named_ids(await forward(self.client, self.there, self.here, ids, first=first))

    def held(self) -> list[Message]:
        """What arrived."""
        return held(self.dc, self.target)

    def calls(self) -> list[Record]:
        """What the journal has of forwarding."""
        return [r for r in self.dc.control.get_journal() if r.method == FORWARD]


@pytest.fixture
async def route(dc: TestDataCentre, alice: Account) -> AsyncIterator[Route]:
    async with _route(dc, alice, *_chats(dc, alice)) as made:
        yield made


def _chats(dc: TestDataCentre, *accounts: Account) -> tuple[Peer, Peer]:
    owner, *others = [account.user_id for account in accounts]
    source = dc.control.create_channel("Source", owner, others, history=plain(500))
    return source, dc.control.create_channel("Target", owner, others)


@asynccontextmanager
async def _route(dc: TestDataCentre, account: Account, source: Peer, target: Peer) -> AsyncIterator[Route]:
    async with kurigram_client(dc, account) as client:
        there, here = await input_peer(client, source), await input_peer(client, target)
        yield Route(dc, account, client, there, here, target)


async def test_a_hidden_budget_runs_out(route: Route) -> None:
    route.dc.control.set_flood_policy(BUDGET, [FORWARD])
    await route.send(range(2, 62))
    with pytest.raises(FloodWait) as told:
        await route.send(range(62, 122), first=100)
    assert told.value.value == 30
    with pytest.raises(FloodWait) as punished:
        await route.send([62], first=200)
    assert 58 <= punished.value.value <= 60
    await route.client.get_me()
    assert len(route.held()) == 60
    refused = [r for r in route.calls() if r.outcome is Outcome.FLOOD_WAIT]
    assert [r.wait for r in refused] == [30, punished.value.value]
    assert refused[0].inside_wait == 0
    assert 29 < refused[1].inside_wait <= 30
    assert abs(refused[0].wait_until - refused[0].wall_time - 30) < 0.1


async def test_every_account_has_its_own_budget(dc: TestDataCentre, alice: Account, bob: Account) -> None:
    source, target = _chats(dc, alice, bob)
    dc.control.set_flood_policy(BUDGET, [FORWARD])
    async with _route(dc, alice, source, target) as a, _route(dc, bob, source, target) as b:
        await a.send(range(2, 102))
        await b.send(range(102, 202))
        with pytest.raises(FloodWait):
            await a.send([300], first=999)
    now = dc.control.now()
    left = {user: rule.policy.left(state, now) for rule, user, _, state in dc.control.flood_standings()}
    assert left[alice.user_id] == 0
    assert left[bob.user_id] < 5


async def test_a_policy_with_the_premium_name(route: Route) -> None:
    route.dc.control.set_flood_policy(
        FloodPolicy(Shape.WINDOW, budget=1, period=60, wait=1, counts_calls=True, premium=True), [FORWARD]
    )
    await route.send([2, 3])
    with pytest.raises(FloodPremiumWait) as told:
        await route.send([4], first=9)
    assert 58 <= told.value.value <= 60


async def test_peer_flood_after_some_calls(route: Route) -> None:
    route.dc.control.set_fault(
        Fault(FaultKind.RPC_ERROR, methods=(FORWARD,), code=400, error="PEER_FLOOD", skip=2)
    )
    await route.send([2])
    await route.send([3], first=2)
    with pytest.raises(PeerFlood):
        await route.send([4], first=3)
    assert len(route.held()) == 2


async def test_calls_cost_time_one_after_another(route: Route) -> None:
    route.dc.control.set_cost(FORWARD, Cost(per_call=0.05, per_message=0.001))
    began = perf_counter()
    await asyncio.gather(route.send(range(2, 52)), route.send(range(52, 102), first=100))
    took = perf_counter() - began
    assert 0.2 <= took < 0.5
    assert [m.source_id for m in route.held()] == list(range(2, 102))


async def test_clients_are_served_side_by_side(dc: TestDataCentre, alice: Account, bob: Account) -> None:
    source, target = _chats(dc, alice, bob)
    dc.control.set_cost(FORWARD, Cost(per_call=0.3))
    async with _route(dc, alice, source, target) as a, _route(dc, bob, source, target) as b:
        began = perf_counter()
        await asyncio.gather(a.send([2]), b.send([3]))
        assert perf_counter() - began < 0.55


@pytest.mark.parametrize("kind", [FaultKind.LOST_ANSWER, FaultKind.DROP_AFTER, FaultKind.DROP_LATE])
@pytest.mark.parametrize("on_repeat", OnRepeat)
async def test_an_answer_that_is_lost_leaves_the_effect(
    route: Route, kind: FaultKind, on_repeat: OnRepeat
) -> None:
    """The library sends the call again by itself; testdc recognises the random_ids."""
    route.dc.control.set_repeats(on_repeat)
    route.dc.control.set_fault(Fault(kind, methods=(FORWARD,), remaining=1, delay=0.2))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(route.send(range(2, 12)), 0.5)
    await route.dc.until(lambda r: r.method == FORWARD and r.effect)
    assert [m.source_id for m in route.held()] == list(range(2, 12))
    first = next(r for r in route.calls() if r.effect)
    assert first.target_ids == tuple(range(2, 12))


async def test_a_late_effect_survives_its_client(dc: TestDataCentre, alice: Account) -> None:
    source, target = _chats(dc, alice)
    dc.control.set_fault(Fault(FaultKind.LATE_EFFECT, methods=(FORWARD,), delay=1.0, remaining=1))
    async with _route(dc, alice, source, target) as route:
        asking = asyncio.create_task(route.send([2, 3]))
        await dc.until(lambda r: r.method == FORWARD)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        assert route.held() == []
    gone = await dc.until(lambda r: r.kind.value == "connection_closed")
    late = await dc.until(lambda r: r.method == FORWARD and r.effect)
    assert late.seq > gone.seq
    assert late.target_ids == (2, 3)
    assert len(held(dc, target)) == 2


async def test_a_dropped_request_has_no_effect(route: Route) -> None:
    route.dc.control.set_fault(Fault(FaultKind.DROP_BEFORE, methods=(FORWARD,)))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(route.send([2, 3]), 0.5)
    assert route.held() == []
    assert not any(r.effect for r in route.calls())


async def test_others_post_meanwhile(dc: TestDataCentre, alice: Account) -> None:
    """Their messages come before or after a call's, never among them."""
    carol = dc.control.create_account(NewAccount(virtual=True))
    source, target = _chats(dc, alice)
    dc.control.set_member(target, carol.user_id, Role.MEMBER)
    async with _route(dc, alice, source, target) as route:
        for batch in range(5):
            begin = 2 + batch * 50
            sending = asyncio.create_task(route.send(range(begin, begin + 50), first=begin))
            dc.control.send_message(carol.user_id, target, f"hello {batch}")
            await sending
    sources = [m.source_id for m in held(dc, target)]
    assert len(sources) == 255
    assert [i for i in sources if i] == list(range(2, 252))
    for start in range(0, 250, 50):
        at = sources.index(2 + start)
        assert sources[at : at + 50] == list(range(2 + start, 52 + start))


async def test_a_long_history_reads_both_ways(dc: TestDataCentre, alice: Account) -> None:
    """100,000 messages at once, in pages upwards and downwards, as the library and raw calls read."""
    began = perf_counter()
    source = dc.control.create_channel(
        "Source",
        alice.user_id,
        broadcast=True,
        history=plain(100_000, albums=0.03, media=0.2, service=0.02, deleted=0.05, forwarded=0.1),
    )
    assert perf_counter() - began < 2
    everything = {m.message_id for m in dc.control.get_messages(0, source, 200_000, after_id=0)}
    async with kurigram_client(dc, alice) as client:
        there = await input_peer(client, source)
        upwards: list[int] = []
        while len(upwards) < 1_000:
            page = await client.invoke(
                raw.functions.messages.GetHistory(
                    peer=there, offset_id=(upwards[-1] if upwards else 0) + 1, offset_date=0,
                    add_offset=-100, limit=100, max_id=0, min_id=0, hash=0,
                )
            )  # fmt: skip
            upwards += [m.id for m in reversed(page.messages)]
            assert page.count == len(everything)
        assert upwards == sorted(everything)[:1_000]
        chat_id = -1_000_000_000_000 - source.peer_id
        downwards = [m.id async for m in client.get_chat_history(chat_id, limit=500)]
        assert downwards == sorted(everything, reverse=True)[:500]
        middle = dc.control.get_messages(0, source, 1, after_id=50_000)[0]
        dated = await client.invoke(
            raw.functions.messages.GetHistory(
                peer=there, offset_id=0, offset_date=middle.date, add_offset=-1, limit=2,
                max_id=0, min_id=0, hash=0,
            )
        )  # fmt: skip
        assert dated.messages[0].id == middle.message_id
        assert dated.messages[1].date < middle.date
        some = await client.invoke(
            raw.functions.channels.GetMessages(
                channel=raw.types.InputChannel(channel_id=there.channel_id, access_hash=there.access_hash),
                id=[raw.types.InputMessageID(id=i) for i in (upwards[0], 100_500)],
            )
        )
        assert [type(m).__name__ for m in some.messages][1] == "MessageEmpty"


async def test_access_hashes_belong_to_one_account(dc: TestDataCentre, alice: Account, bob: Account) -> None:
    source, _ = _chats(dc, alice, bob)
    async with kurigram_client(dc, alice) as a, kurigram_client(dc, bob) as b:
        mine, theirs = await input_peer(a, source), await input_peer(b, source)
        assert mine.access_hash != theirs.access_hash
        full = raw.functions.channels.GetFullChannel(
            channel=raw.types.InputChannel(channel_id=mine.channel_id, access_hash=theirs.access_hash)
        )
        with pytest.raises(Exception, match="CHANNEL_INVALID"):
            await a.invoke(full)


async def test_an_unauthorised_client_forwards_nothing(dc: TestDataCentre, alice: Account) -> None:
    source, target = _chats(dc, alice)
    client = make_kurigram(dc)
    await client.connect()
    empty = raw.types.InputPeerChannel(channel_id=source.peer_id, access_hash=0)
    with pytest.raises(Exception, match="AUTH_KEY_UNREGISTERED"):
        await forward(client, empty, empty, [2])
    await client.disconnect()
    assert held(dc, target) == []


async def test_the_difference_of_a_channel_comes_in_parts(route: Route) -> None:
    for first in range(2, 302, 100):
        await route.send(range(first, first + 100), first=first)
    channel = raw.types.InputChannel(channel_id=route.here.channel_id, access_hash=route.here.access_hash)
    pts, numbers, final = 1, [], None
    while not final:
        part = await route.client.invoke(
            raw.functions.updates.GetChannelDifference(
                channel=channel, filter=raw.types.ChannelMessagesFilterEmpty(), pts=pts, limit=120
            )
        )
        pts, final = part.pts, part.final
        numbers += [message.id for message in part.new_messages]
    assert numbers == list(range(1, 302))


async def test_a_call_under_way_is_carried_out_without_its_client(route: Route) -> None:
    """What the data centre took, it does: a cut link proves nothing."""
    route.dc.control.set_cost(FORWARD, Cost(per_call=0.5))
    asking = asyncio.create_task(route.send([2, 3]))
    pending = await route.dc.until(lambda r: r.method == FORWARD)
    route.dc.control.drop_connections(connection_id=pending.connection_id)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    assert route.held() == []
    done = await route.dc.until(lambda r: r.method == FORWARD and r.effect)
    assert done.call_seq == pending.seq
    assert [m.source_id for m in route.held()] == [2, 3]
