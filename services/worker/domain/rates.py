"""How many answers are allowed in a chat and for an account: sliding windows, with `now` in seconds as an
argument."""

from collections import OrderedDict, deque
from dataclasses import dataclass, field

WINDOW = 60.0
"""Seconds."""
_MOST_CHATS = 1_000
"""Windows kept per account; the least recently used one goes first."""


@dataclass(slots=True)
class SlidingWindow:
    """At most `limit` events in any WINDOW."""

    limit: int
    _times: deque[float] = field(default_factory=deque)

    def free(self, now: float) -> bool:
        """Whether one more is allowed."""
        while self._times and now - self._times[0] >= WINDOW:
            self._times.popleft()
        return len(self._times) < self.limit

    def take(self, now: float) -> None:
        """Counts one."""
        self._times.append(now)


@dataclass(slots=True)
class AnswerRates:
    """The limits of one account: per minute, in each chat and altogether."""

    per_chat: int
    per_account: int
    _account: SlidingWindow = field(init=False)
    _chats: OrderedDict[int, SlidingWindow] = field(default_factory=OrderedDict)

    def __post_init__(self) -> None:
        self._account = SlidingWindow(self.per_account)

    def free(self, chat_id: int, now: float) -> bool:
        """Whether one more answer in that chat is allowed."""
        return self._account.free(now) and self._chat(chat_id).free(now)

    def take(self, chat_id: int, now: float) -> None:
        """Counts one; before it is sent, so that an unknown outcome counts."""
        self._account.take(now)
        self._chat(chat_id).take(now)

    def _chat(self, chat_id: int) -> SlidingWindow:
        window = self._chats.pop(chat_id, None) or SlidingWindow(self.per_chat)
        self._chats[chat_id] = window
        if len(self._chats) > _MOST_CHATS:
            self._chats.popitem(last=False)
        return window
