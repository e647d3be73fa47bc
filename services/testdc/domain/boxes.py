"""A numbered run of messages and the events that clients can catch up on.

Every user has one box for private chats and basic groups, every channel has its own. `pts` counts the
events of a box; a client that knows pts P asks for what came after (updates.getDifference).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from services.testdc.domain.frozenlog import FrozenLog
from services.testdc.domain.message import Message
from services.testdc.domain.pages import Page, Run, cut
from services.testdc.domain.shelf import Shelf

if TYPE_CHECKING:
    from .archive import Archive
    from .peer import Peer


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

    messages: Shelf = field(default_factory=Shelf)
    """Those that are kept one by one; beside them the archives."""
    archives: list[Archive] = field(default_factory=list)
    """Computed messages, in order of their numbers; only channels have them."""
    events: FrozenLog[Event] = field(default_factory=FrozenLog)
    pts: int = 1
    last_id: int = 0
    read_in: dict[Peer, int] = field(default_factory=dict)
    read_out: dict[Peer, int] = field(default_factory=dict)

    def add(self, message: Message) -> Event:
        """Append a message under the next id and say so."""
        self.last_id += 1
        message.message_id = self.last_id
        self.messages.put(message)
        event = self._event(EventKind.NEW_MESSAGE, message.peer, (message.message_id,))
        message.pts = event.pts
        return event

    def add_archive(self, archive: Archive) -> None:
        """Append computed messages; clients are not told of them one by one."""
        self.archives.append(archive)
        self.last_id = archive.last
        self.pts += archive.count

    def find(self, message_id: int) -> Message | None:
        """The message with this number."""
        found = self.messages.get(message_id)
        if found is not None or not self.archives:
            return found
        at = bisect_right(self.archives, message_id, key=lambda archive: archive.first) - 1
        return self.archives[at].find(message_id) if at >= 0 else None

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
            message = self.find(message_id)
            if message is None:
                continue
            if self.messages.take(message_id) is None:
                for archive in self.archives:
                    archive.remove(message_id)
            gone.setdefault(message.peer, []).append(message_id)
        return [self._event(EventKind.DELETED, peer, tuple(ids)) for peer, ids in gone.items()]

    def since(self, pts: int) -> list[Event]:
        """The events after `pts`, oldest first."""
        return self.events[bisect_left(self.events, pts + 1, key=lambda event: event.pts) :]

    def run(self, peer: Peer, topic_id: int = 0) -> Run:
        """The numbers of a chat, or of one topic of it."""
        if topic_id:
            archives = [archive for archive in self.archives if archive.topic_id == topic_id]
            return Run(self.messages.by_topic.get(topic_id, []), archives)
        return Run(self.messages.by_peer.get(peer, []), self.archives)

    def history(self, peer: Peer, page: Page, topic_id: int = 0) -> list[Message]:
        """One page of a chat, newest first, as messages.getHistory defines it."""
        ids = cut(self.run(peer, topic_id), page, self._date)
        return [message for i in ids if (message := self.find(i))]

    def walk(self, peer: Peer, after_id: int, topic_id: int = 0) -> Iterator[Message]:
        """The messages of a chat above a number, oldest first."""
        run, at = self.run(peer, topic_id), after_id
        while at := run.above(at):
            message = self.find(at)
            if message is not None:
                yield message

    def unread(self, peer: Peer) -> int:
        """How many messages of others came after the read mark."""
        ids = self.messages.by_peer.get(peer, [])
        later = ids[bisect_left(ids, self.read_in.get(peer, 0) + 1) :]
        return sum(not self.messages[i].outgoing for i in later)

    def unread_by(self, user_id: int, peer: Peer, read: int) -> int:
        """The same for a member of a channel; of archives every place above the mark counts."""
        ids = self.messages.by_peer.get(peer, [])
        later = ids[bisect_left(ids, read + 1) :]
        archived = sum(max(a.last - max(read, a.first - 1), 0) for a in self.archives)
        return archived + sum(self.messages[i].author_id != user_id for i in later)

    def top(self, peer: Peer) -> Message | None:
        """The newest message of a chat."""
        return self.find(self.run(peer).below(self.last_id + 1))

    def _date(self, message_id: int) -> int:
        message = self.find(message_id)
        return message.date if message else 0

    def _event(self, kind: EventKind, peer: Peer, ids: tuple[int, ...], max_id: int = 0) -> Event:
        self.pts += len(ids) or 1
        event = Event(self.pts, kind, peer, ids, max_id)
        self.events.append(event)
        return event
