"""Reads what clients name: input peers, users, channels and messages.

Access hashes are per account, so a hash that another account was given is refused as Telegram does.
"""

from __future__ import annotations

from typing import Any

from services.testdc.api.registry import Call
from services.testdc.domain.errors import TelegramError
from services.testdc.domain.peer import Peer, PeerKind
from services.testdc.domain.peers import Channel, User
from services.testdc.tl import raw


def peer_of(call: Call, given: Any) -> Peer:
    """The chat partner behind an InputPeer or InputDialogPeer; raises TelegramError."""
    given = getattr(given, "peer", given)
    if isinstance(given, raw.types.InputPeerSelf):
        return call.me.peer
    if isinstance(given, raw.types.InputPeerUser):
        return user_of(call, given).peer
    if isinstance(given, raw.types.InputPeerChat):
        return call.world.group_of(call.me.user_id, Peer(PeerKind.CHAT, given.chat_id)).peer
    if isinstance(given, raw.types.InputPeerChannel):
        return channel_of(call, given).peer
    raise TelegramError(400, "PEER_ID_INVALID")


def user_of(call: Call, given: Any) -> User:
    """The user behind an InputUser or InputPeerUser; raises TelegramError."""
    if isinstance(given, raw.types.InputUserSelf | raw.types.InputPeerSelf):
        return call.me
    user = call.world.users.get(getattr(given, "user_id", 0))
    if user is None or user.user_id == 0:
        raise TelegramError(400, "PEER_ID_INVALID")
    if user is not call.me and given.access_hash != call.present.access_hash(user.peer):
        raise TelegramError(400, "PEER_ID_INVALID")
    return user


def channel_of(call: Call, given: Any) -> Channel:
    """The channel behind an InputChannel or InputPeerChannel; raises TelegramError."""
    peer = Peer(PeerKind.CHANNEL, getattr(given, "channel_id", 0))
    if getattr(given, "access_hash", None) != call.present.access_hash(peer):
        raise TelegramError(400, "CHANNEL_INVALID")
    return call.world.channel_of(call.me.user_id, peer)


def message_ids(given: list[Any]) -> list[int]:
    """The numbers in a list of InputMessage or of bare ids; other ways to name a message are passed over."""
    named = (item if isinstance(item, int) else getattr(item, "id", 0) for item in given)
    return [int(number) for number in named if isinstance(number, int) and number > 0]


def topic_of(call: Call, peer: Peer, reply: Any) -> int:
    """The topic of a forum that an InputReplyTo leads to; 0 for the general one and outside of forums."""
    channel = call.world.channels.get(peer.peer_id) if peer.kind is PeerKind.CHANNEL else None
    if channel is None or not channel.forum or reply is None:
        return 0
    for number in (getattr(reply, "top_msg_id", 0), getattr(reply, "reply_to_msg_id", 0)):
        if number in channel.topics:
            return int(number)
        answered = channel.box.find(number or 0)
        if answered is not None:
            return answered.topic_id
    return 0
