"""messages.forwardMessages: many messages from one chat to another, all of them or none.

https://core.telegram.org/method/messages.forwardMessages
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from services.testdc.domain.boxes import Event
from services.testdc.domain.errors import TelegramError
from services.testdc.domain.ledger import DUPLICATE
from services.testdc.domain.media import CAPTIONED
from services.testdc.domain.message import Message, Origin
from services.testdc.domain.peer import Peer, PeerKind
from services.testdc.domain.peers import Channel
from services.testdc.domain.rights import check_forwarding, check_slow_mode, room_to_write
from services.testdc.domain.speech import Delivery, Draft, Sent, put, sent_before, to_members
from services.testdc.domain.world import World

MAX_MESSAGES = 100
"""Further ones are passed over without a word (help.getConfig forwarded_count_max)."""


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be forwarded."""

    source: Peer
    target: Peer
    message_ids: tuple[int, ...]
    random_ids: tuple[int, ...]
    drop_author: bool = False
    """A copy: without the header that tells where it is from."""
    drop_captions: bool = False
    silent: bool = False
    topic_id: int = 0


@dataclass(frozen=True, slots=True)
class Forwarded:
    """What became of it, in order."""

    sent: tuple[Sent, ...]
    deliveries: tuple[Delivery, ...]


def forward(world: World, sender_id: int, order: Order, now: int) -> Forwarded:
    """Forward or copy. Messages that are not there and service messages are passed over unless none is left.

    Raises TelegramError, and then nothing was forwarded.
    """
    pairs = _pairs(order)
    check_forwarding(world, sender_id, order.source)
    room = room_to_write(world, sender_id, order.target, order.topic_id)
    known = [world.ledger.find(sender_id, random_id, now) for _, random_id in pairs]
    found = _found(
        world, sender_id, order.source, [i for (i, _), e in zip(pairs, known, strict=True) if not e]
    )
    if found:
        check_slow_mode(room, sender_id, len(found), now)
    repeats = {r: sent_before(world, sender_id, e) for (_, r), e in zip(pairs, known, strict=True) if e}
    sender, sent = world.users[sender_id], []
    albums = _Albums(world)
    for message_id, random_id in pairs:
        if random_id in repeats:
            sent.append(repeats[random_id])
        elif message := found.get(message_id):
            header = None if order.drop_author else _header(world, sender_id, order, message)
            draft = _draft(order, message, random_id, header)
            draft = replace(draft, grouped_id=albums.of(message))
            sent.append(put(world, sender, room, draft, now))
    deliveries = to_members(room, sent) if isinstance(room, Channel) else _gathered(sent)
    return Forwarded(tuple(sent), deliveries)


def _pairs(order: Order) -> list[tuple[int, int]]:
    """Numbers with their random_ids, checked and cut."""
    ids, randoms = order.message_ids, order.random_ids
    if not ids:
        raise TelegramError(400, "MESSAGE_IDS_EMPTY")
    if len(ids) != len(randoms):
        raise TelegramError(400, "RANDOM_ID_INVALID")
    pairs = list(zip(ids, randoms, strict=True))[:MAX_MESSAGES]
    if any(a[0] >= b[0] for a, b in pairwise(pairs)):
        raise TelegramError(400, "MESSAGE_ID_INVALID")
    if not all(random_id for _, random_id in pairs):
        raise TelegramError(400, "RANDOM_ID_EMPTY")
    if len({random_id for _, random_id in pairs}) < len(pairs):
        raise DUPLICATE
    return pairs


def _found(world: World, sender_id: int, source: Peer, ids: Sequence[int]) -> dict[int, Message]:
    """The messages that can be forwarded."""
    box = world.box_of(sender_id, source)
    there = [m for i in ids if (m := box.find(i)) and m.peer == source and not m.service]
    if (ids and not there) or (world.refuses_missing and len(there) < len(ids)):
        raise TelegramError(400, "MESSAGE_ID_INVALID")
    for message in there:
        if error := world.bad.get((source, message.message_id)):
            raise error
    return {message.message_id: message for message in there}


class _Albums:
    """Albums of one call: in the target each is a new one."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._made: dict[int, int] = {}

    def of(self, message: Message) -> int:
        """The new album of a message; 0 for none."""
        if not message.grouped_id:
            return 0
        if message.grouped_id not in self._made:
            self._made[message.grouped_id] = self._world.next_album()
        return self._made[message.grouped_id]


def _draft(order: Order, message: Message, random_id: int, header: Origin | None) -> Draft:
    captioned = message.media is not None and message.media.kind in CAPTIONED
    bare = order.drop_captions and captioned
    return Draft(
        text="" if bare else message.text,
        random_id=random_id,
        entities=() if bare else message.entities,
        media=message.media,
        origin=header,
        topic_id=order.topic_id if order.topic_id > 1 else 0,
        silent=order.silent,
        source_chat=str(order.source),
        source_id=message.message_id,
    )


def _header(world: World, sender_id: int, order: Order, message: Message) -> Origin:
    """The header of a forward, which tells more in one's own Saved Messages."""
    header = message.origin or _origin(world, message)
    if order.target != Peer(PeerKind.USER, sender_id):
        return header
    return replace(header, saved_peer=order.source, saved_id=message.message_id)


def _origin(world: World, message: Message) -> Origin:
    if message.sender.kind is PeerKind.CHANNEL:
        return Origin(message.sender, message.date, post=message.message_id)
    author = world.users[message.author_id]
    if author.hidden:
        return Origin(None, message.date, name=author.first_name)
    return Origin(message.sender, message.date)


def _gathered(sent: Sequence[Sent]) -> tuple[Delivery, ...]:
    """One delivery for each user, instead of one for each message."""
    events: dict[int, list[Event]] = {}
    for one in sent:
        for delivery in one.deliveries:
            events.setdefault(delivery.user_id, []).extend(delivery.events)
    return tuple(Delivery(user_id, tuple(of_user)) for user_id, of_user in events.items())
