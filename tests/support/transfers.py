"""Transfers from a test's side: chats in the test data centre, and the public TransferService."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import grpc

from tests.support.chats import marked_id, messages_of, mixed, new_channel
from tests.support.fleet import Client
from tests.support.telegram import Control, Sample, new_account, new_accounts
from tgfleet.gateway.v1 import transfer_pb2
from tgfleet.testdc.v1 import control_pb2 as pb

ENDED = {
    transfer_pb2.TRANSFER_STATE_COMPLETED,
    transfer_pb2.TRANSFER_STATE_CANCELLED,
    transfer_pb2.TRANSFER_STATE_FAILED,
}


@dataclass(frozen=True)
class Scene:
    """A source full of messages, an empty target, and accounts that may read the one and write the other."""

    owner_id: int
    accounts: dict[str, Sample]
    source: pb.CreateChatResponse
    target: pb.CreateChatResponse
    spoiled: list[int] = field(default_factory=list)
    """Messages of the source that Telegram refuses to move."""

    @property
    def source_id(self) -> int:
        return marked_id(self.source.chat)

    @property
    def target_id(self) -> int:
        return marked_id(self.target.chat)


async def new_scene(
    control: Control,
    *,
    accounts: int = 2,
    messages: int = 1_000,
    seed: int = 1,
    kind: pb.ChatKind = pb.CHAT_KIND_BROADCAST,
    history: pb.History | None = None,
) -> Scene:
    """Accounts `acc-1`, ... and two channels of an owner of their own, in which they are admins."""
    owner = await new_account(control)
    samples = await new_accounts(control, accounts)
    ids = [sample.user_id for sample in samples.values()]
    history = history if history is not None else mixed(messages, seed)
    source = await new_channel(
        control, owner.user_id, members=ids, history=history, kind=kind, title="Source"
    )
    target = await new_channel(
        control, owner.user_id, members=ids, admins=ids, kind=pb.CHAT_KIND_SUPERGROUP, title="Target"
    )
    return Scene(owner.user_id, samples, source, target)


async def slow(control: Control, seconds: float) -> None:
    """Every forward takes so long, for everybody; 0 for no time at all. A fault would hide other faults."""
    cost = pb.MethodCost(method="messages.forwardMessages")
    cost.per_call.FromNanoseconds(int(seconds * 1e9))
    await control.SetRules(pb.SetRulesRequest(costs=[cost]), timeout=10)


async def unmovable(control: Control, scene: Scene) -> set[int]:
    """The spoiled messages, and the albums they are part of: an album goes whole or not at all."""
    albums = {m.message_id: m.grouped_id for m in await messages_of(control, scene.source.chat)}
    torn = {albums.get(bad, 0) for bad in scene.spoiled} - {0}
    return set(scene.spoiled) | {one for one, album in albums.items() if album in torn}


class Transfers:
    """The public TransferService through one client's channel."""

    def __init__(self, client: Client) -> None:
        self.stub = client.transfers

    async def create(self, scene: Scene, *, request_id: str = "", **spec: Any) -> transfer_pb2.Transfer:
        """A transfer from the scene's source into its target through all its accounts."""
        spec = {"source": str(scene.source_id), "target": str(scene.target_id), **spec}
        if "match_labels" not in spec:
            spec.setdefault("account_ids", list(scene.accounts))
        request = transfer_pb2.CreateTransferRequest(
            spec=transfer_pb2.TransferSpec(**spec), request_id=request_id
        )
        return (await self.stub.CreateTransfer(request, timeout=60)).transfer

    async def get(self, transfer_id: str) -> transfer_pb2.Transfer:
        request = transfer_pb2.GetTransferRequest(transfer_id=transfer_id)
        return (await self.stub.GetTransfer(request, timeout=10)).transfer

    async def until(
        self, transfer_id: str, wanted: Callable[[transfer_pb2.Transfer], bool], within: float = 60
    ) -> transfer_pb2.Transfer:
        """The transfer once it is as wanted; asks again and again, also while nobody leads."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + within
        last: Any = None
        while loop.time() < deadline:
            try:
                last = await self.get(transfer_id)
            except grpc.aio.AioRpcError as error:
                if error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                    raise
            else:
                if wanted(last):
                    return last
            await asyncio.sleep(0.05)
        raise AssertionError(f"not as wanted after {within} s: {last}")

    async def ended(self, transfer_id: str, within: float = 60) -> transfer_pb2.Transfer:
        """The transfer once it is over."""
        return await self.until(transfer_id, lambda transfer: transfer.state in ENDED, within)

    async def wish(self, name: str, transfer_id: str, timeout: float = 20) -> transfer_pb2.Transfer:
        """PauseTransfer, ResumeTransfer or CancelTransfer."""
        request = getattr(transfer_pb2, f"{name}TransferRequest")(transfer_id=transfer_id)
        call: Callable[..., Awaitable[Any]] = getattr(self.stub, f"{name}Transfer")
        return (await call(request, timeout=timeout)).transfer
