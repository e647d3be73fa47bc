"""Virtual time: a calendar of what will happen. Knows nothing of transfers."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from typing import Any


class World:
    """True time, in seconds, and everything that will happen."""

    def __init__(self, rng: random.Random) -> None:
        self.now = 0.0
        self.rng = rng
        self.lines: list[str] = []
        self._order = 0
        self._calendar: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []

    def after(self, delay: float, do: Callable[..., None], *args: Any) -> None:
        """Something happens so much later."""
        self._order += 1
        heapq.heappush(self._calendar, (self.now + delay, self._order, do, args))

    def run(self, until: float, done: Callable[[], bool]) -> bool:
        """Lets things happen until all is done, or time is up (False)."""
        while self._calendar and self._calendar[0][0] <= until:
            if done():
                return True
            when, _, do, args = heapq.heappop(self._calendar)
            self.now = max(self.now, when)
            do(*args)
        return done()

    def note(self, *words: Any) -> None:
        """A line of the history."""
        self.lines.append(" ".join([f"{self.now:10.3f}", *map(str, words)]))

    def chance(self, probability: float) -> bool:
        return self.rng.random() < probability
