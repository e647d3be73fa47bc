"""Errors of the scheduler's own making that more than one of its modules raises."""

from services.runtime.errors import (
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    TgfleetError,
    Unavailable,
)
from services.scheduler.domain.transfers.planning import PlanRefused, RefusalKind


class LeadershipLostError(Exception):
    """This process leads no more; never leaves the service."""


def not_leader() -> Unavailable:
    """What everybody is told who asks a scheduler that does not lead."""
    return Unavailable(
        "This scheduler does not lead the fleet right now; another one does or will in a moment.",
        reason="NOT_LEADER",
    )


_KINDS: dict[RefusalKind, type[NotFound] | type[FailedPrecondition] | type[Unavailable]] = {
    RefusalKind.NOT_FOUND: NotFound,
    RefusalKind.FAILED_PRECONDITION: FailedPrecondition,
    RefusalKind.UNAVAILABLE: Unavailable,
}


def refusal(refused: PlanRefused) -> TgfleetError:
    """What is told to somebody whose transfer cannot be."""
    if refused.kind is RefusalKind.INVALID_ARGUMENT:
        return InvalidArgument(refused.sentence, reason=refused.reason, field=refused.field)
    return _KINDS[refused.kind](refused.sentence, reason=refused.reason, field=refused.field or None)
