"""Messages received and answered, by the account's own day (its time zone's calendar)."""

from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError


@dataclass(frozen=True, slots=True)
class DayCount:
    """The counts of one day, as in `2026-11-20`."""

    day: str
    received: int = 0
    answered: int = 0


def day_of(now: datetime, time_zone: str) -> str:
    """The account's day; UTC's for a zone that nobody knows."""
    try:
        zone = ZoneInfo(time_zone or "UTC")
    except (ZoneInfoNotFoundError, ValueError):
        zone = ZoneInfo("UTC")
    return now.astimezone(zone).date().isoformat()


class Counter:
    """Counts of one account since the process began; survives stops and starts, which only its owner's life
    ends."""

    def __init__(self) -> None:
        self._today = DayCount("")

    def received(self, day: str) -> DayCount:
        """One more received."""
        today = self._of(day)
        self._today = DayCount(day, today.received + 1, today.answered)
        return self._today

    def answered(self, day: str) -> DayCount:
        """One more answered."""
        today = self._of(day)
        self._today = DayCount(day, today.received, today.answered + 1)
        return self._today

    def _of(self, day: str) -> DayCount:
        return self._today if self._today.day == day else DayCount(day)
