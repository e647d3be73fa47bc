"""Errors of the scheduler's own making that more than one of its modules raises."""

from services.runtime.errors import Unavailable


class LeadershipLostError(Exception):
    """This process leads no more; never leaves the service."""


def not_leader() -> Unavailable:
    """What everybody is told who asks a scheduler that does not lead."""
    return Unavailable(
        "This scheduler does not lead the fleet right now; another one does or will in a moment.",
        reason="NOT_LEADER",
    )
