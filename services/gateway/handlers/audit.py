"""Brings audit entries to the registry: in batches, each until it is acknowledged, in the order of their
arrival.

A call waits for its own entry for a moment, so that an answer means, as long as the registry is there, that
the entry is on disk. It does not wait for a registry that is away: the entry stays here and goes out later.
"""

import asyncio
from collections import OrderedDict

from services.gateway.ports import AuditRegistry
from services.runtime.clock import Clock
from services.runtime.errors import DeadlineExceeded, TgfleetError, Unavailable
from services.runtime.logs import get_logger
from services.runtime.metrics import counter
from tgfleet.gateway.v1 import audit_pb2

_log = get_logger("gateway.audit")

_LOST = counter(
    "gateway_audit_entries_lost",
    "Audit entries that were not kept, by reason: FULL, REFUSED, STRANGER, STOPPED.",
    ("reason",),
)

MAX_WAITING = 10_000
"""Entries that wait for the registry; of more, the oldest are lost (and counted)."""
STRANGERS_BURST, STRANGERS_PER_SECOND = 60, 1.0
"""Refused calls without a valid token that leave an entry: anybody can make such calls, and must not be able
to fill the database."""
_BATCH = 500
_WAIT = 1.0
_CALL_LIMIT = 3.0
_PAUSES = (0.1, 0.5, 1.0, 2.0)


class AuditTrail:
    """Takes entries from calls; `run` delivers them until it is cancelled."""

    def __init__(self, registry: AuditRegistry, clock: Clock) -> None:
        self._registry = registry
        self._clock = clock
        self._waiting: OrderedDict[str, tuple[audit_pb2.AuditEntry, asyncio.Event]] = OrderedDict()
        self._filled = asyncio.Event()
        self._failures = 0
        self._allowance, self._allowed_at = float(STRANGERS_BURST), clock.monotonic()

    def put(self, entry: audit_pb2.AuditEntry) -> asyncio.Event:
        """Hands an entry over; the event is set once it is on disk or lost."""
        done = asyncio.Event()
        if not entry.token_name and not self._admits_stranger():
            _LOST.labels("STRANGER").inc()
            done.set()
            return done
        self._waiting[entry.entry_id] = (entry, done)
        if len(self._waiting) > MAX_WAITING:
            self._lose(next(iter(self._waiting)), "FULL")
        self._filled.set()
        return done

    async def record(self, entry: audit_pb2.AuditEntry) -> None:
        """As `put`, and waits a moment until it is on disk, unless the registry is known to be away."""
        done = self.put(entry)
        if self._failures:
            return
        try:
            async with asyncio.timeout(_WAIT):
                await done.wait()
        except TimeoutError:
            _log.warning("an audit entry takes long to be kept; it goes out later", method=entry.method)

    async def run(self) -> None:
        """Delivers until cancelled."""
        while True:
            await self._filled.wait()
            if not await self._deliver():
                await asyncio.sleep(_PAUSES[min(self._failures, len(_PAUSES)) - 1])

    async def close(self) -> None:
        """One last attempt; what cannot be delivered is told."""
        while self._waiting and await self._deliver():
            pass
        for entry_id in list(self._waiting):
            self._lose(entry_id, "STOPPED")

    async def _deliver(self) -> bool:
        """Sends a batch; whether the registry took or refused it."""
        batch = list(self._waiting.values())[:_BATCH]
        try:
            await self._registry.record_audit([entry for entry, _ in batch], _CALL_LIMIT)
        except (Unavailable, DeadlineExceeded) as error:
            self._failures += 1
            if self._failures == 1:
                _log.warning("audit entries wait for the registry", reason=error.reason)
            return False
        except TgfleetError as error:
            _log.error("the registry refuses audit entries", reason=error.reason, count=len(batch))
            for entry, _ in batch:
                self._lose(entry.entry_id, "REFUSED")
        self._failures = 0
        for entry, done in batch:
            self._waiting.pop(entry.entry_id, None)
            done.set()
        if not self._waiting:
            self._filled.clear()
        return True

    def _lose(self, entry_id: str, reason: str) -> None:
        entry, done = self._waiting.pop(entry_id)
        _LOST.labels(reason).inc()
        _log.error("an audit entry is lost", reason=reason, method=entry.method, token=entry.token_name)
        done.set()

    def _admits_stranger(self) -> bool:
        now = self._clock.monotonic()
        gained = (now - self._allowed_at) * STRANGERS_PER_SECOND
        self._allowance = min(float(STRANGERS_BURST), self._allowance + gained)
        self._allowed_at = now
        if self._allowance < 1:
            return False
        self._allowance -= 1
        return True
