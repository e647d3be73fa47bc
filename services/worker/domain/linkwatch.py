"""Judges a client from what its link shows, instead of trusting what the client believes (TELEGRAM.md section
3)."""

from services.worker.domain.telegram import LinkCause, LinkFacts

CLEAN_WITHIN = 5.0
"""Seconds: a stop is clean only if the link answered within them (DESIGN section 3)."""


def diagnose(facts: LinkFacts, longest_silence: float) -> LinkCause | None:
    """Why the link must be made anew, or None when it is well. `longest_silence` in seconds without any
    answer."""
    if not facts.receiving:
        return LinkCause.DEAF
    if not facts.started or facts.open_sockets == 0:
        return LinkCause.LINK_CLOSED
    if facts.answered_ago is None or facts.answered_ago > longest_silence:
        return LinkCause.PING_TIMEOUT
    return None


def stopped_cleanly(before: LinkFacts | None, after: LinkFacts | None, *, used: bool) -> bool:
    """Whether Telegram surely regards the session as unused. `before` the close, `after` it; `used` says
    whether a byte was ever sent under this grant: without one there is nothing that Telegram would have to
    notice."""
    if not used:
        return True
    if before is None or after is None:
        return False
    answered = before.answered_ago is not None and before.answered_ago <= CLEAN_WITHIN
    return answered and not before.cut and before.calls_in_flight == 0 and after.open_sockets == 0
