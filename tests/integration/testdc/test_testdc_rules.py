"""The control API about chats, rules and floods over the wire, and all of it over a restart."""

from __future__ import annotations

import pickle
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from pyrogram import raw
from pyrogram.errors import FloodWait

from services.runtime.errors import SettingsError
from services.testdc.adapters.statefile import load
from services.testdc.centre import DataCentre
from services.testdc.domain.journal import Journal
from services.testdc.embed import Account, Fault, FaultKind, TestDataCentre
from services.testdc.handlers import Control as Handlers
from services.testdc.scribe import Scribe
from services.testdc.servicer import ControlServicer
from services.testdc.state import State
from tests.integration.testdc.forwarders import FORWARD, forward, held, input_peer, plain
from tests.support.chats import messages_of, mixed, new_channel
from tests.support.telegram import Control, journal
from tests.support.testdc import kurigram_client
from tgfleet.testdc.v1 import control_pb2 as pb
from tgfleet.testdc.v1.control_pb2_grpc import ControlServiceStub, add_ControlServiceServicer_to_server


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


async def test_a_policy_is_drawn_and_shown(control: Control, dc: TestDataCentre, alice: Account) -> None:
    wanted = pb.FloodPolicy(methods=[FORWARD], seed=4, time_scale=0.01)
    drawn = (await control.SetFloodPolicy(pb.SetFloodPolicyRequest(policy=wanted))).policy
    assert drawn.budget >= 300
    assert drawn.period.ToTimedelta().total_seconds() <= 36
    source = dc.control.create_channel("S", alice.user_id, history=plain(5_000))
    target = dc.control.create_channel("T", alice.user_id)
    async with kurigram_client(dc, alice) as client:
        there, here = await input_peer(client, source), await input_peer(client, target)
        with pytest.raises(FloodWait):  # noqa: PT012 - whichever call it is
            for batch in range(40):
                ids = range(2 + batch * 100, 102 + batch * 100)
                await forward(client, there, here, ids, first=ids[0])
    shown = await control.ListFloodPolicies(pb.ListFloodPoliciesRequest())
    assert shown.policies[0] == drawn
    standing = shown.standings[0]
    assert (standing.user_id, standing.left, standing.strikes) == (alice.user_id, 0, 1)
    assert drawn.budget / 2 < len(held(dc, target)) < drawn.budget * 2, "a bucket fills up meanwhile"
    assert (await control.ClearFloodPolicies(pb.ClearFloodPoliciesRequest())).cleared == 1
    assert not (await control.ListFloodPolicies(pb.ListFloodPoliciesRequest())).policies


@pytest.mark.parametrize(
    "request_",
    [
        pb.SetFloodPolicyRequest(policy=pb.FloodPolicy(shape=pb.FLOOD_SHAPE_BUCKET)),
        pb.SetRulesRequest(costs=[pb.MethodCost(per_call=Duration(seconds=1))]),
        pb.SetRulesRequest(on_repeat=pb.ON_REPEAT_UNSPECIFIED),
        pb.CreateChatRequest(kind=pb.CHAT_KIND_SUPERGROUP, creator_id=777000, history=pb.History()),
        pb.CreateChatRequest(
            kind=pb.CHAT_KIND_SUPERGROUP, creator_id=777000, history=pb.History(count=3, media=2)
        ),
        pb.SetMemberRequest(chat=pb.Chat(channel_id=1), user_id=777000),
        pb.SetFaultRequest(fault=pb.Fault(kind=pb.FAULT_KIND_BAD_MSG)),
    ],
    ids=lambda request: type(request).__name__,
)
async def test_nonsense_is_refused(control: Control, request_: object) -> None:
    method = type(request_).__name__.removesuffix("Request")
    with pytest.raises(grpc.aio.AioRpcError):
        await getattr(control, method)(request_)


async def test_a_journal_page_fits_into_a_message(
    control: Control, dc: TestDataCentre, alice: Account
) -> None:
    source = dc.control.create_channel("S", alice.user_id, history=plain(2_000, text_size=4_000))
    target = dc.control.create_channel("T", alice.user_id)
    async with kurigram_client(dc, alice) as client:
        there, here = await input_peer(client, source), await input_peer(client, target)
        for _ in range(3):
            await forward(client, there, here, range(2, 102))
    assert len(await messages_of(control, pb.Chat(channel_id=source.peer_id))) == 2_001
    assert len(await journal(control)) == len(dc.control.get_journal())


@pytest.mark.parametrize("kind", [FaultKind.BAD_MSG, FaultKind.BAD_MSG_AFTER])
async def test_a_bad_msg_notification_is_returned(
    dc: TestDataCentre, alice: Account, kind: FaultKind
) -> None:
    """kurigram returns it instead of raising (TELEGRAM.md section 3, hazard 5)."""
    source = dc.control.create_channel("S", alice.user_id, history=plain(9))
    target = dc.control.create_channel("T", alice.user_id)
    dc.control.set_fault(Fault(kind, methods=(FORWARD,), code=32, remaining=1))
    async with kurigram_client(dc, alice) as client:
        there, here = await input_peer(client, source), await input_peer(client, target)
        answer = await forward(client, there, here, [2, 3])
        assert isinstance(answer, raw.types.BadMsgNotification)
        assert answer.error_code == 32
    assert len(held(dc, target)) == (2 if kind is FaultKind.BAD_MSG_AFTER else 0)
    record = next(r for r in dc.control.get_journal() if r.method == FORWARD)
    assert record.effect is (kind is FaultKind.BAD_MSG_AFTER)


async def test_chats_rules_and_floods_outlive_a_restart(
    control: Control, dc: TestDataCentre, alice: Account
) -> None:
    made = await new_channel(control, alice.user_id, history=mixed(500), protected=True)
    await control.DeleteMessages(pb.DeleteMessagesRequest(chat=made.chat, message_ids=[10, 11]))
    rules = pb.SetRulesRequest(on_repeat=pb.ON_REPEAT_ERROR, random_id_life=Duration(seconds=60))
    rules.costs.add(method=FORWARD, per_call=Duration(nanos=20_000_000))
    await control.SetRules(rules)
    wanted = pb.FloodPolicy(methods=[FORWARD], shape=pb.FLOOD_SHAPE_WINDOW, budget=5)
    wanted.period.seconds = 60
    await control.SetFloodPolicy(pb.SetFloodPolicyRequest(policy=wanted))
    before = await messages_of(control, made.chat)

    kept = pickle.loads(pickle.dumps(dc.centre.snapshot()))
    state = State(
        dc.centre.state.clock,
        dc.endpoint,
        world=kept.world,
        keys=kept.keys,
        floods=kept.floods,
        waits=kept.waits,
        costs=kept.costs,
    )
    scribe = Scribe(Journal(1_000), dc.centre.state.clock)
    again = Handlers(DataCentre(state, dc.rsa_key, scribe))
    chat = dc.control.chats()[0]
    assert len(again.get_messages(0, chat, 10_000, after_id=0)) == len(before)
    assert again.flood_rules()[0].policy.budget == 5
    assert state.costs.costs[FORWARD].per_call == 0.02
    assert state.world.ledger.life == 60


def test_the_state_of_another_version_is_refused(tmp_path: Path) -> None:
    for content in (b"nothing of ours", pickle.dumps((1, "older")), pickle.dumps({"world": 1})):
        (tmp_path / "state").write_bytes(content)
        with pytest.raises(SettingsError, match="remove it"):
            load(tmp_path / "state")
