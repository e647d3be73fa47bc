"""A numbered run of messages and the events that clients can catch up on.

Every user has one box for private chats and basic groups, every channel has its own. `pts` counts the
events of a box; a client that knows pts P asks for what came after (updates.getDifference).
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .peers import Peer


@dataclass(slots=True)
class Message:
    """One message as the owner of a box sees it."""

    message_id: int
    uid: int
    """The same for every copy of one message."""
    peer: Peer
    """The chat it is in, from the owner's side."""
    sender: Peer
    """Whom it is shown as from; in a broadcast channel that is the channel."""
    author_id: int
    """The account that wrote it."""
    date: int
    text: str
    outgoing: bool
    random_id: int = 0
    reply_to: int = 0
    entities: tuple[Any, ...] = ()
    """Formatting as the client sent it; nobody here looks inside."""
    created_title: str = ""
    """Set on the service message that opens a group or channel; it has no text."""


class EventKind(Enum):
    """What an event of a box tells."""

    NEW_MESSAGE = "new_message"
    READ_INBOX = "read_inbox"
    """The owner read up to max_id."""
    READ_OUTBOX = "read_outbox"
    """The other side read up to max_id."""
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class Event:
    """One step of a box; `pts` is the count after it."""

    pts: int
    kind: EventKind
    peer: Peer
    message_ids: tuple[int, ...] = ()
    max_id: int = 0

    @property
    def pts_count(self) -> int:
        """By how much this event moved pts."""
        return len(self.message_ids) or 1


@dataclass(slots=True)
class Box:
    """Messages in order of their ids, events in order of their pts."""

    messages: dict[int, Message] = field(default_factory=dict)
    by_peer: dict[Peer, list[int]] = field(default_factory=dict)
    by_uid: dict[int, int] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    pts: int = 1
    last_id: int = 0
    read_in: dict[Peer, int] = field(default_factory=dict)
    read_out: dict[Peer, int] = field(default_factory=dict)

    def add(self, message: Message) -> Event:
        """Append a message under the next id and say so."""
        self.last_id += 1
        message.message_id = self.last_id
        self.messages[message.message_id] = message
        self.by_peer.setdefault(message.peer, []).append(message.message_id)
        self.by_uid[message.uid] = message.message_id
        return self._event(EventKind.NEW_MESSAGE, message.peer, (message.message_id,))

    def mark(self, kind: EventKind, peer: Peer, max_id: int) -> Event | None:
        """Move a read mark forward; None when it already stood there."""
        marks = self.read_in if kind is EventKind.READ_INBOX else self.read_out
        if marks.get(peer, 0) >= max_id:
            return None
        marks[peer] = max_id
        return self._event(kind, peer, (), max_id)

    def delete(self, message_ids: list[int]) -> list[Event]:
        """Remove messages, one event per chat they were in; unknown ids are passed over."""
        gone: dict[Peer, list[int]] = {}
        for message_id in message_ids:
            message = self.messages.pop(message_id, None)
            if message is None:
                continue
            self.by_peer[message.peer].remove(message_id)
            self.by_uid.pop(message.uid, None)
            gone.setdefault(message.peer, []).append(message_id)
        return [self._event(EventKind.DELETED, peer, tuple(ids)) for peer, ids in gone.items()]

    def since(self, pts: int) -> list[Event]:
        """The events after `pts`, oldest first."""
        return self.events[bisect_left(self.events, pts + 1, key=lambda event: event.pts) :]

    def history(self, peer: Peer, page: Page) -> list[Message]:
        """One page of a chat, newest first, as messages.getHistory defines it."""
        ids = [i for i in self.by_peer.get(peer, ()) if page.min_id < i < (page.max_id or i + 1)]
        if page.offset_date:
            ids = [i for i in ids if self.messages[i].date < page.offset_date or page.offset_id]
        newer = len(ids) - bisect_left(ids, page.offset_id) if page.offset_id else 0
        start = newer + page.add_offset
        picked = ids[::-1][max(start, 0) : max(start + page.limit, 0)]
        return [self.messages[i] for i in picked]

    def unread(self, peer: Peer) -> int:
        """How many messages of others came after the read mark."""
        ids = self.by_peer.get(peer, [])
        later = ids[bisect_left(ids, self.read_in.get(peer, 0) + 1) :]
        return sum(not self.messages[i].outgoing for i in later)

    def top(self, peer: Peer) -> Message | None:
        """The newest message of a chat."""
        ids = self.by_peer.get(peer)
        return self.messages[ids[-1]] if ids else None

    def _event(self, kind: EventKind, peer: Peer, ids: tuple[int, ...], max_id: int = 0) -> Event:
        self.pts += len(ids) or 1
        event = Event(self.pts, kind, peer, ids, max_id)
        self.events.append(event)
        return event


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a chat is wanted; zero leaves a bound out."""

    limit: int = 100
    offset_id: int = 0
    offset_date: int = 0
    add_offset: int = 0
    max_id: int = 0
    min_id: int = 0
