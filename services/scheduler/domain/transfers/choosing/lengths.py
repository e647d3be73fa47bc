"""Lengths and points of time for people."""

from datetime import UTC, datetime

_MINUTE, _HOUR, _DAY = 60, 3600, 86_400


def length(seconds: float) -> str:
    """As in `40 s`, `5 min`, `3 h`."""
    if seconds < 2 * _MINUTE:
        return f"{max(1, round(seconds))} s"
    if seconds < 2 * _HOUR:
        return f"{round(seconds / _MINUTE)} min"
    if seconds < 2 * _DAY:
        return f"{round(seconds / _HOUR)} h"
    return f"{round(seconds / _DAY)} days"


def time_of_day(wall: float) -> str:
    """As in `14:03:05 UTC on 21 November`. A sentence that is kept says this: how long it still is, is soon
    no longer true."""
    moment = datetime.fromtimestamp(wall, UTC)
    return f"{moment:%H:%M:%S} UTC on {moment.day} {moment:%B}"
