"""How many links a worker makes anew a second, whatever becomes of them: a data centre that comes back meets
a queue, not a storm. Pure: `now` is an argument, the caller sleeps."""


class Pace:
    """Hands out turns: up to `burst` at once after a quiet time, then `rate` a second. A virtual schedule
    (GCRA, ITU-T I.371): turn n is due one interval after turn n - 1, never in the past."""

    def __init__(self, rate: float, burst: int) -> None:
        """`rate` in turns a second; 0 for no limit."""
        self._interval = 1 / rate if rate else 0.0
        self._slack = self._interval * max(0, burst - 1)
        self._due = float("-inf")

    def turn(self, now: float) -> float:
        """Takes the next turn; seconds to wait for it."""
        self._due = max(self._due, now)
        pause = max(0.0, self._due - self._slack - now)
        self._due += self._interval
        return pause
