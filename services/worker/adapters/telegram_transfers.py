"""The transfers' port over the library: pages, the one transmission, traces. Raw calls only.

Everything goes through the account's client (`Caller`), which asks the gate, keeps out of running waits and
bounds each call; the transmission alone goes through `Sender`, which never sends anything twice.
"""

import functools
from typing import Any, Protocol

import re2
from pyrogram import raw

from services.worker.adapters import telegram_messages as messages
from services.worker.adapters.telegram_chats import Caller, ChatFinder, Found, Left
from services.worker.adapters.telegram_history import PAGE, History
from services.worker.adapters.telegram_inspecting import Inspector, migrated_in
from services.worker.adapters.telegram_packets import Unread, read_whole
from services.worker.adapters.telegram_pages import read_page
from services.worker.domain.telegram import LinkCause, LinkDown
from services.worker.domain.transfer_answers import (
    Inspected,
    Looked,
    NotApplied,
    NotDoneCause,
    Sent,
    SourceMessage,
    SourcePage,
)
from services.worker.domain.transfer_orders import (
    Attempt,
    InspectChats,
    LookInTarget,
    ReadSource,
    SendBatch,
)


class Sender(Caller, Protocol):
    """A client that can also transmit something at most once."""

    async def transmit(self, query: Any, limit: float, attempt: Attempt, *, chat_id: int) -> Any:
        """See `WatchedSession.transmit`; keeps out of waits as `call` does."""
        ...


class TelegramTransfers:
    """See `ports.Transfers`."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender
        self._finder = ChatFinder(sender)
        self._history = History(sender)
        self._inspector = Inspector(sender, self._finder, self._history)

    async def inspect(self, work: InspectChats, limit: float) -> Inspected:
        """See the port."""
        return await self._inspector.inspect(work, self._until(limit))

    async def read(self, work: ReadSource, limit: float) -> SourcePage:
        """See the port."""
        left = self._until(limit)
        pattern = _compiled(work.match)
        source = await self._finder.find(work.source, left)
        found, answer = await self._history.above(source, work.after_id, work.limit, left, read_page)
        youngest = self._sender.server_time - work.min_age if work.min_age else None
        return _page(work, found, pattern, youngest, migrated_in(answer.chats, source.chat_id))

    async def send(self, work: SendBatch, limit: float, attempt: Attempt) -> Sent:
        """See the port."""
        left = self._until(limit)
        source = await self._finder.find(work.source, left)
        target = await self._finder.find(work.target, left)
        query = _forward(work, source, target)
        answer = await self._sender.transmit(query, left(), attempt, chat_id=target.chat_id)
        return _sent(work, target, answer)

    async def look(self, work: LookInTarget, limit: float) -> Looked:
        """See the port."""
        left = self._until(limit)
        source = await self._finder.find(work.source, left)
        target = await self._finder.find(work.target, left)
        theirs = await self._history.messages(source, work.message_ids, left) if work.message_ids else []
        ours: list[Any] = []
        after_id, complete = work.above_id, False
        while len(ours) < work.limit and not complete:
            page, _ = await self._history.above(target, after_id, PAGE, left)
            ours += page
            complete = not page
            after_id = page[-1].id if page else after_id
        return Looked(
            target=tuple(messages.trace(one) for one in ours[: work.limit]),
            source=tuple(messages.trace(one) for one in theirs),
            complete=complete and len(ours) <= work.limit,
        )

    def _until(self, limit: float) -> Left:
        """The seconds that are left of a limit. Raises LinkDown when there are none."""
        due = self._sender.now + limit

        def left() -> float:
            remaining = due - self._sender.now
            if remaining <= 0:
                raise LinkDown(LinkCause.NO_ANSWER)
            return remaining

        return left


@functools.lru_cache(maxsize=256)
def _compiled(expression: str) -> Any:
    """The expression, or None for everything. Raises NotApplied."""
    if not expression:
        return None
    try:
        return re2.compile(expression)
    except re2.error as error:
        raise NotApplied(NotDoneCause.BAD_MATCH) from error


def _page(
    work: ReadSource, found: list[Any], pattern: Any, youngest: float | None, migrated_to: int
) -> SourcePage:
    """The page as it is answered: cut at `through_id`, and before what is too young, with its album."""
    within = [one for one in found if not work.through_id or one.id <= work.through_id]
    ripe = _ripe(within, youngest)
    reached = len(within) < len(found) or (bool(within) and within[-1].id == work.through_id)
    end = reached or not found or len(ripe) < len(within)
    through = ripe[-1].id if ripe else work.after_id
    if end and work.through_id and len(ripe) == len(within):
        through = max(work.through_id, through)
    moved = migrated_to or next((id_ for one in within if (id_ := messages.migrated_to(one))), 0)
    return SourcePage(tuple(_source(one, work, pattern) for one in ripe), through, end, moved)


def _ripe(found: list[Any], youngest: float | None) -> list[Any]:
    """What is old enough; an album of which a part may still be missing waits as a whole."""
    if youngest is None:
        return found
    count = next((n for n, one in enumerate(found) if one.date > youngest), len(found))
    if count < len(found):
        album = getattr(found[count], "grouped_id", None)
        while album and count and getattr(found[count - 1], "grouped_id", None) == album:
            count -= 1
    return found[:count]


def _source(message: Any, work: ReadSource, pattern: Any) -> SourceMessage:
    skip = messages.skip_of(message, work.media, pattern)
    return SourceMessage(message.id, getattr(message, "grouped_id", None) or 0, skip)


def _forward(work: SendBatch, source: Found, target: Found) -> Any:
    return raw.functions.messages.ForwardMessages(
        from_peer=source.peer,
        to_peer=target.peer,
        id=list(work.message_ids),
        random_id=list(work.random_ids),
        drop_author=work.drop_author or None,
        drop_media_captions=work.drop_captions or None,
        silent=work.silent or None,
        top_msg_id=work.topic_id or None,
    )


def _sent(work: SendBatch, target: Found, answer: Any) -> Sent:
    """Telegram's answer by updateMessageID. One that names every message is not read any further."""
    named = answer.named(work.random_ids) if isinstance(answer, Unread) else None
    if named is not None:
        return Sent(work.message_ids, tuple(named[one] for one in work.random_ids))
    answer = read_whole(answer)
    named = {
        update.random_id: int(update.id)
        for update in getattr(answer, "updates", ())
        if isinstance(update, raw.types.UpdateMessageID)
    }
    moved = migrated_in(getattr(answer, "chats", ()), target.chat_id)
    return Sent(work.message_ids, tuple(named.get(one, 0) for one in work.random_ids), moved)
