"""Who may read, write and forward where. Every refusal is the error that Telegram gives."""

from __future__ import annotations

from services.testdc.domain.errors import TelegramError, slow_mode_wait
from services.testdc.domain.peer import Peer, PeerKind
from services.testdc.domain.peers import Channel, Group, User
from services.testdc.domain.world import World

Room = User | Group | Channel
"""What a chat is on its other side."""


def room_to_write(world: World, user_id: int, peer: Peer, topic_id: int = 0) -> Room:
    """The chat, for somebody who wants to say something in it; raises TelegramError."""
    if peer.kind is PeerKind.CHAT:
        group = world.group_of(user_id, peer)
        if group.migrated_to:
            raise TelegramError(400, "PEER_ID_INVALID")
        return group
    if peer.kind is PeerKind.CHANNEL:
        return _channel_to_write(world.channel_of(user_id, peer), user_id, topic_id)
    other = world.users.get(peer.peer_id)
    if other is None:
        raise TelegramError(400, "PEER_ID_INVALID")
    return other


def check_slow_mode(room: Room, user_id: int, count: int, now: int) -> None:
    """In slow mode members say one thing at a time; raises TelegramError."""
    if not isinstance(room, Channel) or not room.slow_mode or room.is_admin(user_id):
        return
    if count > 1:
        raise TelegramError(400, "SLOWMODE_MULTI_MSGS_DISABLED")
    left = room.last_sent.get(user_id, 0) + room.slow_mode - now
    if left > 0:
        raise slow_mode_wait(left)


def check_forwarding(world: World, user_id: int, source: Peer) -> None:
    """Whether messages may leave a chat; raises TelegramError."""
    room: Group | Channel
    if source.kind is PeerKind.CHAT:
        room = world.group_of(user_id, source)
    elif source.kind is PeerKind.CHANNEL:
        room = world.channel_of(user_id, source)
    else:
        return
    if room.protected:
        raise TelegramError(400, "CHAT_FORWARDS_RESTRICTED")


def may_write(channel: Channel, user_id: int) -> bool:
    """Whether somebody may post in a channel at all, slow mode and topics apart."""
    if channel.is_admin(user_id):
        return True
    return (
        not channel.broadcast
        and not channel.locked
        and user_id in channel.members
        and user_id not in channel.muted
    )


def _channel_to_write(channel: Channel, user_id: int, topic_id: int) -> Channel:
    if not may_write(channel, user_id):
        raise TelegramError(403, "CHAT_WRITE_FORBIDDEN")
    if topic_id > 1:  # 1 is the general topic, which every forum has
        topic = channel.topics.get(topic_id)
        if topic is None:
            raise TelegramError(400, "TOPIC_DELETED" if channel.forum else "CHANNEL_FORUM_MISSING")
        if topic.closed and not channel.is_admin(user_id):
            raise TelegramError(400, "TOPIC_CLOSED")
    return channel
