"""The judge of transfers acquits a good one and convicts each kind of bad one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from itertools import count
from typing import Any

import grpc
import pytest
from pyrogram import Client, raw
from pyrogram.errors import FloodWait, PeerFlood

from services.testdc.embed import Account, TestDataCentre
from services.testdc.servicer import ControlServicer
from tests.integration.testdc.forwarders import FORWARD, forward, input_peer
from tests.support.chats import messages_of, mixed, new_channel
from tests.support.telegram import Control
from tests.support.testdc import kurigram_client
from tests.support.transfer_judge import Finding, Wanted, judge
from tgfleet.testdc.v1 import control_pb2 as pb
from tgfleet.testdc.v1.control_pb2_grpc import ControlServiceStub, add_ControlServiceServicer_to_server

COUNT = 400


@pytest.fixture
async def control(dc: TestDataCentre) -> AsyncIterator[Control]:
    """The control API of the data centre, over the wire."""
    server = grpc.aio.server()
    add_ControlServiceServicer_to_server(ControlServicer(dc.control, dc.scribe), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield ControlServiceStub(channel)
    await server.stop(None)


class Route:
    """A source with a bit of everything, a target, and a client that may use both."""

    def __init__(self, control: Control, source: pb.Chat, target: pb.Chat, units: list[list[int]]) -> None:
        self.control, self.source, self.target, self.units = control, source, target, units
        self.client: Client
        self.there: Any
        self.here: Any
        self._randoms: Iterator[int] = count(1)

    async def send(self, ids: list[int], **flags: Any) -> None:
        """One transmission with fresh random_ids."""
        first = next(self._randoms) * 1_000
        await forward(self.client, self.there, self.here, ids, first=first, **flags)

    async def send_all(self, units: list[list[int]], **flags: Any) -> None:
        """All of it, albums whole."""
        batch: list[int] = []
        for unit in [*units, []]:
            if not unit or len(batch) + len(unit) > 100:
                await self.send(batch, **flags)
                batch = []
            batch += unit

    async def judge(self, wanted: Wanted | None = None) -> Finding:
        """What the judge says."""
        return await judge(self.control, self.source, [self.target], wanted)

    async def verdict(self, **ids: int) -> pb.JudgeTransferResponse:
        """What the data centre's own judge says."""
        request = pb.JudgeTransferRequest(source=self.source, target=self.target, **ids)
        return await self.control.JudgeTransfer(request)

    def album(self) -> int:
        """Where an album stands among the units."""
        return next(i for i, unit in enumerate(self.units) if len(unit) > 2)


@pytest.fixture(params=[pb.CHAT_KIND_SUPERGROUP, pb.CHAT_KIND_BROADCAST])
async def route(
    request: pytest.FixtureRequest, dc: TestDataCentre, control: Control, alice: Account
) -> AsyncIterator[Route]:
    made = await new_channel(control, alice.user_id, kind=request.param, history=mixed(COUNT, seed=3))
    target = (await new_channel(control, alice.user_id)).chat
    units: dict[int, list[int]] = {}
    for message in await messages_of(control, made.chat):
        if not message.service:
            units.setdefault(message.grouped_id or -message.message_id, []).append(message.message_id)
    route = Route(control, made.chat, target, list(units.values()))
    async with kurigram_client(dc, alice) as route.client:
        peers = {chat.peer_id: chat for chat in dc.control.chats()}
        route.there = await input_peer(route.client, peers[made.chat.channel_id])
        route.here = await input_peer(route.client, peers[target.channel_id])
        yield route


async def test_a_good_transfer_is_acquitted(route: Route) -> None:
    await route.send_all(route.units)
    finding = await route.judge()
    assert not finding.faults, finding.report()
    assert finding.arrived == sum(map(len, route.units))
    assert len(finding.calls) >= 4
    told = await route.verdict()
    assert (told.due, told.arrived) == (finding.arrived, finding.arrived)
    assert not [*told.lost_ids, *told.repeated_ids, *told.disordered_ids, *told.torn_ids]


async def test_a_good_copy_without_captions_is_acquitted(route: Route) -> None:
    await route.send_all(route.units, drop_author=True, drop_media_captions=True)
    finding = await route.judge(Wanted(copy=True, drop_captions=True))
    assert not finding.faults, finding.report()
    assert (await route.judge(Wanted(copy=True))).wrong
    assert (await route.judge(Wanted(drop_captions=True))).wrong


async def test_a_part_of_it_by_range_and_filter(route: Route) -> None:
    def has_photo(message: pb.Message) -> bool:
        return message.media == pb.MEDIA_KIND_PHOTO

    stored = {m.message_id: m for m in await messages_of(route.control, route.source)}
    photos = [u for u in route.units if u[0] >= 100 and any(has_photo(stored[i]) for i in u)]
    await route.send_all(photos)
    wanted = Wanted(first_id=photos[0][0], pick=has_photo)
    assert not (finding := await route.judge(wanted)).faults, finding.report()
    assert (await route.judge()).lost
    assert (await route.judge(Wanted(first_id=200, pick=has_photo))).unasked
    assert (await route.judge(Wanted(first_id=100, pick=lambda m: m.media == pb.MEDIA_KIND_POLL))).unasked


