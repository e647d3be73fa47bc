"""Looking at channels and supergroups: what they are, and what the caller may do in them."""

from __future__ import annotations

from typing import Any

from services.testdc.api.inputs import channel_of, peer_of
from services.testdc.api.present import admin_rights, muted_rights
from services.testdc.api.registry import Call, method
from services.testdc.api.show_message import raw_peer
from services.testdc.domain.errors import TelegramError
from services.testdc.domain.peer import Peer, PeerKind
from services.testdc.domain.peers import Channel
from services.testdc.tl import raw


@method(raw.functions.channels.GetChannels)
def get_channels(call: Call, query: Any) -> Any:
    """Channels by id; those that the caller cannot address are left out."""
    found = []
    for given in query.id:
        try:
            found.append(call.present.channel(channel_of(call, given)))
        except TelegramError:
            continue
    return raw.types.messages.Chats(chats=found)


@method(raw.functions.channels.GetFullChannel)
def get_full_channel(call: Call, query: Any) -> Any:
    """A channel with its counts and the caller's slow mode."""
    channel = channel_of(call, query.channel)
    me = call.me.user_id
    read = channel.read.get(me, 0)
    next_send = channel.last_sent.get(me, 0) + channel.slow_mode
    full = raw.types.ChannelFull(
        id=channel.channel_id,
        about="",
        read_inbox_max_id=read,
        read_outbox_max_id=channel.box.last_id,
        unread_count=max(channel.box.last_id - read, 0),
        chat_photo=raw.types.PhotoEmpty(id=0),
        notify_settings=raw.types.PeerNotifySettings(),
        bot_info=[],
        pts=channel.box.pts,
        participants_count=len(channel.members),
        slowmode_seconds=channel.slow_mode or None,
        slowmode_next_send_date=next_send if channel.slow_mode and next_send > call.now else None,
        migrated_from_chat_id=channel.migrated_from or None,
        migrated_from_max_id=0 if channel.migrated_from else None,
    )
    return raw.types.messages.ChatFull(full_chat=full, **call.present.people([channel.peer]))


@method(raw.functions.channels.GetParticipant)
def get_participant(call: Call, query: Any) -> Any:
    """What somebody is in a channel; 400 USER_NOT_PARTICIPANT for nothing."""
    channel = channel_of(call, query.channel)
    peer = peer_of(call, query.participant)
    if peer.kind is not PeerKind.USER or peer.peer_id not in channel.members:
        raise TelegramError(400, "USER_NOT_PARTICIPANT")
    people = call.present.people([channel.peer, peer])
    return raw.types.channels.ChannelParticipant(participant=_participant(call, channel, peer), **people)


def _participant(call: Call, channel: Channel, peer: Peer) -> Any:
    user_id = peer.peer_id
    if user_id == channel.creator_id:
        return raw.types.ChannelParticipantCreator(user_id=user_id, admin_rights=admin_rights())
    is_self = user_id == call.me.user_id or None
    if user_id in channel.admins:
        return raw.types.ChannelParticipantAdmin(
            user_id=user_id,
            promoted_by=channel.creator_id,
            date=channel.date,
            admin_rights=admin_rights(),
            is_self=is_self,
            inviter_id=channel.creator_id if is_self else None,
        )
    if user_id in channel.muted:
        return raw.types.ChannelParticipantBanned(
            peer=raw_peer(peer), kicked_by=channel.creator_id, date=channel.date, banned_rights=muted_rights()
        )
    if is_self:
        return raw.types.ChannelParticipantSelf(
            user_id=user_id, inviter_id=channel.creator_id, date=channel.date
        )
    return raw.types.ChannelParticipant(user_id=user_id, date=channel.date)
