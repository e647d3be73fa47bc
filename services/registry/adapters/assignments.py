"""The scheduler's signed word on which worker may acquire which accounts. Only with TLS between services.

So a worker's certificate alone opens no session: the scheduler, and only it, assigns. Kept in memory is only
the highest term seen, so that a leader that was replaced can assign nothing any more.
"""

from collections.abc import Sequence
from datetime import UTC

from google.protobuf.message import DecodeError

from services.runtime.clock import Clock
from services.runtime.errors import PermissionDenied
from services.runtime.logs import get_logger
from services.runtime.signatures import verify
from services.runtime.tls import Certificates
from tgfleet.worker.v1 import worker_pb2

_log = get_logger("registry.assignments")


class SignedAssignments:
    """Implements ports.Assignments."""

    def __init__(self, certificates: Certificates, clock: Clock) -> None:
        self._certificates = certificates
        self._clock = clock
        self._term = 0

    def assigned(self, worker_id: str, signed: Sequence[bytes]) -> frozenset[str]:
        """The accounts that these assignments give this worker. One that is forged, another worker's, too old
        or of a leader that was replaced gives none."""
        accounts: set[str] = set()
        for one in signed:
            try:
                accounts.update(self._accounts(worker_id, one))
            except PermissionDenied as error:
                what = {"worker_id": worker_id, "reason": error.reason, "detail": error.message}
                _log.warning("an assignment is not good", **what)
        return frozenset(accounts)

    def _accounts(self, worker_id: str, signed: bytes) -> Sequence[str]:
        """Raises PermissionDenied with the reason why it gives nothing."""
        now = self._clock.wall()
        try:
            outer = worker_pb2.SignedAssignment.FromString(signed)
            said = worker_pb2.Assignment.FromString(outer.assignment)
        except DecodeError as error:
            raise PermissionDenied("It is no assignment.", reason="BAD_SIGNATURE") from error
        roots = self._certificates.refresh().roots or b""
        signer = verify(roots, outer.certificate, outer.assignment, outer.signature, now)
        if signer.service != "scheduler":
            raise PermissionDenied(f"Only a scheduler assigns, not {signer}.", reason="NOT_A_SCHEDULER")
        if said.worker_id != worker_id:
            raise PermissionDenied(f"It is worker {said.worker_id}'s.", reason="NOT_YOUR_ASSIGNMENT")
        if said.expire_time.ToDatetime(UTC) <= now:
            raise PermissionDenied("It has expired; do the machines' clocks agree?", reason="EXPIRED")
        if said.term < self._term:
            raise PermissionDenied("Another leader has taken over since.", reason="STALE_TERM")
        self._term = said.term
        return said.account_ids
