"""The waits that Telegram imposed on one account. Knows no account and no transfer.

In a living process a wait ends by the monotonic clock: whatever the time of day does, nothing wakes early.
The registry shows waits with their end as a time of day; each is turned into monotonic time once, when it is
first shown, and a wait that was told with a batch's answer and is then shown by the registry is one wait.

An operator's reset is seen as a wait that the registry showed and shows no more although its time has not
come. It ends what was shown, and our own copy of it; a longer wait that the registry never showed stays.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from services.scheduler.domain.model import Flood
from services.scheduler.domain.transfers.records import WaitRecord

MIN_SECONDS = 1.0
MAX_SECONDS = 14 * 86_400.0
"""TELEGRAM.md section 2: clamp every wait to 1 s .. 14 days."""

EVERYTHING = "*"
_SAME = 5.0
"""Two ends that are no further apart (seconds) are the same wait, told by two clocks or with a delay."""

_Key = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Wait:
    """One wait: its end on the monotonic clock, and as the time of day that was told."""

    method: str
    chat_id: int
    deadline: float
    until: float


@dataclass(slots=True)
class Waits:
    """By method and chat; chat 0 counts for all chats, method `*` for all methods."""

    _waits: dict[_Key, Wait] = field(default_factory=dict)
    _shown: dict[_Key, float] = field(default_factory=dict)

    def tell(
        self, account_id: str, method: str, chat_id: int, seconds: float, *, now: float, wall: float
    ) -> WaitRecord:
        """A batch's answer told it. Gives what to keep; of two waits the longer one counts."""
        seconds = min(max(seconds, MIN_SECONDS), MAX_SECONDS)
        self._add(Wait(method, chat_id, now + seconds, wall + seconds))
        return WaitRecord(account_id, method, chat_id, wall + seconds, seconds)

    def restore(self, record: WaitRecord, now: float, wall: float) -> None:
        """After a restart at most the seconds first told remain, whatever the time of day says."""
        remaining = min(record.until - wall, record.seconds, MAX_SECONDS)
        if remaining > 0:
            self._add(Wait(record.method, record.chat_id, now + remaining, record.until))

    def show(self, floods: Iterable[Flood], now: float, wall: float) -> list[Wait]:
        """All that the registry shows now. Gives those that an operator reset."""
        shown = {_key(flood.method, flood.chat_id): flood for flood in floods}
        gone = [key for key in self._shown if key not in shown]
        ended = [wait for key in gone if (wait := self._reset(key, now, wall)) is not None]
        for key, flood in shown.items():
            if self._shown.get(key) != flood.until:
                self._shown[key] = flood.until
                self._take(key, flood, now, wall)
        return ended

    def blocking(self, method: str, chat_id: int, now: float) -> Wait | None:
        """The wait that blocks this method in this chat longest, or None."""
        if not self._waits:
            return None
        methods, chats = {method.lower(), EVERYTHING}, {0, chat_id}
        found = [self._waits.get((m, chat)) for m in methods for chat in chats]
        running = [wait for wait in found if wait is not None and wait.deadline > now]
        return max(running, key=lambda wait: wait.deadline, default=None)

    def _add(self, wait: Wait) -> None:
        key = _key(wait.method, wait.chat_id)
        if key not in self._waits or wait.deadline > self._waits[key].deadline:
            self._waits[key] = wait

    def _take(self, key: _Key, flood: Flood, now: float, wall: float) -> None:
        known = self._waits.get(key)
        if known is not None and abs(known.until - flood.until) <= _SAME:
            return
        remaining = min(flood.until - wall, MAX_SECONDS)
        if remaining > 0:
            self._add(Wait(flood.method, flood.chat_id, now + remaining, flood.until))

    def _reset(self, key: _Key, now: float, wall: float) -> Wait | None:
        until = self._shown.pop(key)
        known = self._waits.get(key)
        if until <= wall or known is None or known.deadline <= now or known.until > until + _SAME:
            return None
        return self._waits.pop(key)


def _key(method: str, chat_id: int) -> _Key:
    return method.lower(), chat_id
