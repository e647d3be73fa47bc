"""Keeps the worker's etcd leases alive and fences what it cannot keep (DESIGN section 3).

A lease may be used until T minus a margin after the last acknowledged renewal was *sent*; the deadline is
measured by the FenceClock and asked by every gate before every byte, so this module's own timers only make
the end visible sooner. It knows nothing of Telegram and nothing of accounts but their number.
"""

import asyncio
from dataclasses import dataclass, field

from services.runtime.clock import FenceClock, Mark
from services.runtime.errors import TgfleetError
from services.runtime.logs import get_logger
from services.runtime.tasks import steadily
from services.worker.domain import fence
from services.worker.gate import Gate
from services.worker.metrics import LEASES_LOST
from services.worker.ports import Held, NewLease, Registry

_log = get_logger("worker.leases")

_LONGEST_NAP = 1.0
_SHORTEST_NAP = 0.005


@dataclass(eq=False, slots=True)
class Lease:
    """One etcd lease of this process."""

    lease_id: int
    ttl: float
    settle: float
    renewed: Mark
    """When the last acknowledged renewal, or the acquisition, was sent."""
    tried: Mark
    """When a renewal was last sent."""
    lost: bool = False
    sessions: int = 0
    """Sessions held on it, those whose release is not acknowledged included."""
    gates: set[Gate] = field(default_factory=set)


class LeaseKeeper:
    """Owns all leases of the process. `run` until cancelled."""

    def __init__(self, registry: Registry, clock: FenceClock, margin: float | None = None) -> None:
        self._registry = registry
        self._clock = clock
        self._margin = margin
        self._leases: dict[int, Lease] = {}
        self._wake_renewal = asyncio.Event()
        self._wake_watch = asyncio.Event()

    def adopt(self, new: NewLease, sent: Mark) -> None:
        """Takes on a lease that an acquisition made; `sent` is when that was first sent."""
        if new.lease_id not in self._leases:
            self._leases[new.lease_id] = Lease(new.lease_id, new.ttl, new.settle, sent, sent)

    def held(self) -> list[Held]:
        """The leases that new sessions may share: one that is empty runs out, so it is soon not worth it."""
        return [
            Held(one.lease_id, one.sessions, one.settle)
            for one in self._leases.values()
            if self.is_open(one) and (one.sessions > 0 or self._clock.elapsed(one.renewed) < one.ttl / 2)
        ]

    def hold(self, lease: Lease) -> Gate:
        """Counts one more session on the lease, which is renewed from now on, and makes its gate."""
        lease.sessions += 1
        gate = Gate(lambda: self.is_open(lease))
        lease.gates.add(gate)
        self._wake_renewal.set()
        self._wake_watch.set()
        return gate

    def find(self, lease_id: int) -> Lease | None:
        """The lease, if it may be used."""
        lease = self._leases.get(lease_id)
        return lease if lease is not None and self.is_open(lease) else None

    def is_open(self, lease: Lease) -> bool:
        """Whether its sessions may be used now."""
        elapsed = self._clock.elapsed(lease.renewed)
        return not lease.lost and fence.is_open(elapsed, lease.ttl, self._margin)

    def settled_in(self, lease: Lease) -> float:
        """Seconds until the lease has surely expired in etcd, were it never renewed again."""
        return max(0.0, lease.ttl + lease.settle - self._clock.elapsed(lease.renewed))

    async def run(self) -> None:
        """Renews and watches until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(steadily(self._renew_forever), name="renew leases")
            group.create_task(steadily(self._watch_forever), name="watch leases")

    async def _renew_forever(self) -> None:
        while True:
            self._lose_overdue()  # before asking: what is over shall not be extended in etcd
            due = [one for one in self._kept() if self._renew_in(one) <= 0]
            if not due:
                seconds = min(map(self._renew_in, self._kept()), default=_LONGEST_NAP)
                await _nap(self._wake_renewal, seconds)
            elif not await self._renew(self._kept()):
                await asyncio.sleep(fence.renew_retry(min(one.ttl for one in due)))

    async def _renew(self, leases: list[Lease]) -> bool:
        """One renewal of all leases; whether it was answered."""
        sent = self._clock.mark()
        for lease in leases:
            lease.tried = sent
        limit = fence.renew_timeout(min(one.ttl for one in leases))
        try:
            answer = await self._registry.renew([one.lease_id for one in leases], limit)
        except TgfleetError as error:
            _log.warning("leases were not renewed", reason=error.reason, detail=error.message)
            for lease in leases:
                lease.tried = lease.renewed  # still due
            return False
        for lease in leases:
            if not answer.get(lease.lease_id):
                self._lose(lease, "the registry no longer knows it")
            elif not self.is_open(lease):  # what is over is over: registries count on it (for_renewal)
                self._lose(lease, "it was renewed too late")
            else:
                lease.renewed = sent
        return True

    async def _watch_forever(self) -> None:
        while True:
            self._lose_overdue()
            for lease in list(self._leases.values()):
                if lease.sessions == 0 or (lease.lost and self.settled_in(lease) == 0):
                    self._forget_if_old(lease)
            await _nap(self._wake_watch, min(map(self._open_for, self._kept()), default=_LONGEST_NAP))

    def _lose_overdue(self) -> None:
        for lease in self._leases.values():
            if not self.is_open(lease):
                self._lose(lease, "it could not be renewed in time")

    def _lose(self, lease: Lease, why: str) -> None:
        """Fences: from this line on nothing of its sessions leaves the process."""
        if lease.lost:
            return
        lease.lost = True
        LEASES_LOST.inc()
        _log.error("lease lost, its sessions are stopped", lease_id=lease.lease_id, detail=why)
        for gate in list(lease.gates):
            gate.close()

    def _forget_if_old(self, lease: Lease) -> None:
        """An empty lease is not renewed any more and runs out by itself."""
        if lease.lost or self._clock.elapsed(lease.renewed) > lease.ttl:
            self._leases.pop(lease.lease_id, None)

    def _kept(self) -> list[Lease]:
        return [one for one in self._leases.values() if not one.lost and one.sessions > 0]

    def _renew_in(self, lease: Lease) -> float:
        return fence.renew_period(lease.ttl) - self._clock.elapsed(lease.tried)

    def _open_for(self, lease: Lease) -> float:
        return fence.allowed(lease.ttl, self._margin) - self._clock.elapsed(lease.renewed)


async def _nap(wake: asyncio.Event, seconds: float) -> None:
    """Sleeps as long as asked, a second at most, or until woken."""
    try:
        async with asyncio.timeout(min(_LONGEST_NAP, max(_SHORTEST_NAP, seconds))):
            await wake.wait()
    except TimeoutError:
        return
    wake.clear()
