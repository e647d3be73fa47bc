"""An account's day: the calendar day in its own time zone. Pure, but for the zone files that `zoneinfo`
reads."""

import re
from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


def day_of(now: datetime, time_zone: str) -> str:
    """The day as in `2026-11-20`. A zone that this machine lacks counts as UTC."""
    try:
        zone = ZoneInfo(time_zone)
    except (ZoneInfoNotFoundError, ValueError):
        return now.astimezone(UTC).date().isoformat()
    return now.astimezone(zone).date().isoformat()
