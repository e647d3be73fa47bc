"""Looking at basic groups."""

from __future__ import annotations

from typing import Any

from services.testdc.api.registry import Call, method
from services.testdc.domain.peer import Peer, PeerKind
from services.testdc.tl import raw


@method(raw.functions.messages.GetChats)
def get_chats(call: Call, query: Any) -> Any:
    """Basic groups of the caller by id."""
    groups = [call.world.group_of(call.me.user_id, Peer(PeerKind.CHAT, chat_id)) for chat_id in query.id]
    return raw.types.messages.Chats(chats=[call.present.group(group) for group in groups])


@method(raw.functions.messages.GetFullChat)
def get_full_chat(call: Call, query: Any) -> Any:
    """A basic group with its members."""
    group = call.world.group_of(call.me.user_id, Peer(PeerKind.CHAT, query.chat_id))
    members = [
        raw.types.ChatParticipantCreator(user_id=member)
        if member == group.creator_id
        else raw.types.ChatParticipant(user_id=member, inviter_id=group.creator_id, date=group.date)
        for member in sorted(group.members)
    ]
    full = raw.types.ChatFull(
        id=group.chat_id,
        about="",
        participants=raw.types.ChatParticipants(chat_id=group.chat_id, participants=members, version=1),
        notify_settings=raw.types.PeerNotifySettings(),
    )
    people = call.present.people([group.peer, *(Peer(PeerKind.USER, member) for member in group.members)])
    return raw.types.messages.ChatFull(full_chat=full, **people)
