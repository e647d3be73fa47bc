"""How many messages went where lately: the limit of a target over all accounts and transfers, and the rate
that people see. Counts in slices of time, so that its size does not depend on how much is sent.
"""

from collections import deque
from collections.abc import Iterable

from services.scheduler.domain.transfers.records import TargetCount

MINUTE = 60.0
HOUR = 3600.0
_SLICE = 15.0
_SHOWN = 120.0


class Recent:
    """Messages in slices of time, `span` seconds back; all times by `now`."""

    def __init__(self, span: float = _SHOWN) -> None:
        self._span = span
        self._slices: deque[tuple[float, int]] = deque()  # beginning, messages
        self.total = 0

    def add(self, now: float, count: int) -> None:
        """So many, just now."""
        self._forget(now)
        if self._slices and now - self._slices[-1][0] < _SLICE:
            begin, sum_ = self._slices[-1]
            self._slices[-1] = (begin, sum_ + count)
        else:
            self._slices.append((now, count))
        self.total += count

    def count(self, now: float) -> int:
        """How many in the span."""
        self._forget(now)
        return self.total

    def rate(self, now: float) -> float:
        """Messages a minute."""
        count = self.count(now)
        if not self._slices:
            return 0.0
        return count / max(now - self._slices[0][0], 1.0) * 60.0

    def free_at(self, now: float, room: int) -> float:
        """When no more than `room` of those that count now will still count."""
        self._forget(now)
        left = self.total
        for begin, count in self._slices:
            left -= count
            if left <= room:
                return begin + self._span + _SLICE
        return now

    def _forget(self, now: float) -> None:
        while self._slices and self._slices[0][0] + self._span + _SLICE <= now:
            self.total -= self._slices.popleft()[1]


def counted(target_key: int, count: int, wall: float) -> TargetCount:
    """What to write of it."""
    return TargetCount(target_key, wall - wall % MINUTE, count)


class Windows:
    """The last hour of every target, by its key."""

    def __init__(self) -> None:
        self._targets: dict[int, Recent] = {}

    def room(self, target_key: int, limit: int, now: float) -> int:
        """How many messages may go now; never less than 0."""
        recent = self._targets.get(target_key)
        return max(0, limit - (recent.count(now) if recent is not None else 0))

    def add(self, target_key: int, count: int, now: float) -> None:
        """So many go now."""
        self._targets.setdefault(target_key, Recent(HOUR)).add(now, count)

    def restore(self, counts: Iterable[TargetCount], now: float, wall: float) -> None:
        """What earlier leaders sent. A wall clock that was set back makes it just now."""
        for one in sorted(counts, key=lambda count: count.minute):
            ago = min(max(0.0, wall - one.minute), HOUR)
            self.add(one.target_key, one.count, now - ago)

    def free_at(self, target_key: int, limit: int, count: int, now: float) -> float:
        """When `count` may go."""
        recent = self._targets.get(target_key)
        return now if recent is None else recent.free_at(now, max(0, limit - count))
