"""Everybody and everything said: the state behind the API, and the only place that changes it.

Times are whole seconds of the wall clock and always an argument. Nothing here knows of connections:
what a change means for others is returned as deliveries, for somebody else to push.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from services.testdc.domain.boxes import Box, Event, EventKind, Message
from services.testdc.domain.errors import TelegramError
from services.testdc.domain.peers import SERVICE_USER_ID, Channel, Group, Peer, PeerKind, User

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


@dataclass(frozen=True, slots=True)
class Sent:
    """The sender's own copy of what was sent, and whom to tell."""

    message: Message
    event: Event
    deliveries: tuple[Delivery, ...]
    repeated: bool = False
    """True when this random_id had been sent before: nothing new happened."""


@dataclass
class World:
    """All state of the data centre beside keys and connections."""

    users: dict[int, User] = field(default_factory=dict)
    groups: dict[int, Group] = field(default_factory=dict)
    channels: dict[int, Channel] = field(default_factory=dict)
    _uid: int = 0

    def __post_init__(self) -> None:
        service = User(SERVICE_USER_ID, "42777", "Telegram")
        self.users[SERVICE_USER_ID] = service

    def add_user(self, user: User) -> User:
        """Take in a user, under the next free id if it has none; raises ValueError when a name is taken."""
        user.user_id = user.user_id or 700_000_000 + len(self.users)
        if user.user_id in self.users:
            raise ValueError(f"user {user.user_id} exists already")
        if user.username and self.by_username(user.username):
            raise ValueError(f"username {user.username} is taken")
        self.users[user.user_id] = user
        return user

    def add_group(self, title: str, creator_id: int, members: Iterable[int], now: int) -> Sent:
        """Open a basic group; its first message says so."""
        group = Group(400_000_001 + len(self.groups), title, creator_id, now)
        group.members = {creator_id, *members}
        self._known(group.members)
        self.groups[group.chat_id] = group
        return self._send_to_group(self.users[creator_id], group, Draft(""), now, title)

    def add_channel(self, channel: Channel, now: int) -> Sent:
        """Open a channel or supergroup; its id is chosen here and its first message has id 1."""
        channel.channel_id = channel.channel_id or 1_900_000_001 + len(self.channels)
        channel.date = now
        channel.members |= {channel.creator_id} | channel.admins
        self._known(channel.members)
        self.channels[channel.channel_id] = channel
        return self._send_to_channel(self.users[channel.creator_id], channel, Draft(""), now, channel.title)

    def by_username(self, username: str) -> User | Channel | None:
        """Who bears a public name, whatever its case and with or without the @."""
        wanted = username.lstrip("@").lower()
        holders: list[User | Channel] = [*self.users.values(), *self.channels.values()]
        for holder in holders:
            if wanted and holder.username.lower() == wanted:
                return holder
        return None

    def by_phone(self, phone: str) -> User | None:
        """Who has a phone number, digits compared."""
        wanted = "".join(filter(str.isdigit, phone))
        return next((user for user in self.users.values() if wanted and user.phone == wanted), None)

    def send(self, sender_id: int, peer: Peer, draft: Draft, now: int) -> Sent:
        """Say something in a chat; a repeated random_id changes nothing. Raises TelegramError."""
        sender = self.users[sender_id]
        if not draft.text.strip():
            raise TelegramError(400, "MESSAGE_EMPTY")
        if len(draft.text) > _MAX_TEXT:
            raise TelegramError(400, "MESSAGE_TOO_LONG")
        if peer.kind is PeerKind.USER:
            return self._send_to_user(sender, self._user(peer), draft, now)
        if peer.kind is PeerKind.CHAT:
            return self._send_to_group(sender, self.group_of(sender_id, peer), draft, now)
        return self._send_to_channel(sender, self.channel_of(sender_id, peer), draft, now)

    def read(self, reader_id: int, peer: Peer, max_id: int) -> list[Delivery]:
        """The reader has seen a chat up to max_id (0: all of it)."""
        if peer.kind is PeerKind.CHANNEL:
            channel = self.channel_of(reader_id, peer)
            channel.read[reader_id] = max(channel.read.get(reader_id, 0), max_id or channel.box.last_id)
            return []
        box = self.users[reader_id].box
        top = box.top(peer)
        if top is None:
            return []
        upto = min(max_id or top.message_id, top.message_id)
        event = box.mark(EventKind.READ_INBOX, peer, upto)
        mine = [] if event is None else [Delivery(reader_id, event)]
        return mine + self._tell_author(reader_id, peer, upto)

    def delete(self, user_id: int, message_ids: list[int], *, revoke: bool) -> list[Delivery]:
        """Remove messages from a user's box, with `revoke` every other copy, too."""
        own = self.users[user_id].box
        uids = {own.messages[i].uid for i in message_ids if i in own.messages}
        told = []
        for user in self.users.values() if revoke else [self.users[user_id]]:
            ids = [i for uid in uids if (i := user.box.by_uid.get(uid))]
            told += [Delivery(user.user_id, event) for event in user.box.delete(ids)]
        return told

    def delete_in_channel(self, user_id: int, peer: Peer, message_ids: list[int]) -> list[Delivery]:
        """Remove messages for all; others' only as an admin. Raises TelegramError."""
        channel = self.channel_of(user_id, peer)
        is_admin = user_id in channel.admins | {channel.creator_id}
        known = [channel.box.messages[i] for i in message_ids if i in channel.box.messages]
        if not is_admin and any(message.author_id != user_id for message in known):
            raise TelegramError(403, "MESSAGE_DELETE_FORBIDDEN")
        events = channel.box.delete(message_ids)
        return [Delivery(member, event) for event in events for member in sorted(channel.members)]

    def peers_of(self, user_id: int) -> list[Peer]:
        """The chats of a user, the one with the newest message first."""
        box = self.users[user_id].box
        found = [(box.messages[ids[-1]].uid, peer) for peer, ids in box.by_peer.items() if ids]
        for channel in self.channels.values():
            if user_id in channel.members:
                top = channel.box.top(channel.peer)
                found.append((top.uid if top else 0, channel.peer))
        return [peer for _, peer in sorted(found, key=lambda pair: pair[0], reverse=True)]

    def told(self, delivery: Delivery) -> list[Message]:
        """The new messages of a delivery, as its receiver has them."""
        event = delivery.event
        if event.kind is not EventKind.NEW_MESSAGE:
            return []
        is_channel = event.peer.kind is PeerKind.CHANNEL
        box = self.channels[event.peer.peer_id].box if is_channel else self.users[delivery.user_id].box
        return [box.messages[i] for i in event.message_ids if i in box.messages]

    def group_of(self, user_id: int, peer: Peer) -> Group:
        """The basic group as a member; raises TelegramError for others."""
        group = self.groups.get(peer.peer_id)
        if group is None or user_id not in group.members:
            raise TelegramError(400, "CHAT_ID_INVALID")
        return group

    def channel_of(self, user_id: int, peer: Peer) -> Channel:
        """The channel as a member; raises TelegramError for others."""
        channel = self.channels.get(peer.peer_id)
        if channel is None:
            raise TelegramError(400, "CHANNEL_INVALID")
        if user_id not in channel.members and not channel.username:
            raise TelegramError(400, "CHANNEL_PRIVATE")
        return channel

    def _known(self, user_ids: Iterable[int]) -> None:
        for user_id in user_ids:
            if user_id not in self.users:
                raise ValueError(f"no user {user_id}")

    def _user(self, peer: Peer) -> User:
        try:
            return self.users[peer.peer_id]
        except KeyError as e:
            raise TelegramError(400, "PEER_ID_INVALID") from e

    def _send_to_user(self, sender: User, other: User, draft: Draft, now: int) -> Sent:
        if before := self._before(sender, draft):
            return before
        message = self._message(sender, other.peer, draft, now)
        event = sender.box.add(message)
        deliveries = [Delivery(sender.user_id, event)]
        if other is not sender:
            copy = self._copy(message, sender.peer, draft)
            deliveries.append(Delivery(other.user_id, other.box.add(copy)))
        self._remember(sender, draft, message)
        return Sent(message, event, tuple(deliveries))

    def _send_to_group(self, sender: User, group: Group, draft: Draft, now: int, title: str = "") -> Sent:
        if before := self._before(sender, draft):
            return before
        message = self._message(sender, group.peer, draft, now, title)
        event = sender.box.add(message)
        deliveries = [Delivery(sender.user_id, event)]
        for member in sorted(group.members - {sender.user_id}):
            copy = self._copy(message, group.peer, draft)
            deliveries.append(Delivery(member, self.users[member].box.add(copy)))
        self._remember(sender, draft, message)
        return Sent(message, event, tuple(deliveries))

    def _send_to_channel(
        self, sender: User, channel: Channel, draft: Draft, now: int, title: str = ""
    ) -> Sent:
        if sender.user_id not in channel.members:
            raise TelegramError(403, "CHAT_WRITE_FORBIDDEN")
        if channel.broadcast and sender.user_id not in channel.admins | {channel.creator_id}:
            raise TelegramError(403, "CHAT_WRITE_FORBIDDEN")
        key = (sender.user_id, draft.random_id)
        if draft.random_id and key in channel.sent:
            return _again(channel.box, channel.sent[key])
        message = self._message(sender, channel.peer, draft, now, title)
        if channel.broadcast:
            message.sender = channel.peer
        event = channel.box.add(message)
        if draft.random_id:
            channel.sent[key] = message.message_id
        channel.read[sender.user_id] = message.message_id
        return Sent(message, event, tuple(Delivery(member, event) for member in sorted(channel.members)))

    def _before(self, sender: User, draft: Draft) -> Sent | None:
        message_id = sender.sent.get(draft.random_id) if draft.random_id else None
        if message_id is None:
            return None
        return _again(sender.box, message_id)

    def _remember(self, sender: User, draft: Draft, message: Message) -> None:
        if draft.random_id:
            sender.sent[draft.random_id] = message.message_id

    def _message(self, sender: User, peer: Peer, draft: Draft, now: int, title: str = "") -> Message:
        self._uid += 1
        return Message(
            message_id=0,
            uid=self._uid,
            peer=peer,
            sender=sender.peer,
            author_id=sender.user_id,
            date=now,
            text=draft.text,
            outgoing=True,
            random_id=draft.random_id,
            reply_to=draft.reply_to,
            entities=draft.entities,
            created_title=title,
        )

    def _copy(self, message: Message, peer: Peer, draft: Draft) -> Message:
        """The same message in another box, where a reply points at that box's own number."""
        return Message(
            message_id=0,
            uid=message.uid,
            peer=peer,
            sender=message.sender,
            author_id=message.author_id,
            date=message.date,
            text=message.text,
            outgoing=False,
            entities=draft.entities,
            created_title=message.created_title,
        )

    def _tell_author(self, reader_id: int, peer: Peer, upto: int) -> list[Delivery]:
        """Move the author's outgoing read mark of a private chat; groups keep none here."""
        if peer.kind is not PeerKind.USER or peer.peer_id == reader_id:
            return []
        box, author = self.users[reader_id].box, self.users[peer.peer_id]
        uids = [box.messages[i].uid for i in box.by_peer[peer] if i <= upto and not box.messages[i].outgoing]
        theirs = author.box.by_uid.get(uids[-1]) if uids else None
        if theirs is None:
            return []
        event = author.box.mark(EventKind.READ_OUTBOX, Peer(PeerKind.USER, reader_id), theirs)
        return [] if event is None else [Delivery(author.user_id, event)]


def _again(box: Box, message_id: int) -> Sent:
    """The result of the first time; raises TelegramError when that message was deleted since."""
    message = box.messages.get(message_id)
    if message is None:
        raise TelegramError(500, "RANDOM_ID_DUPLICATE")
    event = next(event for event in box.events if message_id in event.message_ids)
    return Sent(message, event, (), repeated=True)
