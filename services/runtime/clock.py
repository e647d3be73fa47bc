"""Clocks that are right about deadlines: a fence must not stand still while a machine is suspended.

* `SystemClock().monotonic()` counts seconds, also those asleep: CLOCK_BOOTTIME on Linux; CLOCK_MONOTONIC_RAW
  on macOS, which is mach_continuous_time there (CLOCK_UPTIME_RAW, Python's time.monotonic(), is the one that
  stops).
* `FenceClock` measures from a mark by the larger of that clock and elapsed wall time (DESIGN section 3: "a
  wrong fence is harmless, a missed one is not")::

      fence = FenceClock(SystemClock())
      mark = fence.mark()                      # before the renewal is *sent*
      if fence.elapsed(mark) >= deadline: ...  # seconds, compared before every write

* `ManualClock` is the fake for tests.
"""

import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

if sys.platform == "darwin":
    _SUSPEND_COUNTING = time.CLOCK_MONOTONIC_RAW
elif hasattr(time, "CLOCK_BOOTTIME"):
    _SUSPEND_COUNTING = time.CLOCK_BOOTTIME
else:
    _SUSPEND_COUNTING = time.CLOCK_MONOTONIC


class Clock(Protocol):
    """Where time comes from."""

    def monotonic(self) -> float:
        """Seconds since some fixed point, never going back, counting on while the machine is suspended."""
        ...

    def wall(self) -> datetime:
        """The time of day in UTC; may jump."""
        ...


class SystemClock:
    """The machine's clocks."""

    def monotonic(self) -> float:
        return time.clock_gettime(_SUSPEND_COUNTING)

    def wall(self) -> datetime:
        return datetime.now(UTC)


class ManualClock:
    """A clock that only moves when told. `advance` moves both hands, `jump_wall` only one."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._monotonic = 1000.0
        self._wall = start

    def monotonic(self) -> float:
        return self._monotonic

    def wall(self) -> datetime:
        return self._wall

    def advance(self, seconds: float) -> None:
        """Time passes as usual."""
        self._monotonic += seconds
        self._wall += timedelta(seconds=seconds)

    def jump_wall(self, seconds: float) -> None:
        """Somebody sets the time of day, or the monotonic clock missed a pause of that many seconds."""
        self._wall += timedelta(seconds=seconds)


@dataclass(frozen=True, slots=True)
class Mark:
    """A point in time on both clocks."""

    monotonic: float
    wall: float


class FenceClock:
    """Elapsed time that is never too short: the larger of two clocks' opinions."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def mark(self) -> Mark:
        """Now."""
        return Mark(self._clock.monotonic(), self._clock.wall().timestamp())

    def elapsed(self, since: Mark) -> float:
        """Seconds since the mark; a wall clock set back does not shorten it."""
        now = self.mark()
        return max(now.monotonic - since.monotonic, now.wall - since.wall)
