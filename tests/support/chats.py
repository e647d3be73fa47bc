"""Chats of the test data centre from a test's side: made through the control API, filled, read back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import grpc

from tests.support.telegram import Control
from tgfleet.testdc.v1 import control_pb2 as pb

PAGE = 5_000


def marked_id(chat: pb.Chat) -> int:
    """The id as bots and kurigram write it: -100... for channels, negative for groups."""
    if chat.WhichOneof("kind") == "channel_id":
        return -(1_000_000_000_000 + chat.channel_id)
    return -chat.group_id if chat.WhichOneof("kind") == "group_id" else chat.user_id


def named(chat: pb.Chat) -> str:
    """The chat as the journal writes it."""
    kind = chat.WhichOneof("kind")
    names = {"channel_id": "channel", "group_id": "chat", "user_id": "user"}
    return f"{names[kind]}:{getattr(chat, kind)}" if kind else ""


def mixed(count: int, seed: int = 1, **shares: Any) -> pb.History:
    """A history with a bit of everything: albums, media, captions, service messages, gaps, forwards."""
    everything = {"albums": 0.03, "media": 0.2, "service": 0.01, "deleted": 0.03, "captions": 0.5}
    return pb.History(count=count, seed=seed, **{**everything, "forwarded": 0.05, **shares})


async def new_channel(
    control: Control,
    creator_id: int,
    *,
    members: Iterable[int] = (),
    admins: Iterable[int] = (),
    history: pb.History | None = None,
    kind: pb.ChatKind = pb.CHAT_KIND_SUPERGROUP,
    **fields: Any,
) -> pb.CreateChatResponse:
    """A supergroup or channel; `fields` are those of CreateChatRequest."""
    request = pb.CreateChatRequest(
        kind=kind, creator_id=creator_id, member_ids=members, admin_ids=admins, history=history, **fields
    )
    return await control.CreateChat(request, timeout=60)


async def messages_of(
    control: Control, chat: pb.Chat, *, after_id: int = 0, user_id: int = 0
) -> list[pb.Message]:
    """All messages of a chat above a number, oldest first."""
    found: list[pb.Message] = []
    while True:
        after = found[-1].message_id if found else after_id
        request = pb.ListMessagesRequest(chat=chat, user_id=user_id, page_size=PAGE, after_id=after)
        page = (await control.ListMessages(request, timeout=60)).messages
        if not page:
            return found
        found += page


async def new_stranger(control: Control, *chats: pb.Chat, role: pb.Role = pb.ROLE_MEMBER) -> int:
    """A person without a login who is in these chats; its user id."""
    made = await control.CreateAccount(pb.CreateAccountRequest(virtual=True), timeout=10)
    for chat in chats:
        request = pb.SetMemberRequest(chat=chat, user_id=made.account.user_id, role=role)
        await control.SetMember(request, timeout=10)
    return made.account.user_id


@asynccontextmanager
async def busy_stranger(
    control: Control, stranger: int, source: pb.Chat, target: pb.Chat, ids: Sequence[int], every: float = 0.05
) -> AsyncIterator[None]:
    """Somebody posts in the target all the while: words, and forwards and copies of the source's messages."""

    async def post() -> None:
        for turn, message_id in enumerate(ids):
            await asyncio.sleep(every)
            forward = pb.ForwardMessagesRequest(
                sender_id=stranger,
                source=source,
                target=target,
                message_ids=[message_id],
                drop_author=turn % 2 == 0,
            )
            with suppress(grpc.aio.AioRpcError):  # deleted or spoiled: not the stranger's business
                await control.ForwardMessages(forward, timeout=10)
            said = pb.SendMessageRequest(sender_id=stranger, chat=target, text=f"hello {turn}")
            await control.SendMessage(said, timeout=10)

    posting = asyncio.create_task(post())
    try:
        yield
    finally:
        posting.cancel()
        with suppress(asyncio.CancelledError):
            await posting
