"""How fast the whole fleet may start: a token bucket over a queue of accounts (DESIGN section 4, "start rate
limited and jittered"). Knows only ids and seconds.
"""

import random
from collections import deque

_MIN_PAUSE = 0.02  # below this, timers cost more than the smoothness is worth


class Pacer:
    """A queue of account ids that lets `rate` a second through, and `burst` at once after a pause. Rate 0:
    no limit."""

    def __init__(self, rate: float, burst: int) -> None:
        self._rate = rate
        self._burst = float(max(1, burst))
        self._tokens = self._burst
        self._filled_at: float | None = None
        self._queue: deque[str] = deque()

    def __len__(self) -> int:
        return len(self._queue)

    def add(self, account_id: str) -> None:
        """Queues an account; whoever takes it out checks whether it still wants to start."""
        self._queue.append(account_id)

    def take(self, now: float) -> str | None:
        """The next account if the rate allows one now. Give the token back with `refund` if it was not
        used."""
        if not self._queue:
            return None
        if self._rate > 0:
            self._fill(now)
            if self._tokens < 1.0:
                return None
            self._tokens -= 1.0
        return self._queue.popleft()

    def refund(self) -> None:
        """An account that was taken did not connect after all."""
        self._tokens = min(self._burst, self._tokens + 1.0)

    def pause(self, rng: random.Random) -> float | None:
        """Seconds until asking again is worth it, jittered; None when nothing is queued."""
        if not self._queue:
            return None
        missing = max(0.0, 1.0 - self._tokens) / self._rate if self._rate > 0 else 0.0
        return max(_MIN_PAUSE, missing) * (1.0 + rng.random() / 2)

    def _fill(self, now: float) -> None:
        if self._filled_at is not None:
            gained = max(0.0, now - self._filled_at) * self._rate
            self._tokens = min(self._burst, self._tokens + gained)
        self._filled_at = now
