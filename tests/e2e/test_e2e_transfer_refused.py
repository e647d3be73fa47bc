"""Transfers that must not be: a clear error with reason and field, and nothing started, by the database and
by the data centre's journal."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
import pytest_asyncio

from tests.support.chats import marked_id, new_channel
from tests.support.errors import Refusal, refusal
from tests.support.fleet import Client, Fleet
from tests.support.telegram import Control
from tests.support.transfers import Scene, Transfers, new_scene
from tgfleet.gateway.v1 import fleet_pb2
from tgfleet.gateway.v1 import transfer_pb2 as tr
from tgfleet.testdc.v1 import control_pb2 as pb

pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass(frozen=True)
class Stage:
    """A fleet with two accounts that run, and chats of every unfit kind."""

    client: Client
    control: Control
    scene: Scene
    chats: dict[str, str]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(shared_fleet: Fleet) -> AsyncIterator[Stage]:
    async with shared_fleet.control() as control, shared_fleet.client() as client:
        scene = await new_scene(control, messages=50)
        request = pb.CreateAccountRequest(username="somebody_else")
        stranger = (await control.CreateAccount(request, timeout=10)).account
        ids = [sample.user_id for sample in scene.accounts.values()]
        owner = scene.owner_id
        secret = await new_channel(control, stranger.user_id, title="Secret", kind=pb.CHAT_KIND_SUPERGROUP)
        locked = await new_channel(
            control,
            owner,
            members=ids,
            title="Announcements",
            kind=pb.CHAT_KIND_BROADCAST,
            username="announce",
        )
        closed = await new_channel(
            control, owner, members=ids, history=pb.History(count=5), protected=True, title="Protected"
        )
        named = await new_channel(
            control,
            owner,
            members=ids,
            admins=ids,
            history=pb.History(count=5),
            username="newsroom",
            title="News",
        )
        chats = {
            "secret": str(marked_id(secret.chat)),
            "locked": str(marked_id(locked.chat)),
            "protected": str(marked_id(closed.chat)),
            "named": str(marked_id(named.chat)),
        }
        await client.import_sessions(
            {name: sample.session for name, sample in scene.accounts.items()}, labels={"team": "news"}
        )
        await client.start_all()
        yield Stage(client, control, scene, chats)


async def refused(stage: Stage, **spec: Any) -> Refusal:
    """What a creation was refused with; afterwards nothing is there and nothing was sent."""
    chosen = {
        key: stage.chats.get(value, value) if isinstance(value, str) else value for key, value in spec.items()
    }
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await Transfers(stage.client).create(stage.scene, **chosen)
    assert (await stage.client.transfers.ListTransfers(tr.ListTransfersRequest())).transfers == []
    journal = (await stage.control.GetJournal(pb.GetJournalRequest(page_size=10_000))).records
    assert [r for r in journal if r.method.startswith(("messages.forward", "channels.join"))] == []
    said = refusal(caught.value)
    assert said.domain == "tgfleet"
    assert said.message
    return said


CASES: list[tuple[dict[str, Any], str, str, str]] = [
    ({"source": "@nobody_has_this"}, "NOT_FOUND", "CHAT_NOT_FOUND", "spec.source"),
    ({"source": "-1001999999999"}, "NOT_FOUND", "CHAT_NOT_FOUND", "spec.source"),
    ({"source": "secret"}, "NOT_FOUND", "CHAT_NOT_FOUND", "spec.source"),
    ({"target": "secret"}, "NOT_FOUND", "CHAT_NOT_FOUND", "spec.target"),
    ({"source": "protected"}, "FAILED_PRECONDITION", "CHAT_PROTECTED", "spec.source"),
    ({"target": "locked"}, "FAILED_PRECONDITION", "NO_ACCOUNT_CAN_POST", "spec.target"),
    ({"target": "@somebody_else"}, "FAILED_PRECONDITION", "PRIVATE_TARGET", "spec.target"),
    ({"source": "@newsroom", "target": "named"}, "INVALID_ARGUMENT", "", "spec.target"),
    ({"ids": tr.IdRange(first=5, last=2)}, "INVALID_ARGUMENT", "", "spec.ids"),
    ({"ids": tr.IdRange(first=5_000, last=6_000)}, "FAILED_PRECONDITION", "EMPTY_RANGE", "spec.ids"),
    ({"last": -5}, "INVALID_ARGUMENT", "", "spec.last"),
    ({"max_per_hour": -1}, "INVALID_ARGUMENT", "", "spec.max_per_hour"),
    ({"match": "(a"}, "INVALID_ARGUMENT", "", "spec.match"),
    ({"match_labels": {"no": "body"}}, "NOT_FOUND", "NO_ACCOUNT_SELECTED", "spec.match_labels"),
    ({"account_ids": ["nobody"]}, "NOT_FOUND", "ACCOUNT_NOT_FOUND", "spec.account_ids"),
    ({"account_ids": []}, "INVALID_ARGUMENT", "", "spec.account_ids"),
]


@pytest.mark.parametrize(("spec", "code", "reason", "field"), CASES)
async def test_what_cannot_be_is_refused_and_starts_nothing(
    stage: Stage, spec: dict[str, Any], code: str, reason: str, field: str
) -> None:
    said = await refused(stage, **spec)
    assert (said.code, said.reason) == (code, reason or said.reason)
    assert said.fields == (field,)


async def test_what_telegram_itself_writes_is_never_moved(stage: Stage) -> None:
    """777000 writes login codes; an account that has such a chat could read it."""
    user_id = next(iter(stage.scene.accounts.values())).user_id
    code = pb.SendMessageRequest(sender_id=777000, chat=pb.Chat(user_id=user_id), text="Login code: 12345")
    await stage.control.SendMessage(code)
    said = await refused(stage, source="777000")
    assert (said.code, said.reason, said.fields) == ("FAILED_PRECONDITION", "SERVICE_CHAT", ("spec.source",))


async def test_two_creates_with_one_request_id_are_one_transfer_and_a_circle_is_refused(stage: Stage) -> None:
    transfers, scene = Transfers(stage.client), stage.scene
    made = await asyncio.gather(*(transfers.create(scene, request_id="twice", follow=True) for _ in range(4)))
    assert len({transfer.transfer_id for transfer in made}) == 1
    assert [c.usable for c in made[0].candidates] == [True, True]
    [listed] = (await stage.client.transfers.ListTransfers(tr.ListTransfersRequest())).transfers
    assert listed.transfer_id == made[0].transfer_id
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await transfers.create(scene, source=str(scene.target_id), target=str(scene.source_id), follow=True)
    said = refusal(caught.value)
    assert (said.code, said.reason) in {
        ("FAILED_PRECONDITION", "TRANSFER_CIRCLE"),
        ("FAILED_PRECONDITION", "NO_ACCOUNT_CAN_POST"),
    }
    ended = await transfers.wish("Cancel", made[0].transfer_id)
    assert ended.state == tr.TRANSFER_STATE_CANCELLED
    status = await stage.client.fleet.GetFleetStatus(fleet_pb2.GetFleetStatusRequest())
    assert len(status.accounts) == 2
