"""Tells errors that mean "this leader is gone, ask the next one" from errors that mean "your request is
wrong"."""

from services.runtime.errors import Aborted, Internal, TgfleetError, Unavailable


def is_leader_lost(error: TgfleetError) -> bool:
    """Unavailable and Aborted (a lost term) say so. So does an INTERNAL that no tgfleet service made: a
    connection reset in the middle of a stream."""
    if isinstance(error, Internal):
        return "incident" not in error.metadata
    return isinstance(error, Unavailable | Aborted)
