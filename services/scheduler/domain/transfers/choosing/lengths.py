"""Lengths of time for people."""

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
