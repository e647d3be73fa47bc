"""How long to wait before a link is made anew: jittered, growing, so that a returning data centre is not
stormed."""

from services.worker.domain.telegram import LinkCause

FIRST = 0.25
LONGEST = 30.0
"""Seconds."""
_SLOW_CAUSES = {LinkCause.TRANSPORT_429: 5.0, LinkCause.PROXY_FAILED: 1.0, LinkCause.REFUSED: 1.0}


def pause(attempt: int, cause: LinkCause, luck: float) -> float:
    """Seconds before attempt number `attempt` (1 is the first); `luck` in [0, 1) is the jitter: half to all
    of it."""
    first = _SLOW_CAUSES.get(cause, FIRST)
    full = min(LONGEST, first * 2.0 ** min(attempt - 1, 20))
    return full * (0.5 + luck / 2)
