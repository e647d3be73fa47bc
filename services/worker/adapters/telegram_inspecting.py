"""Looks at a chat for a transfer: what it is, what this account may do in it, and where a range begins and
ends, without reading it all."""

from dataclasses import replace
from typing import Any

from pyrogram import raw, utils

from services.worker.adapters.telegram_chats import Caller, ChatFinder, Found, Left, input_channel
from services.worker.adapters.telegram_history import History
from services.worker.adapters.telegram_rights import exempt_from_slow_mode, facts_of, may_manage_topics
from services.worker.domain.telegram import Refused
from services.worker.domain.transfer_answers import ChatFacts, Inspected, NotApplied
from services.worker.domain.transfer_orders import (
    ChatReference,
    DateRange,
    IdRange,
    InspectChats,
    Newest,
    Range,
)

_CLIENT_ERRORS = range(400, 407)
"""Telegram's word on this chat and account; floods and its own faults are something else."""


class Inspector:
    """One account's eyes."""

    def __init__(self, caller: Caller, finder: ChatFinder, history: History) -> None:
        self._caller = caller
        self._finder = finder
        self._history = history

    async def inspect(self, work: InspectChats, left: Left) -> Inspected:
        """Both chats and the range. A chat that cannot be found or read is told in its facts; what is no word
        on a chat (a flood, a fault, the link) raises."""
        found, source = await self._look_at(work.source, 0, left)
        _, target = await self._look_at(work.target, work.topic_id, left)
        first, last = 0, 0
        if found is not None and source.can_read and not source.error:
            first, last = await self._ends(found, work.range, source.top_message_id, left)
        return Inspected(source, target, first, last)

    async def _look_at(
        self, reference: ChatReference, topic_id: int, left: Left
    ) -> tuple[Found | None, ChatFacts]:
        try:
            found = await self._finder.find(reference, left)
        except NotApplied as error:
            return None, ChatFacts(chat_id=reference.chat_id, error=error.cause)
        except Refused as error:
            if error.code not in _CLIENT_ERRORS:
                raise
            return None, ChatFacts(chat_id=reference.chat_id, error=error.name)
        facts = ChatFacts(chat_id=found.chat_id)
        try:
            return found, await self._facts(found, topic_id, left)
        except Refused as error:
            if error.code not in _CLIENT_ERRORS:
                raise
            return found, replace(facts, error=error.name)

    async def _facts(self, found: Found, topic_id: int, left: Left) -> ChatFacts:
        chat = await self._chat(found, left)
        facts = facts_of(chat, self._caller.own_id)
        if facts.error:
            return replace(facts, chat_id=found.chat_id)
        if topic_id and facts.can_post:
            facts = replace(facts, can_post=await self._topic_open(found, chat, topic_id, left))
        if getattr(chat, "slowmode_enabled", False) and not exempt_from_slow_mode(chat):
            facts = replace(facts, slow_mode_seconds=await self._slow_mode(found, left))
        if not facts.can_read:
            return facts
        return replace(facts, top_message_id=await self._history.top(found, left))

    async def _chat(self, found: Found, left: Left) -> Any:
        channel = input_channel(found.peer)
        if channel is not None:
            query = raw.functions.channels.GetChannels(id=[channel])
            chats = (await self._caller.call(query, left(), chat_id=found.chat_id)).chats
        elif isinstance(found.peer, raw.types.InputPeerChat):
            query = raw.functions.messages.GetChats(id=[found.peer.chat_id])
            chats = (await self._caller.call(query, left(), chat_id=found.chat_id)).chats
        else:
            user = (
                raw.types.InputUserSelf()
                if isinstance(found.peer, raw.types.InputPeerSelf)
                else raw.types.InputUser(user_id=found.peer.user_id, access_hash=found.peer.access_hash)
            )
            chats = await self._caller.call(raw.functions.users.GetUsers(id=[user]), left())
        return chats[0] if chats else None

    async def _slow_mode(self, found: Found, left: Left) -> int:
        query = raw.functions.channels.GetFullChannel(channel=input_channel(found.peer))
        full = (await self._caller.call(query, left(), chat_id=found.chat_id)).full_chat
        return int(full.slowmode_seconds or 0)

    async def _topic_open(self, found: Found, chat: Any, topic_id: int, left: Left) -> bool:
        """Whether the account may write in the topic."""
        query = raw.functions.messages.GetForumTopicsByID(peer=found.peer, topics=[topic_id])
        topics = (await self._caller.call(query, left(), chat_id=found.chat_id)).topics
        there = [one for one in topics if isinstance(one, raw.types.ForumTopic) and one.id == topic_id]
        return bool(there) and (not there[0].closed or may_manage_topics(chat))

    async def _ends(self, found: Found, wanted: Range | None, top: int, left: Left) -> tuple[int, int]:
        """The first and last id of the range; 0 and 0 when it is empty."""
        first, last = 1, top
        match wanted:
            case IdRange():
                first, last = max(wanted.first, 1), min(wanted.last, top)
            case Newest():
                first = await self._history.nth_newest(found, max(wanted.count, 1), left)
            case DateRange():
                if wanted.since is not None:
                    first = await self._history.last_before(found, wanted.since, left) + 1
                if wanted.until is not None:
                    last = await self._history.last_before(found, wanted.until, left)
            case None:
                pass
        return (first, last) if top and first <= last else (0, 0)


def migrated_in(chats: Any, chat_id: int) -> int:
    """The supergroup that a basic group became, as the chats of an answer say; 0 for none."""
    for chat in chats:
        if isinstance(chat, raw.types.Chat) and -chat.id == chat_id and chat.migrated_to is not None:
            return int(utils.get_channel_id(chat.migrated_to.channel_id))
    return 0
