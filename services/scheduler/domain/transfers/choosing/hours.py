"""An account's day and its allowed hours, in its own time zone. Knows no account; reads zone files through
`zoneinfo` only. Times are seconds since 1970.

A zone that this machine lacks counts as UTC. A range that cannot be read is never open: better to send too
little than at an hour that the operator forbade.
"""

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_RANGE = re.compile(r"(\d{1,2}):(\d{2})\s*-\s*(\d{1,2}):(\d{2})")
_DAY_MINUTES = 24 * 60
_AHEAD = 3  # days in which the next opening is looked for: a change of the clock may swallow one

Range = tuple[int, int]
"""Minutes of the day: from the first, until before the second. The second below the first: over midnight."""


@lru_cache(maxsize=1024)
def zone_of(name: str) -> ZoneInfo:
    """The zone of that name, else UTC."""
    try:
        return ZoneInfo(name or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo("UTC")


@lru_cache(maxsize=4096)
def range_of(text: str) -> Range | None:
    """`08:00-22:30` as minutes; equal ends mean all day; None when it is no such thing."""
    found = _RANGE.fullmatch(text.strip())
    if found is None:
        return None
    hour, minute, end_hour, end_minute = (int(part) for part in found.groups())
    start, end = hour * 60 + minute, end_hour * 60 + end_minute
    if minute > 59 or end_minute > 59 or start >= _DAY_MINUTES or end > _DAY_MINUTES:  # noqa: PLR2004
        return None
    return (0, _DAY_MINUTES) if start == end else (start, end)


def day_of(wall: float, time_zone: str) -> str:
    """The calendar day there, as in `2026-11-20`."""
    return _local(wall, time_zone).date().isoformat()


def next_day(wall: float, time_zone: str) -> float:
    """When the next day begins there."""
    return _instant(_local(wall, time_zone).date() + timedelta(days=1), 0, zone_of(time_zone), 0)


def is_open(hours: Sequence[str], wall: float, time_zone: str) -> bool:
    """Whether it is within one of the ranges; without any it always is."""
    if not hours:
        return True
    local = _local(wall, time_zone)
    minute = local.hour * 60 + local.minute
    return any(_within(minute, found) for text in hours if (found := range_of(text)) is not None)


def opens_at(hours: Sequence[str], wall: float, time_zone: str) -> float | None:
    """When the next range opens; None when none ever does. Asked while `is_open` is False."""
    zone, today = zone_of(time_zone), _local(wall, time_zone).date()
    starts = [found[0] for text in hours if (found := range_of(text)) is not None]
    instants = [
        _instant(today + timedelta(days=days), start, zone, fold)
        for days in range(_AHEAD)
        for start in starts
        for fold in (0, 1)
    ]
    instants += [_clock_change(wall + days * 86_400.0, zone) for days in range(_AHEAD)]
    later = (at for at in sorted(instants) if at > wall)
    return next((at for at in later if is_open(hours, at, time_zone)), None)


def _within(minute: int, found: Range) -> bool:
    start, end = found
    return start <= minute < end if start < end else minute >= start or minute < end


def _local(wall: float, time_zone: str) -> datetime:
    return datetime.fromtimestamp(wall, zone_of(time_zone))


def _instant(day: date, minute: int, zone: ZoneInfo, fold: int) -> float:
    """That time of that day; one that the clock skips lies as far behind the skip as it would have before."""
    hour, left = divmod(minute, 60)
    return datetime(day.year, day.month, day.day, hour, left, tzinfo=zone, fold=fold).timestamp()


def _clock_change(wall: float, zone: ZoneInfo) -> float:
    """When the clock there is next put forward or back within a day of `wall`; `wall` itself when it is not.
    A change may open a range without passing its beginning."""

    def offset(at: float) -> timedelta | None:
        return datetime.fromtimestamp(at, UTC).astimezone(zone).utcoffset()

    low, high = int(wall), int(wall) + 86_400
    before = offset(low)
    if offset(high) == before:
        return wall
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if offset(middle) == before else (low, middle)
    return float(high)
