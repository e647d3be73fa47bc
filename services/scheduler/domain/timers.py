"""Things to do later, in a heap. Knows no clock: whoever asks says what time it is.

A timer is not taken out when it becomes pointless; whoever handles it looks whether it still means
something. That keeps setting one O(log n) and everything else O(1).
"""

import heapq
from itertools import count
from typing import NamedTuple


class Timer(NamedTuple):
    """What to do (`kind`, a name in core.TIMERS) with what (`key`, and a `stamp` that tells newer from
    older)."""

    due: float
    order: int
    kind: str
    key: str
    stamp: int


class Timers:
    """A heap of timers."""

    def __init__(self) -> None:
        self._heap: list[Timer] = []
        self._order = count()

    def __len__(self) -> int:
        return len(self._heap)

    def set(self, due: float, kind: str, key: str, stamp: int = 0) -> None:
        """Adds a timer; earlier ones for the same thing stay and must be recognised by their stamp."""
        heapq.heappush(self._heap, Timer(due, next(self._order), kind, key, stamp))

    def pop_due(self, now: float) -> Timer | None:
        """The earliest timer that is due, taken out; None when none is."""
        if self._heap and self._heap[0].due <= now:
            return heapq.heappop(self._heap)
        return None

    @property
    def next_due(self) -> float | None:
        """When the earliest timer is due; None when there is none."""
        return self._heap[0].due if self._heap else None
