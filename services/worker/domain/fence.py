"""The arithmetic of the fence (DESIGN section 3): how long a lease may be used after its last renewal was
sent.

Pure: elapsed seconds are an argument. `services.runtime.clock.FenceClock` measures them.
"""

MARGIN_LIMIT = 2.0
MARGIN_SHARE = 5
RENEWALS_PER_TTL = 3
"""A lease is renewed every T/3."""


def default_margin(ttl: float) -> float:
    """Seconds before T at which use stops: 2 s, or a fifth of a short T."""
    return min(MARGIN_LIMIT, ttl / MARGIN_SHARE)


def allowed(ttl: float, margin: float | None = None) -> float:
    """Seconds of use after the acknowledged renewal was sent."""
    return max(0.0, ttl - (default_margin(ttl) if margin is None else margin))


def is_open(elapsed: float, ttl: float, margin: float | None = None) -> bool:
    """Whether the session may be used, `elapsed` seconds after the last acknowledged renewal was sent."""
    return elapsed < allowed(ttl, margin)


def renew_period(ttl: float) -> float:
    """Seconds between renewals that work."""
    return ttl / RENEWALS_PER_TTL


def renew_timeout(ttl: float) -> float:
    """Seconds that one renewal may take: short, so that several registries can be asked before the
    deadline."""
    return ttl / 6


def renew_retry(ttl: float) -> float:
    """Seconds to pause after a renewal that failed."""
    return min(0.5, ttl / 20)
