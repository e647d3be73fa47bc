"""Signs the assignments that workers show the registry, with the key of the scheduler's certificate."""

from collections.abc import Sequence
from datetime import timedelta

from services.runtime.clock import Clock
from services.runtime.signatures import sign
from services.runtime.tls import Certificates
from tgfleet.worker.v1 import worker_pb2

LIFETIME = timedelta(minutes=5)
"""A worker acquires within milliseconds of its command and repeats for half a minute; the rest is for clocks
that differ."""


class Assigner:
    """`assignment` gives what goes into StartSessions.assignment."""

    def __init__(self, certificates: Certificates, clock: Clock) -> None:
        self._certificates = certificates
        self._clock = clock

    def assignment(self, worker_id: str, term: int, account_ids: Sequence[str]) -> bytes:
        """A serialized SignedAssignment."""
        said = worker_pb2.Assignment(worker_id=worker_id, term=term, account_ids=account_ids)
        said.expire_time.FromDatetime(self._clock.wall() + LIFETIME)
        text = said.SerializeToString()
        material = self._certificates.refresh()
        signed = worker_pb2.SignedAssignment(
            assignment=text, signature=sign(material, text), certificate=material.chain
        )
        return signed.SerializeToString()
