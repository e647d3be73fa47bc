"""The messages of a box that are kept one by one: found by number, chat, topic and uid.

Like a FrozenLog it is cheap to pickle again and again, though messages may go.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from services.testdc.domain.frozenlog import CHUNK, freeze, thaw
from services.testdc.domain.message import Message

if TYPE_CHECKING:
    from .peer import Peer


class Shelf:
    """Messages in order of their numbers."""

    __slots__ = ("_by_id", "_frozen", "_last", "by_peer", "by_topic", "by_uid")

    def __init__(self) -> None:
        self._by_id: dict[int, Message] = {}
        self._last = 0
        self._frozen: dict[int, bytes] = {}
        """Chunks of numbers that are complete, pickled; thrown away when a message of theirs goes."""
        self.by_peer: dict[Peer, list[int]] = {}
        self.by_topic: dict[int, list[int]] = {}
        self.by_uid: dict[int, int] = {}

    def put(self, message: Message) -> None:
        """Take in a message with a number above all others."""
        self._by_id[message.message_id] = message
        self._last = message.message_id
        self.by_peer.setdefault(message.peer, []).append(message.message_id)
        if message.topic_id:
            self.by_topic.setdefault(message.topic_id, []).append(message.message_id)
        self.by_uid[message.uid] = message.message_id

    def file_under(self, topic_id: int, message: Message) -> None:
        """The message opens a topic, and belongs to it."""
        message.topic_id = topic_id
        self.by_topic.setdefault(topic_id, []).append(message.message_id)
        self._frozen.pop(message.message_id // CHUNK, None)

    def take(self, message_id: int) -> Message | None:
        """Take a message out."""
        message = self._by_id.pop(message_id, None)
        if message is not None:
            self.by_peer[message.peer].remove(message_id)
            if message.topic_id:
                self.by_topic[message.topic_id].remove(message_id)
            self.by_uid.pop(message.uid, None)
            self._frozen.pop(message_id // CHUNK, None)
        return message

    def get(self, message_id: int) -> Message | None:
        """The message with this number."""
        return self._by_id.get(message_id)

    def __contains__(self, message_id: int) -> bool:
        return message_id in self._by_id

    def __getitem__(self, message_id: int) -> Message:
        return self._by_id[message_id]

    def __iter__(self) -> Iterator[Message]:
        return iter(self._by_id.values())

    def __len__(self) -> int:
        return len(self._by_id)

    def __getstate__(self) -> list[bytes]:
        return [self._chunk(number) for number in range(self._last // CHUNK + 1)]

    def __setstate__(self, state: list[bytes]) -> None:
        self.__init__()  # type: ignore[misc]
        for number, chunk in enumerate(state):
            messages: list[Message] = thaw(chunk)
            for message in messages:
                self.put(message)
            if number < len(state) - 1:
                self._frozen[number] = chunk

    def _chunk(self, number: int) -> bytes:
        known = self._frozen.get(number)
        if known is not None and number < self._last // CHUNK:
            return known
        numbers = range(number * CHUNK, (number + 1) * CHUNK)
        chunk = freeze([self._by_id[i] for i in numbers if i in self._by_id])
        if number < self._last // CHUNK:
            self._frozen[number] = chunk
        return chunk