async def test_a_lost_message(route: Route) -> None:
    await route.send_all([unit for unit in route.units if unit != route.units[7]])
    finding = await route.judge()
    assert len(finding.lost) == len(finding.faults) == len(route.units[7])
    assert list((await route.verdict()).lost_ids) == route.units[7]
    assert not (await route.verdict(first_id=route.units[8][0])).lost_ids
    assert not (await route.verdict(last_id=route.units[6][-1])).lost_ids
    assert not (await route.judge(Wanted(may_miss=route.units[7]))).faults
    assert not (await route.judge(Wanted(complete=False))).faults


async def test_a_repeated_batch_and_one_that_was_deleted_since(route: Route) -> None:
    """As after a repeat with fresh random_ids."""
    await route.send_all(route.units)
    single = next(unit for unit in reversed(route.units) if len(unit) == 1)
    await route.send(single)
    assert list((await route.verdict()).repeated_ids) == single
    assert len((await route.judge()).repeated) == 1
    stored = await messages_of(route.control, route.target)
    gone = [m.message_id for m in stored if m.source_id == single[0]][-1:]
    await route.control.DeleteMessages(pb.DeleteMessagesRequest(chat=route.target, message_ids=gone))
    assert len((await route.judge()).repeated) == 1


async def test_the_wrong_order(route: Route) -> None:
    half = len(route.units) // 2
    await route.send_all(route.units[half:])
    await route.send_all(route.units[:half])
    finding = await route.judge()
    assert len(finding.disordered) == len(finding.faults) == 1
    assert list((await route.verdict()).disordered_ids) == route.units[0][:1]
    assert not (await route.judge(Wanted(in_order=False))).faults


async def test_a_torn_album(route: Route) -> None:
    at = route.album()
    album = route.units[at]
    await route.send_all([*route.units[:at], album[:1]])
    await route.send_all([album[1:], *route.units[at + 1 :]])
    finding = await route.judge()
    assert len(finding.torn) == len(finding.faults) == 1
    assert list((await route.verdict()).torn_ids) == album[:1]


async def test_a_call_inside_a_wait(route: Route) -> None:
    fault = pb.Fault(kind=pb.FAULT_KIND_FLOOD_WAIT, seconds=1, methods=[FORWARD])
    await route.control.SetFault(pb.SetFaultRequest(fault=fault))
    for _ in range(2):
        with pytest.raises(FloodWait):
            await route.send(route.units[0])
    await route.client.invoke(raw.functions.updates.GetState())
    finding = await route.judge(Wanted(complete=False))
    assert len(finding.inside_waits) == len(finding.faults) == 1
    assert FORWARD in finding.inside_waits[0]


async def test_going_on_after_a_verdict(route: Route) -> None:
    fault = pb.Fault(kind=pb.FAULT_KIND_RPC_ERROR, code=400, error="PEER_FLOOD", methods=[FORWARD], count=1)
    await route.control.SetFault(pb.SetFaultRequest(fault=fault))
    with pytest.raises(PeerFlood):
        await route.send(route.units[0])
    assert not (await route.judge(Wanted(complete=False))).after_verdicts
    await route.send(route.units[0])
    assert len((await route.judge(Wanted(complete=False))).after_verdicts) == 1


async def test_strangers_may_do_what_they_like(route: Route) -> None:
    """Somebody else forwards and copies the very same messages, before, between and after."""
    made = await route.control.CreateAccount(pb.CreateAccountRequest(virtual=True))
    stranger = made.account.user_id
    for chat in (route.source, route.target):
        role = pb.SetMemberRequest(chat=chat, user_id=stranger, role=pb.ROLE_MEMBER)
        await route.control.SetMember(role)
    half = len(route.units) // 2
    for units in (route.units[:half], route.units[half:]):
        for drop_author in (False, True):
            request = pb.ForwardMessagesRequest(
                sender_id=stranger,
                source=route.source,
                target=route.target,
                message_ids=units[0],
                drop_author=drop_author,
            )
            assert (await route.control.ForwardMessages(request)).messages
        await route.send_all(units)
    finding = await route.judge(Wanted(strangers={stranger}))
    assert not finding.faults, finding.report()
    assert len((await route.judge()).repeated) == len(route.units[0]) + len(route.units[half])


async def test_what_is_deleted_in_the_source_later_is_no_fault(route: Route) -> None:
    await route.send_all(route.units)
    album = route.units[route.album()]
    gone = [route.units[0][0], album[1]]
    await route.control.DeleteMessages(pb.DeleteMessagesRequest(chat=route.source, message_ids=gone))
    finding = await route.judge()
    assert not finding.faults, finding.report()
