"""How long a flood wait counts. Pure."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from services.registry.domain.account import FloodWait

MIN_WAIT = timedelta(seconds=1)
MAX_WAIT = timedelta(days=14)
"""TELEGRAM.md section 2: clamp every wait to 1 s .. 14 days."""

UNKNOWN_METHOD = "*"
_MAX_METHOD = 100


def clamp(wait: FloodWait, seen: datetime, now: datetime) -> FloodWait | None:
    """The wait with its end within 1 s to 14 days after it was seen, or None when it is over. `seen` is the
    reporter's time and may not lie in the future."""
    start = min(seen, now)
    until = min(max(wait.until, start + MIN_WAIT), start + MAX_WAIT)
    method = (
        wait.method if 0 < len(wait.method) <= _MAX_METHOD and wait.method.isprintable() else UNKNOWN_METHOD
    )
    return FloodWait(method, wait.chat_id, until) if until > now else None


def active(waits: Iterable[FloodWait], now: datetime) -> tuple[FloodWait, ...]:
    """Those that still run, the longest last."""
    return tuple(sorted((w for w in waits if w.until > now), key=lambda w: (w.until, w.method, w.chat_id)))


def longest(waits: Iterable[FloodWait]) -> list[FloodWait]:
    """Of several waits for the same method and chat only the longest."""
    best: dict[tuple[str, int], FloodWait] = {}
    for wait in waits:
        key = (wait.method, wait.chat_id)
        if key not in best or wait.until > best[key].until:
            best[key] = wait
    return list(best.values())
