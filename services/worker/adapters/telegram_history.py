"""Reads a chat's history in pages, upwards, and finds places in it by date or by number. Only raw types.

Upwards means: `offset_id` one above the last known id and `add_offset` of minus the page's size, so that the
page holds the oldest messages above it (core.telegram.org/api/offsets).
"""

import math
from collections.abc import Callable
from datetime import datetime
from typing import Any

from pyrogram import raw, utils

from services.worker.adapters.telegram_chats import Caller, Found, Left, input_channel
from services.worker.adapters.telegram_packets import read_whole

PAGE = 100
_MOST_SAME_SECOND = 10
"""Pages that may be needed to step over messages of one second."""


class History:
    """The histories that one account can see."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def above(
        self,
        chat: Found,
        after_id: int,
        limit: int,
        left: Left,
        reader: Callable[[Any], Any] = read_whole,
    ) -> tuple[list[Any], Any]:
        """The oldest messages above an id, upwards, and the whole answer. Deleted ones are missing."""
        answer = await self._get(
            chat, left, offset_id=after_id + 1, add_offset=-limit, limit=limit, reader=reader
        )
        found = [one for one in answer.messages if one.id > after_id and not _empty(one)]
        found.sort(key=_id)
        return found, answer

    async def top(self, chat: Found, left: Left) -> int:
        """The newest message's id; 0 when there is none."""
        answer = await self._get(chat, left, limit=1)
        return max((int(one.id) for one in answer.messages), default=0)

    async def nth_newest(self, chat: Found, number: int, left: Left) -> int:
        """The id of the newest but `number` - 1; 1 when there are fewer."""
        answer = await self._get(chat, left, add_offset=number - 1, limit=1)
        return max((int(one.id) for one in answer.messages), default=1)

    async def last_before(self, chat: Found, when: datetime, left: Left) -> int:
        """The id of the newest message posted before that time; 0 for none."""
        # Telegram knows whole seconds: a message of 12:00:00 is before 12:00:00.5.
        bound = math.ceil(when.timestamp())
        offset_id = 0
        for _ in range(_MOST_SAME_SECOND):
            answer = await self._get(chat, left, offset_id=offset_id, offset_date=bound, limit=PAGE)
            ids = [int(one.id) for one in answer.messages if not _empty(one) and one.date < bound]
            if ids or not answer.messages:
                return max(ids, default=0)
            offset_id = min(int(one.id) for one in answer.messages)
        return offset_id - 1

    async def messages(self, chat: Found, ids: tuple[int, ...], left: Left) -> list[Any]:
        """Those of the messages that still exist."""
        wanted = [raw.types.InputMessageID(id=one) for one in ids]
        channel = input_channel(chat.peer)
        query = (
            raw.functions.messages.GetMessages(id=wanted)
            if channel is None
            else raw.functions.channels.GetMessages(channel=channel, id=wanted)
        )
        answer = await self._caller.call(query, left(), chat_id=chat.chat_id)
        return [one for one in answer.messages if not _empty(one) and _in(one, chat)]

    async def _get(
        self,
        chat: Found,
        left: Left,
        *,
        limit: int,
        offset_id: int = 0,
        offset_date: int = 0,
        add_offset: int = 0,
        reader: Callable[[Any], Any] = read_whole,
    ) -> Any:
        query = raw.functions.messages.GetHistory(
            peer=chat.peer,
            offset_id=offset_id,
            offset_date=offset_date,
            add_offset=add_offset,
            limit=limit,
            max_id=0,
            min_id=0,
            hash=0,
        )
        return await self._caller.call(query, left(), chat_id=chat.chat_id, reader=reader)


def _id(message: Any) -> int:
    return int(message.id)


def _empty(message: Any) -> bool:
    """How Telegram shows a deleted message."""
    return isinstance(message, raw.types.MessageEmpty)


def _in(message: Any, chat: Found) -> bool:
    """messages.getMessages looks through all private chats and groups of the account at once."""
    return int(utils.get_peer_id(message.peer_id)) == chat.chat_id
