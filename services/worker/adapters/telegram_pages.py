"""Reads a page of a channel's history by hand, and no more of each message than a transfer asks of it: half
the processor time of a batch went into objects that nobody looked at (BASELINES.md, CPU a batch).

The layout is that of one constructor of one layer. Anything else, whatever it is, is left to the library: a
page that is not understood to the last byte is read by it as a whole.
"""

import struct
from io import BytesIO
from typing import Any

from pyrogram import raw
from pyrogram.raw.core import TLObject

from services.worker.adapters.telegram_packets import Unread

_MESSAGE = 0x7600B9D3
"""message of layer 229; the library's own number says whether it still speaks that layer."""
_VECTOR = 0x1CB5C415
_PEER = 12
"""Bytes of any Peer: constructor and id."""
_WORD, _LONG = struct.Struct("<I"), struct.Struct("<q")
_HEAD = struct.Struct("<IIII")
_PAGE_HEAD = struct.Struct("<IIii")
_FLAGS2 = sum(1 << bit for bit in (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 19))
"""The second flags' bits that layer 229 knows; all of the first ones are taken."""
_LONG_STRING = 254


class LeanMessage:
    """A message, as far as filters ask. Its names are the library's."""

    __slots__ = ("_text", "date", "grouped_id", "id", "media")

    def __init__(self, message_id: int, date: int, text: bytes, media: Any, grouped_id: int) -> None:
        self.id = message_id
        self.date = date
        self.media = media
        self.grouped_id = grouped_id
        self._text = text

    @property
    def message(self) -> str:
        """The text or caption, decoded when somebody wants it."""
        return self._text.decode(errors="replace")


class LeanPage:
    """The answer to messages.getHistory, as far as it is needed."""

    __slots__ = ("chats", "messages", "users")

    def __init__(self, messages: list[Any], chats: list[Any], users: list[Any]) -> None:
        self.messages = messages
        self.chats = chats
        self.users = users


def read_page(answer: Any) -> Any:
    """The answer to messages.getHistory: a LeanPage where it can be one, else the library's object."""
    if not isinstance(answer, Unread):
        return answer
    page = _lean(answer.data) if raw.types.Message.ID == _MESSAGE else None
    return answer.read() if page is None else page


def _lean(data: bytes) -> LeanPage | None:
    try:
        kind, flags, _, _ = _PAGE_HEAD.unpack_from(data)
        if kind != raw.types.messages.ChannelMessages.ID:
            return None
        reader = _Reader(data, _PAGE_HEAD.size + (4 if flags & 1 << 2 else 0))
        messages = reader.messages()
        reader.object()  # topics
        page = LeanPage(messages, reader.object(), reader.object())
    except Exception:  # noqa: BLE001 - whatever a parser raises; the library has the last word
        return None
    return page if reader.at == len(data) else None


class _Reader:
    """A place in the answer's bytes."""

    def __init__(self, data: bytes, at: int) -> None:
        self._data = data
        self._stream = BytesIO(data)
        self.at = at

    def messages(self) -> list[Any]:
        """A vector of messages of any kind."""
        constructor, count = struct.unpack_from("<II", self._data, self.at)
        if constructor != _VECTOR:
            raise ValueError("no vector")
        self.at += 8
        return [self._message() for _ in range(count)]

    def object(self) -> Any:
        """Anything, by the library."""
        self._stream.seek(self.at)
        found = TLObject.read(self._stream)
        self.at = self._stream.tell()
        return found

    def _message(self) -> Any:
        constructor, flags, flags2, message_id = _HEAD.unpack_from(self._data, self.at)
        if constructor != _MESSAGE:
            return self.object()
        if flags2 & ~_FLAGS2:
            raise ValueError("flags of another layer")
        self.at += _HEAD.size
        self._before_date(flags, flags2)
        (date,) = _WORD.unpack_from(self._data, self.at)
        self.at += 4
        text = self._string()
        media = self.object() if flags & 1 << 9 else None
        grouped_id = self._after_media(flags)
        self._tail(flags, flags2)
        return LeanMessage(message_id, date, text, media, grouped_id)

    def _before_date(self, flags: int, flags2: int) -> None:
        self.at += _PEER if flags & 1 << 8 else 0  # from_id
        self.at += 4 if flags & 1 << 29 else 0  # from_boosts_applied
        if flags2 & 1 << 12:
            self._string()  # from_rank
        self.at += _PEER  # peer_id
        self.at += _PEER if flags & 1 << 28 else 0  # saved_peer_id
        if flags & 1 << 2:
            self.object()  # fwd_from
        self.at += 8 if flags & 1 << 11 else 0  # via_bot_id
        self.at += 8 if flags2 & 1 << 0 else 0  # via_business_bot_id
        self.at += _PEER if flags2 & 1 << 19 else 0  # guestchat_via_from
        if flags & 1 << 3:
            self.object()  # reply_to

    def _after_media(self, flags: int) -> int:
        for bit in (6, 7):  # reply_markup, entities
            if flags & 1 << bit:
                self.object()
        self.at += 8 if flags & 1 << 10 else 0  # views, forwards
        if flags & 1 << 23:
            self.object()  # replies
        self.at += 4 if flags & 1 << 15 else 0  # edit_date
        if flags & 1 << 16:
            self._string()  # post_author
        if not flags & 1 << 17:
            return 0
        (grouped_id,) = _LONG.unpack_from(self._data, self.at)
        self.at += 8
        return int(grouped_id)

    def _tail(self, flags: int, flags2: int) -> None:
        for bit in (20, 22):  # reactions, restriction_reason
            if flags & 1 << bit:
                self.object()
        self.at += 4 if flags & 1 << 25 else 0  # ttl_period
        self.at += 4 if flags & 1 << 30 else 0  # quick_reply_shortcut_id
        if not flags2:
            return
        self.at += 8 if flags2 & 1 << 2 else 0  # effect
        if flags2 & 1 << 3:
            self.object()  # factcheck
        self.at += 4 if flags2 & 1 << 5 else 0  # report_delivery_until_date
        self.at += 8 if flags2 & 1 << 6 else 0  # paid_message_stars
        if flags2 & 1 << 7:
            self.object()  # suggested_post
        self.at += 4 if flags2 & 1 << 10 else 0  # schedule_repeat_period
        if flags2 & 1 << 11:
            self._string()  # summary_from_language
        if flags2 & 1 << 13:
            self.object()  # rich_message

    def _string(self) -> bytes:
        """TL's bytes: a length, the bytes, and zeros up to the next word."""
        data, at = self._data, self.at
        length, at = data[at], at + 1
        if length == _LONG_STRING:
            length, at = int.from_bytes(data[at : at + 3], "little"), at + 3
        self.at = at + length + -(at + length - self.at) % 4
        return data[at : at + length]
