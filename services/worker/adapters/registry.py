"""The registry port over gRPC. One channel over all registries: a call that fails goes to another one when
repeated."""

from collections.abc import Sequence

import grpc

from services.runtime.calls import unary
from services.worker import wire_registry as wire
from services.worker.domain.facts import Fact
from services.worker.ports import Acquired, Held, Release, Wanted
from tgfleet.registry.v1 import registry_pb2, registry_pb2_grpc


class GrpcRegistry:
    """See `ports.Registry`."""

    def __init__(self, channel: grpc.aio.Channel, worker_id: str, incarnation: str) -> None:
        self._stub = registry_pb2_grpc.RegistryServiceStub(channel)
        self._worker_id = worker_id
        self._incarnation = incarnation

    async def acquire(
        self, request_id: str, wanted: Sequence[Wanted], held: Sequence[Held], limit: float
    ) -> Acquired:
        """See the port."""
        request = wire.acquire_request(self._worker_id, self._incarnation, request_id, wanted, held)
        return wire.acquired(await unary(self._stub.AcquireSessions, request, timeout=limit))

    async def renew(self, lease_ids: Sequence[int], limit: float) -> dict[int, bool]:
        """See the port."""
        request = registry_pb2.RenewLeasesRequest(
            worker_id=self._worker_id, incarnation=self._incarnation, lease_ids=lease_ids
        )
        answer = await unary(self._stub.RenewLeases, request, timeout=limit)
        return {status.lease_id: status.held for status in answer.leases}

    async def release(self, releases: Sequence[Release], limit: float) -> list[bool]:
        """See the port."""
        request = registry_pb2.ReleaseSessionsRequest(
            worker_id=self._worker_id,
            incarnation=self._incarnation,
            releases=[wire.release(one) for one in releases],
        )
        return list((await unary(self._stub.ReleaseSessions, request, timeout=limit)).released)

    async def report_facts(self, facts: Sequence[Fact], limit: float) -> None:
        """See the port."""
        request = registry_pb2.ReportFactsRequest(
            facts=[wire.fact(one, self._worker_id, self._incarnation) for one in facts]
        )
        await unary(self._stub.ReportFacts, request, timeout=limit)
