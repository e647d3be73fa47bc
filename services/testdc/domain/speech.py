"""Saying something: messages into boxes, once per random_id, and whom to tell.

Times are whole seconds of the wall clock and always an argument. Nothing here knows of connections: what a
message means for others is returned as deliveries, for somebody else to push.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from services.testdc.domain.boxes import Box, Event, EventKind, Message
from services.testdc.domain.errors import TelegramError
from services.testdc.domain.peers import Channel, Group, Peer, PeerKind, User
from services.testdc.domain.world import World

_MAX_TEXT = 4096
"""Longest text of a message in characters (help.getConfig message_length_max)."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """An event that a user's clients must hear of."""

    user_id: int
    event: Event


@dataclass(frozen=True, slots=True)
class Draft:
    """What somebody wants to say."""

    text: str
    random_id: int = 0
    """Zero: sent by the control API, not deduplicated."""
    reply_to: int = 0
    entities: tuple[Any, ...] = ()
    created_title: str = ""
    """Set for the service message that opens a group or channel."""


@dataclass(frozen=True, slots=True)
class Sent:
    """The sender's own copy of what was sent, and whom to tell."""

    message: Message
    event: Event
    deliveries: tuple[Delivery, ...]
    repeated: bool = False
    """True when this random_id had been sent before: nothing new happened."""


def open_group(world: World, group: Group) -> Sent:
    """Take in a basic group; its first message says so."""
    world.add_group(group)
    draft = Draft("", created_title=group.title)
    return _to_group(world, world.users[group.creator_id], group, draft, group.date)


def open_channel(world: World, channel: Channel) -> Sent:
    """Take in a channel or supergroup; its first message has id 1."""
    world.add_channel(channel)
    draft = Draft("", created_title=channel.title)
    return _to_channel(world, world.users[channel.creator_id], channel, draft, channel.date)


def send(world: World, sender_id: int, peer: Peer, draft: Draft, now: int) -> Sent:
    """Say something in a chat; a repeated random_id changes nothing. Raises TelegramError."""
    sender = world.users[sender_id]
    if not draft.text.strip():
        raise TelegramError(400, "MESSAGE_EMPTY")
    if len(draft.text) > _MAX_TEXT:
        raise TelegramError(400, "MESSAGE_TOO_LONG")
    if peer.kind is PeerKind.CHAT:
        return _to_group(world, sender, world.group_of(sender_id, peer), draft, now)
    if peer.kind is PeerKind.CHANNEL:
        return _to_channel(world, sender, world.channel_of(sender_id, peer), draft, now)
    other = world.users.get(peer.peer_id)
    if other is None:
        raise TelegramError(400, "PEER_ID_INVALID")
    return _to_user(world, sender, other, draft, now)


def told(world: World, delivery: Delivery) -> list[Message]:
    """The new messages of a delivery, as its receiver has them."""
    event = delivery.event
    if event.kind is not EventKind.NEW_MESSAGE:
        return []
    box = world.box_of(delivery.user_id, event.peer)
    return [box.messages[i] for i in event.message_ids if i in box.messages]


def _to_user(world: World, sender: User, other: User, draft: Draft, now: int) -> Sent:
    if before := _before(sender, draft):
        return before
    message = _message(world, sender, other.peer, draft, now)
    event = sender.box.add(message)
    deliveries = [Delivery(sender.user_id, event)]
    if other is not sender:
        deliveries.append(Delivery(other.user_id, other.box.add(_copy(message, sender.peer))))
    return _remembered(sender, draft, Sent(message, event, tuple(deliveries)))


def _to_group(world: World, sender: User, group: Group, draft: Draft, now: int) -> Sent:
    if before := _before(sender, draft):
        return before
    message = _message(world, sender, group.peer, draft, now)
    event = sender.box.add(message)
    others = [
        Delivery(member, world.users[member].box.add(_copy(message, group.peer)))
        for member in sorted(group.members - {sender.user_id})
    ]
    return _remembered(sender, draft, Sent(message, event, (Delivery(sender.user_id, event), *others)))


def _to_channel(world: World, sender: User, channel: Channel, draft: Draft, now: int) -> Sent:
    may_write = channel.admins | {channel.creator_id} if channel.broadcast else channel.members
    if sender.user_id not in may_write:
        raise TelegramError(403, "CHAT_WRITE_FORBIDDEN")
    key = (sender.user_id, draft.random_id)
    if draft.random_id and key in channel.sent:
        return _again(channel.box, channel.sent[key])
    message = _message(world, sender, channel.peer, draft, now)
    if channel.broadcast:
        message.sender = channel.peer
    event = channel.box.add(message)
    if draft.random_id:
        channel.sent[key] = message.message_id
    channel.read[sender.user_id] = message.message_id
    return Sent(message, event, tuple(Delivery(member, event) for member in sorted(channel.members)))


def _before(sender: User, draft: Draft) -> Sent | None:
    message_id = sender.sent.get(draft.random_id) if draft.random_id else None
    return None if message_id is None else _again(sender.box, message_id)


def _again(box: Box, message_id: int) -> Sent:
    """The result of the first time; raises TelegramError when that message was deleted since."""
    message = box.messages.get(message_id)
    if message is None:
        raise TelegramError(500, "RANDOM_ID_DUPLICATE")
    event = next(event for event in box.events if message_id in event.message_ids)
    return Sent(message, event, (), repeated=True)


def _remembered(sender: User, draft: Draft, sent: Sent) -> Sent:
    if draft.random_id:
        sender.sent[draft.random_id] = sent.message.message_id
    return sent


def _message(world: World, sender: User, peer: Peer, draft: Draft, now: int) -> Message:
    return Message(
        message_id=0,
        uid=world.next_uid(),
        peer=peer,
        sender=sender.peer,
        author_id=sender.user_id,
        date=now,
        text=draft.text,
        outgoing=True,
        random_id=draft.random_id,
        reply_to=draft.reply_to,
        entities=draft.entities,
        created_title=draft.created_title,
    )


def _copy(message: Message, peer: Peer) -> Message:
    """The same message for another box. Its reply is left out: that number belongs to the sender's box."""
    return replace(message, peer=peer, message_id=0, outgoing=False, random_id=0, reply_to=0)
