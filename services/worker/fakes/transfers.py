"""Channels in memory, and one account at work in them: the transfers' port without a wire.

A channel keeps its messages, forwards by random_id once, and can be told to misbehave: see `FakeChannel`.
"""

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NoReturn, Protocol

import re2

from services.worker.domain import chat_names
from services.worker.domain.telegram import LinkCause, LinkDown, Refused
from services.worker.domain.transfer_answers import (
    ChatFacts,
    Inspected,
    Looked,
    MessageTrace,
    NotApplied,
    NotDoneCause,
    Sent,
    Skip,
    SourceMessage,
    SourcePage,
)
from services.worker.domain.transfer_orders import (
    Attempt,
    ChatReference,
    DateRange,
    IdRange,
    InspectChats,
    LookInTarget,
    Newest,
    Range,
    ReadSource,
    SendBatch,
)

_FORWARD = "messages.forwardMessages"
_HISTORY = "messages.getHistory"


@dataclass(slots=True)
class FakePost:
    """A message of a channel; seconds since 1970."""

    message_id: int
    text: str = ""
    date: float = 0.0
    kind: str = "TEXT"
    service: bool = False
    grouped_id: int = 0
    media_id: int = 0
    random_id: int = 0
    forwarded_from: tuple[int, int] = (0, 0)


@dataclass(slots=True)
class FakeChannel:
    """A channel that all accounts see, and what goes wrong with forwarding into it."""

    chat_id: int
    name: str = ""
    protected: bool = False
    readers_only: bool = False
    posts: dict[int, FakePost] = field(default_factory=dict)
    refuse: Refused | None = None
    """The answer to every forward."""
    lose_answers: bool = False
    """Forwards take effect and are not answered."""
    lose_requests: bool = False
    """Forwards are swallowed."""

    @property
    def top(self) -> int:
        """The newest id."""
        return max(self.posts, default=0)

    def post(self, text: str = "", **more: object) -> FakePost:
        """Appends a message."""
        post = FakePost(self.top + 1, text, **more)  # type: ignore[arg-type]
        self.posts[post.message_id] = post
        return post


class FakeLink(Protocol):
    """The fake client, as this needs it."""

    def admit(self, method: str, chat_id: int = 0) -> "asyncio.Future[LinkDown]":
        """Whether a call may be made now, and the end of its link; raises as the port says."""
        ...

    async def call(self, method: str, limit: float, chat_id: int = 0) -> None:
        """A call that is answered; raises as the port says."""
        ...

    def cut(self) -> None:
        """Closes the connection."""
        ...


class FakeTransfers:
    """See `ports.Transfers`. `wall` is seconds since 1970."""

    def __init__(self, link: FakeLink, channels: dict[int, FakeChannel], wall: Callable[[], float]) -> None:
        self._link = link
        self._channels = channels
        self._wall = wall

    async def inspect(self, work: InspectChats, limit: float) -> Inspected:
        """See the port."""
        await self._link.call("channels.getChannels", limit)
        source, target = self._facts(work.source), self._facts(work.target)
        first, last = 0, 0
        if source.can_read:
            first, last = _ends(self._channels[source.chat_id], work.range)
        return Inspected(source, target, first, last)

    async def read(self, work: ReadSource, limit: float) -> SourcePage:
        """See the port."""
        pattern = _compiled(work.match)
        channel = self._channel(work.source)
        await self._link.call(_HISTORY, limit, channel.chat_id)
        found = [channel.posts[one] for one in sorted(channel.posts) if one > work.after_id][: work.limit]
        within = [one for one in found if not work.through_id or one.message_id <= work.through_id]
        ripe = [one for one in within if not work.min_age or one.date <= self._wall() - work.min_age]
        reached = len(within) < len(found) or (bool(within) and within[-1].message_id == work.through_id)
        end = reached or not found or len(ripe) < len(within)
        through = ripe[-1].message_id if ripe else work.after_id
        if end and work.through_id and len(ripe) == len(within):
            through = max(through, work.through_id)
        return SourcePage(tuple(_source(one, work, pattern) for one in ripe), through, end)

    async def send(self, work: SendBatch, limit: float, attempt: Attempt) -> Sent:
        """See the port."""
        source, target = self._channel(work.source), self._channel(work.target)
        self._link.admit(_FORWARD, target.chat_id)
        attempt.transmitted = True
        try:
            return await self._answered(work, source, target, limit)
        except Refused:
            raise
        except BaseException:
            self._link.cut()
            raise

    async def _answered(
        self, work: SendBatch, source: FakeChannel, target: FakeChannel, limit: float
    ) -> Sent:
        if target.lose_requests:
            await self._in_vain(limit)
        await self._link.call(_FORWARD, limit, target.chat_id)
        if target.refuse is not None:
            raise target.refuse
        sent = _forward(work, source, target)
        if target.lose_answers:
            await self._in_vain(limit)
        return sent

    async def look(self, work: LookInTarget, limit: float) -> Looked:
        """See the port."""
        source, target = self._channel(work.source), self._channel(work.target)
        await self._link.call(_HISTORY, limit, target.chat_id)
        above = [target.posts[one] for one in sorted(target.posts) if one > work.above_id]
        there = [source.posts[one] for one in work.message_ids if one in source.posts]
        return Looked(
            tuple(_trace(one, target.chat_id) for one in above[: work.limit]),
            tuple(_trace(one, source.chat_id) for one in there),
            complete=len(above) <= work.limit,
        )

    async def _in_vain(self, limit: float) -> NoReturn:
        lost = self._link.admit(_FORWARD)
        await asyncio.wait({lost}, timeout=limit)
        raise LinkDown(lost.result().cause if lost.done() else LinkCause.NO_ANSWER)

    def _find(self, chat: ChatReference) -> FakeChannel | None:
        if chat.chat_id:
            return self._channels.get(chat.chat_id)
        match chat_names.read(chat.query):
            case chat_names.ById(chat_id):
                return self._channels.get(chat_id)
            case chat_names.ByName(name):
                return next((one for one in self._channels.values() if one.name == name), None)
            case _:
                return None

    def _channel(self, chat: ChatReference) -> FakeChannel:
        channel = self._find(chat)
        if channel is None:
            raise NotApplied(NotDoneCause.CHAT_NOT_FOUND)
        return channel

    def _facts(self, chat: ChatReference) -> ChatFacts:
        channel = self._find(chat)
        if channel is None:
            return ChatFacts(chat_id=chat.chat_id, error=NotDoneCause.CHAT_NOT_FOUND)
        return ChatFacts(
            chat_id=channel.chat_id,
            kind="channel",
            title=channel.name,
            can_read=True,
            can_post=not channel.readers_only,
            protected=channel.protected,
            top_message_id=channel.top,
        )


