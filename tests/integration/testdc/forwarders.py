"""What the tests of forwarding share: raw calls of kurigram, and what a chat holds afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pyrogram import Client, raw

from services.testdc.domain.archive import Recipe
from services.testdc.domain.message import Message
from services.testdc.embed import Peer, TestDataCentre
from services.testdc.handlers_chats import History

FORWARD = "messages.forwardMessages"


def plain(count: int, **shares: Any) -> History:
    """Texts alone, unless asked for more."""
    return History(count, Recipe(seed=7, **shares))


async def input_peer(client: Client, chat: Peer) -> Any:
    """The chat with the access hash that this account was given in its list of chats."""
    dialogs = await client.invoke(
        raw.functions.messages.GetDialogs(
            offset_date=0, offset_id=0, offset_peer=raw.types.InputPeerEmpty(), limit=100, hash=0
        )
    )
    found = next(c for c in dialogs.chats if c.id == chat.peer_id)
    if isinstance(found, raw.types.Channel):
        return raw.types.InputPeerChannel(channel_id=found.id, access_hash=found.access_hash)
    return raw.types.InputPeerChat(chat_id=found.id)


async def forward(
    client: Client, source: Any, target: Any, ids: Sequence[int], *, first: int = 1, **flags: Any
) -> Any:
    """One transmission, random_ids counted from `first`."""
    call = raw.functions.messages.ForwardMessages(
        from_peer=source,
        to_peer=target,
        id=list(ids),
        random_id=list(range(first, first + len(ids))),
        **flags,
    )
    return await client.invoke(call, retries=1, timeout=3, sleep_threshold=0)


def named_ids(updates: Any) -> dict[int, int]:
    """random_id -> number in the target, as the answer says."""
    return {u.random_id: u.id for u in updates.updates if isinstance(u, raw.types.UpdateMessageID)}


def shown(updates: Any) -> list[Any]:
    """The messages in the answer."""
    return [u.message for u in updates.updates if isinstance(u, raw.types.UpdateNewChannelMessage)]


def held(dc: TestDataCentre, chat: Peer) -> list[Message]:
    """What a channel holds beside service messages."""
    return [m for m in dc.control.get_messages(0, chat, 10_000, after_id=0) if not m.service]
