"""Saying something: messages into boxes, once per random_id, and whom to tell.

Times are whole seconds of the wall clock and always an argument. Nothing here knows of connections: what a
message means for others is returned as deliveries, for somebody else to push.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from services.testdc.domain.boxes import Box, Event, EventKind
from services.testdc.domain.errors import TelegramError
from services.testdc.domain.ledger import DUPLICATE, Entry
from services.testdc.domain.media import Media
from services.testdc.domain.message import Message, Origin
from services.testdc.domain.peer import Peer
from services.testdc.domain.peers import Channel, Group, User
from services.testdc.domain.rights import Room, check_slow_mode, room_to_write
from services.testdc.domain.world import World

_MAX_TEXT = 4096
"""Longest text of a message in characters (help.getConfig message_length_max)."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """Events that a user's clients must hear of, all of one box."""

    user_id: int
    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class Draft:
    """What somebody wants to say."""

    text: str
    random_id: int = 0
    """Zero: sent by the control API, not deduplicated."""
    reply_to: int = 0
    entities: tuple[Any, ...] = ()
    media: Media | None = None
    grouped_id: int = 0
    origin: Origin | None = None
    topic_id: int = 0
    silent: bool = False
    source_chat: str = ""
    source_id: int = 0
    service: str = ""
    """Kind of a service message, see Message."""
    service_text: str = ""


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
    return say(world, world.users[group.creator_id], group, _opening(group.title), group.date)


def open_channel(world: World, channel: Channel) -> Sent:
    """Take in a channel or supergroup; its first message has id 1."""
    world.add_channel(channel)
    return say(world, world.users[channel.creator_id], channel, _opening(channel.title), channel.date)


def send(world: World, sender_id: int, peer: Peer, draft: Draft, now: int) -> Sent:
    """Say something in a chat; a repeated random_id changes nothing. Raises TelegramError."""
    sender = world.users[sender_id]
    if not draft.text.strip() and draft.media is None:
        raise TelegramError(400, "MESSAGE_EMPTY")
    if len(draft.text) > _MAX_TEXT:
        raise TelegramError(400, "MESSAGE_TOO_LONG")
    room = room_to_write(world, sender_id, peer, draft.topic_id)
    before = world.ledger.find(sender_id, draft.random_id, now)
    if before is not None:
        return sent_before(world, sender_id, before)
    check_slow_mode(room, sender_id, 1, now)
    return say(world, sender, room, draft, now)


def say(world: World, sender: User, room: Room, draft: Draft, now: int) -> Sent:
    """Put a message into every box where it belongs. Whether it is allowed was asked before."""
    sent = put(world, sender, room, draft, now)
    return replace(sent, deliveries=to_members(room, [sent])) if isinstance(room, Channel) else sent


def put(world: World, sender: User, room: Room, draft: Draft, now: int) -> Sent:
    """The same, but members of a channel are not among the deliveries; see to_members."""
    message = _message(world, sender, room.peer, draft, now)
    if isinstance(room, Channel):
        sent = _to_channel(room, message, now)
    else:
        others = [room] if isinstance(room, User) else [world.users[i] for i in sorted(room.members)]
        sent = _to_people(sender, others, message)
    world.ledger.keep(Entry(sender.user_id, draft.random_id, room.peer, message.message_id, now))
    return sent


def to_members(channel: Channel, sent: Sequence[Sent]) -> tuple[Delivery, ...]:
    """What every member of a channel must hear of."""
    events = tuple(one.event for one in sent if not one.repeated)
    return tuple(Delivery(member, events) for member in sorted(channel.members) if events)


def sent_before(world: World, sender_id: int, entry: Entry) -> Sent:
    """The result of the first time; raises TelegramError when that message was deleted since."""
    box = world.box_of(sender_id, entry.peer)
    message = box.find(entry.message_id)
    if message is None:
        raise DUPLICATE
    event = Event(message.pts, EventKind.NEW_MESSAGE, entry.peer, (message.message_id,))
    return Sent(message, event, (), repeated=True)


def told(box: Box, event: Event) -> list[Message]:
    """The new messages of an event, as the owner of the box has them."""
    if event.kind is not EventKind.NEW_MESSAGE:
        return []
    return [message for i in event.message_ids if (message := box.find(i))]


def _opening(title: str) -> Draft:
    return Draft("", service="create", service_text=title)


def _to_people(sender: User, others: list[User], message: Message) -> Sent:
    event = sender.box.add(message)
    deliveries = [Delivery(sender.user_id, (event,))]
    for other in others:
        if other is not sender:
            copy = _copy(message, sender.peer if message.peer == other.peer else message.peer)
            deliveries.append(Delivery(other.user_id, (other.box.add(copy),)))
    return Sent(message, event, tuple(deliveries))


def _to_channel(channel: Channel, message: Message, now: int) -> Sent:
    if channel.broadcast:
        message.sender = channel.peer
    event = channel.box.add(message)
    channel.read[message.author_id] = message.message_id
    channel.last_sent[message.author_id] = now
    return Sent(message, event, ())


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
        media=draft.media,
        grouped_id=draft.grouped_id,
        origin=draft.origin,
        topic_id=draft.topic_id,
        silent=draft.silent,
        source_chat=draft.source_chat,
        source_id=draft.source_id,
        service=draft.service,
        service_text=draft.service_text,
    )


def _copy(message: Message, peer: Peer) -> Message:
    """The same message for another box. Its reply is left out: that number belongs to the sender's box."""
    return replace(message, peer=peer, message_id=0, outgoing=False, random_id=0, reply_to=0)
