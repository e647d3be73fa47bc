"""What was seen of an account, for the registry to keep, and a bounded queue of it that knows what may be
dropped.

A fact keeps its id until it is acknowledged, so a repeat is counted once. Counts replace older counts of the
same account and day; when the queue is full, disconnects go first: losing a dead key or a flood wait would be
worse.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from services.worker.domain.outcomes import Reason
from services.worker.domain.picture import Token


@dataclass(frozen=True, slots=True)
class FloodWaited:
    """Telegram imposed a wait."""

    method: str
    chat_id: int
    until: datetime


@dataclass(frozen=True, slots=True)
class SessionDied:
    """The session or account is dead or frozen. `auth_key_id` is the key that it was seen of."""

    reason: Reason
    auth_key_id: str = ""


@dataclass(frozen=True, slots=True)
class LinkLost:
    """A link ended; seconds."""

    cause: str
    uptime: float
    downtime: float | None
    reconnected: bool


@dataclass(frozen=True, slots=True)
class SessionRan:
    """Telegram answered for the user."""

    user_id: int
    stable: bool


@dataclass(frozen=True, slots=True)
class ChatCounts:
    """Messages of one account and day, counted by this process."""

    day: str
    received: int
    answered: int


FactKind = FloodWaited | SessionDied | LinkLost | SessionRan | ChatCounts


@dataclass(frozen=True, slots=True)
class Fact:
    """One fact."""

    fact_id: str
    account_id: str
    time: datetime
    token: Token | None
    kind: FactKind


class FactQueue:
    """Facts that are not acknowledged yet, oldest first."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._facts: dict[str, Fact] = {}
        self._counts: dict[tuple[str, str], str] = {}
        self._sent: set[str] = set()
        self.dropped = 0
        """How many were given up because the queue was full."""

    def __len__(self) -> int:
        return len(self._facts)

    def put(self, fact: Fact) -> None:
        """Takes one in. Counts that were never sent are replaced by newer ones of the same account and
        day."""
        if isinstance(fact.kind, ChatCounts):
            key = (fact.account_id, fact.kind.day)
            old = self._counts.get(key)
            if old is not None and old not in self._sent:
                self._facts.pop(old, None)
            self._counts[key] = fact.fact_id
        self._facts[fact.fact_id] = fact
        while len(self._facts) > self._limit:
            self._drop_one()

    def waits(self, account_id: str) -> list[FloodWaited]:
        """Waits of an account that the registry may not know yet."""
        mine = (fact.kind for fact in self._facts.values() if fact.account_id == account_id)
        return [kind for kind in mine if isinstance(kind, FloodWaited)]

    def batch(self, size: int) -> list[Fact]:
        """The oldest ones, to send now (again)."""
        chosen = list(self._facts.values())[:size]
        self._sent.update(fact.fact_id for fact in chosen)
        return chosen

    def acknowledge(self, facts: Iterable[Fact]) -> None:
        """They are on disk."""
        for fact in facts:
            self._forget(fact)

    def _drop_one(self) -> None:
        expendable = (fact for fact in self._facts.values() if isinstance(fact.kind, LinkLost | ChatCounts))
        victim = next(expendable, None) or next(iter(self._facts.values()))
        self._forget(victim)
        self.dropped += 1

    def _forget(self, fact: Fact) -> None:
        self._facts.pop(fact.fact_id, None)
        self._sent.discard(fact.fact_id)
        if isinstance(fact.kind, ChatCounts):
            key = (fact.account_id, fact.kind.day)
            if self._counts.get(key) == fact.fact_id:
                del self._counts[key]