def _ends(channel: FakeChannel, wanted: Range | None) -> tuple[int, int]:
    first, last = 1, channel.top
    match wanted:
        case IdRange():
            first, last = max(1, wanted.first), min(wanted.last, last)
        case Newest():
            first = (sorted(channel.posts)[-wanted.count :] or [1])[0]
        case DateRange(since, until):
            first = 1 + max(
                (p.message_id for p in channel.posts.values() if since and _before(p, since)), default=0
            )
            last = max(
                (p.message_id for p in channel.posts.values() if not until or _before(p, until)), default=0
            )
        case None:
            pass
    return (first, last) if 0 < first <= last else (0, 0)


def _before(post: FakePost, when: datetime) -> bool:
    return post.date < when.timestamp()


def _compiled(expression: str) -> object:
    try:
        return re2.compile(expression) if expression else None
    except re2.error as error:
        raise NotApplied(NotDoneCause.BAD_MATCH) from error


def _source(post: FakePost, work: ReadSource, pattern: object) -> SourceMessage:
    skip = None
    if post.service:
        skip = Skip.SERVICE
    elif work.media and post.kind not in work.media:
        skip = Skip.MEDIA
    elif pattern is not None and pattern.search(post.text) is None:  # type: ignore[attr-defined]
        skip = Skip.NO_MATCH
    return SourceMessage(post.message_id, post.grouped_id, skip)


def _forward(work: SendBatch, source: FakeChannel, target: FakeChannel) -> Sent:
    known = {post.random_id: post.message_id for post in target.posts.values() if post.random_id}
    targets = []
    for message_id, random_id in zip(work.message_ids, work.random_ids, strict=True):
        if random_id not in known:
            post = source.posts[message_id]
            made = target.post(post.text, kind=post.kind, media_id=post.media_id, grouped_id=post.grouped_id)
            made.random_id = random_id
            made.forwarded_from = (0, 0) if work.drop_author else (source.chat_id, message_id)
            known[random_id] = made.message_id
        targets.append(known[random_id])
    return Sent(work.message_ids, tuple(targets))


def _trace(post: FakePost, chat_id: int) -> MessageTrace:
    chat, message = post.forwarded_from
    return MessageTrace(
        message_id=post.message_id,
        time=datetime.fromtimestamp(post.date, UTC),
        sender_id=chat_id,
        outgoing=bool(post.random_id),
        forward_chat_id=chat,
        forward_message_id=message,
        text_hash=hashlib.sha256(post.text.encode()).digest(),
        media_id=post.media_id,
        grouped_id=post.grouped_id,
    )
