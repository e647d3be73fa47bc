"""Hidden rules by which a data centre tells accounts to wait, for experiments in virtual time. Shares no code
with the test data centre or the scheduler.

Every rule answers a call of `count` messages at a time with 0 (all of them went through) or the seconds to
wait (none did), whole seconds as on Telegram. What is drawn by `draw` covers four kinds: a bucket that fills
up, a window that begins anew, a window that slides, and waits that grow from one to the next.
"""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol


class Policy(Protocol):
    """One account's."""

    def call(self, count: int, now: float) -> int:
        """Seconds to wait; 0 when the messages went through."""
        ...


@dataclass
class Bucket:
    """`capacity` messages, `rate` come back a second. `wait`: "exact" (until the call would pass), "full"
    (until the bucket is full), or seconds that are always the same."""

    capacity: float
    rate: float
    wait: str | int = "exact"
    _level: float = -1.0
    _at: float = 0.0

    def call(self, count: int, now: float) -> int:
        if self._level < 0:
            self._level, self._at = self.capacity, now
        self._level = min(self.capacity, self._level + (now - self._at) * self.rate)
        self._at = now
        if self._level >= count:
            self._level -= count
            return 0
        if isinstance(self.wait, int):
            return self.wait
        missing = (count if self.wait == "exact" else self.capacity) - self._level
        return max(1, math.ceil(missing / self.rate))


@dataclass
class Window:
    """`budget` messages in each window of `length` seconds; the windows lie where `phase` puts them.
    `jitter`: each window's budget differs by up to that share."""

    budget: int
    length: float
    phase: float = 0.0
    jitter: float = 0.0
    rng: random.Random = field(default_factory=lambda: random.Random(0))
    _number: int = -1
    _left: float = 0.0

    def call(self, count: int, now: float) -> int:
        number = math.floor((now - self.phase) / self.length)
        if number != self._number:
            self._number = number
            self._left = self.budget * (1 + self.jitter * self.rng.uniform(-1, 1))
        if self._left >= count:
            self._left -= count
            return 0
        return max(1, math.ceil(self.phase + (number + 1) * self.length - now))


@dataclass
class Sliding:
    """`budget` messages in any `length` seconds. `penalty` 0: the wait ends when the call would pass."""

    budget: int
    length: float
    penalty: int = 0
    _sent: deque[tuple[float, int]] = field(default_factory=deque)

    def call(self, count: int, now: float) -> int:
        while self._sent and self._sent[0][0] <= now - self.length:
            self._sent.popleft()
        over = sum(n for _, n in self._sent) + count - self.budget
        if over <= 0:
            self._sent.append((now, count))
            return 0
        if self.penalty:
            return self.penalty
        for at, n in self._sent:
            over -= n
            if over <= 0:
                return max(1, math.ceil(at + self.length - now))
        return max(1, math.ceil(self.length))


@dataclass
class Escalating:
    """Another rule whose waits double with every one that follows within `calm` seconds of the last."""

    inner: Policy
    calm: float
    most: int = 3600
    _factor: int = 1
    _last: float = -math.inf

    def call(self, count: int, now: float) -> int:
        wait = self.inner.call(count, now)
        if not wait:
            return 0
        self._factor = self._factor * 2 if now - self._last < self.calm else 1
        wait = min(wait * self._factor, max(wait, self.most))
        self._last = now + wait
        return wait


KINDS = (
    "bucket",
    "bucket-full",
    "bucket-fixed",
    "window",
    "window-uneven",
    "sliding",
    "sliding-fixed",
    "escalating",
)
"""What `draw` draws from."""


@dataclass(frozen=True, slots=True)
class Hidden:
    """A rule that was drawn; `make` gives each account its own. `period`: seconds until a budget is back."""

    kind: str
    budget: int
    period: float
    make: Callable[[], Policy]


def draw(rng: random.Random, kind: str = "", time_scale: float = 1.0) -> Hidden:
    """One that nobody knows beforehand. `time_scale` shortens its times; budgets stay."""
    kind = kind or rng.choice(KINDS)
    budget, period = rng.randrange(250, 2500), rng.uniform(60, 1800) * time_scale
    rate, fixed = budget / period, max(1, round(rng.uniform(0.1, 1.0) * period))
    phases = random.Random(rng.randrange(2**32))

    def window(jitter: float) -> Window:
        return Window(budget, period, phases.uniform(0, period), jitter, random.Random(phases.random()))

    makers: dict[str, Callable[[], Policy]] = {
        "bucket": lambda: Bucket(budget, rate),
        "bucket-full": lambda: Bucket(budget, rate, "full"),
        "bucket-fixed": lambda: Bucket(budget, rate, fixed),
        "window": lambda: window(0.0),
        "window-uneven": lambda: window(0.1),
        "sliding": lambda: Sliding(budget, period),
        "sliding-fixed": lambda: Sliding(budget, period, fixed),
        "escalating": lambda: Escalating(Bucket(budget, rate), calm=period),
    }
    return Hidden(kind, budget, period, makers[kind])
