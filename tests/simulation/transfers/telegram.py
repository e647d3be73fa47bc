"""A model of what Telegram does with forwards: it deduplicates random_ids for a while, limits accounts,
refuses bad messages, lets others post meanwhile, and sometimes acts late. The judge reads what it has."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from services.scheduler.domain.transfers.orders import (
    Looked,
    LookInTarget,
    MessageTrace,
    OrderRefused,
    ReadSource,
    SendBatch,
    Sent,
    SourceMessage,
    SourcePage,
)
from services.scheduler.domain.transfers.refusals import FORWARD
from tests.simulation.transfers.world import World

SOURCE, SECOND_SOURCE, TARGET = -1001, -1003, -1002
SECOND = 100_000
"""Ids above this are the second source's, so that an id names a message whatever its chat."""
OTHERS = 999


@dataclass
class Message:
    """One message of the source. `bad`: Telegram refuses to forward it."""

    message_id: int
    text: str
    grouped_id: int = 0
    service: bool = False
    bad: bool = False
    forwarded_from: tuple[int, int] = (0, 0)


@dataclass
class Delivered:
    """One message of the target. `origin` is the source's id, 0 for other people's."""

    message_id: int
    origin: int
    text: str
    sender: int
    grouped_id: int
    header: tuple[int, int]
    when: float


@dataclass
class Limits:
    """How much an account may forward: a bucket that Telegram keeps to itself."""

    capacity: float
    per_second: float
    left: float = 0.0
    at: float = 0.0
    wait_until: float = 0.0
    told_until: float = 0.0
    """Of a wait whose answer reached somebody."""
    verdict: bool = False

    def take(self, now: float, count: int) -> int:
        """Seconds to wait; 0 when it may."""
        self.left = min(self.capacity, self.left + (now - self.at) * self.per_second)
        self.at = now
        if self.left >= count:
            self.left -= count
            return 0
        return max(1, int((count - self.left) / self.per_second) + 1)


@dataclass
class Telegram:
    """Both chats and all accounts' limits."""

    world: World
    channel_source: bool
    copies: bool
    answers_original: bool
    """Which of the two ways it answers a repeat."""
    expiry: float
    """Seconds for which it knows a random_id."""
    source: dict[int, Message] = field(default_factory=dict)
    target: list[Delivered] = field(default_factory=list)
    limits: dict[str, Limits] = field(default_factory=dict)
    users: dict[str, int] = field(default_factory=dict)
    known: dict[tuple[str, int], tuple[float, int]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    deleted: int = 0
    """Messages of the source that went meanwhile: whether a doubtful batch had them, nobody can tell."""
    calls: int = 0
    floods: int = 0
    _top: int = 0
    _album: int = 0

    @property
    def top(self) -> int:
        return self._top

    def post(self, text: str, header: tuple[int, int] = (0, 0)) -> None:
        """Somebody else posts."""
        self._top += 1
        self.target.append(Delivered(self._top, 0, text, OTHERS, 0, header, self.world.now))

    def forward_by_others(self, message_id: int) -> None:
        """Somebody else moves the very same message to the same place."""
        message = self.source[message_id]
        self.post(message.text, self._header(message))

    def forward(self, account_id: str, work: SendBatch) -> Sent | OrderRefused:
        """One call, as it arrives."""
        self.calls += 1
        now, limits = self.world.now, self.limits[account_id]
        if now < limits.told_until - 1e-6:
            self.faults.append(f"{now:.3f}: {account_id} calls inside a wait until {limits.told_until:.3f}")
        assert list(work.message_ids) == sorted(set(work.message_ids))
        seconds = limits.take(now, len(work.message_ids))
        if seconds:
            self.floods += 1
            limits.wait_until = now + seconds
            return OrderRefused(420, "FLOOD_WAIT_X", seconds, FORWARD)
        if limits.verdict:
            limits.verdict = False
            return OrderRefused(400, "PEER_FLOOD", 0, FORWARD)
        before = [self.known.get((account_id, one)) for one in work.random_ids]
        if any(one is not None and one[0] > now for one in before):
            if not self.answers_original:
                return OrderRefused(500, "RANDOM_ID_DUPLICATE", 0, FORWARD)
            return Sent(work.message_ids, tuple(one[1] if one is not None else 0 for one in before))
        there = [self.source[one] for one in work.message_ids if one in self.source]
        if any(one.bad for one in there):
            return OrderRefused(400, "MEDIA_EMPTY", 0, FORWARD)
        if not there:
            return OrderRefused(400, "MESSAGE_ID_INVALID", 0, FORWARD)
        return self._apply(account_id, work)

    def _apply(self, account_id: str, work: SendBatch) -> Sent:
        albums: dict[int, int] = {}
        ids: list[int] = []
        for source_id, random_id in zip(work.message_ids, work.random_ids, strict=True):
            message = self.source.get(source_id)
            if message is None:
                ids.append(0)
                continue
            self._top += 1
            grouped = 0
            if message.grouped_id:
                if message.grouped_id not in albums:
                    self._album += 1
                    albums[message.grouped_id] = self._album
                grouped = albums[message.grouped_id]
            self.target.append(
                Delivered(
                    self._top,
                    source_id,
                    message.text,
                    self.users[account_id],
                    grouped,
                    self._header(message),
                    self.world.now,
                )
            )
            self.known[account_id, random_id] = (self.world.now + self.expiry, self._top)
            ids.append(self._top)
        return Sent(work.message_ids, tuple(ids))

    def _header(self, message: Message) -> tuple[int, int]:
        if self.copies:
            return (0, 0)
        if message.forwarded_from != (0, 0):
            return message.forwarded_from
        chat_id = SECOND_SOURCE if message.message_id > SECOND else SOURCE
        return (chat_id, message.message_id) if self.channel_source else (77, 0)

    def read(self, work: ReadSource) -> SourcePage:
        """A page of the source."""
        last = work.through_id or max(self.source, default=0)
        ids = [one for one in sorted(self.source) if work.after_id < one <= last]
        taken = ids[: work.limit]
        end = len(taken) == len(ids)
        looked = last if end else taken[-1]
        messages = [
            SourceMessage(one, self.source[one].grouped_id, "SERVICE" if self.source[one].service else "")
            for one in taken
        ]
        return SourcePage(messages, max(looked, work.after_id), end)

    def look(self, work: LookInTarget) -> Looked:
        """What is in the target now."""
        above = [one for one in self.target if one.message_id > work.above_id]
        traces = [
            MessageTrace(
                one.message_id,
                sender_id=one.sender,
                forward_chat_id=one.header[0],
                forward_message_id=one.header[1],
                text_hash=_hash(one.text),
                grouped_id=one.grouped_id,
            )
            for one in above[: work.limit]
        ]
        source = [
            MessageTrace(
                one,
                forward_chat_id=self.source[one].forwarded_from[0],
                forward_message_id=self.source[one].forwarded_from[1],
                text_hash=_hash(self.source[one].text),
                grouped_id=self.source[one].grouped_id,
            )
            for one in work.message_ids
            if one in self.source
        ]
        return Looked(traces, source, complete=len(above) <= work.limit)


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
