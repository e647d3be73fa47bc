"""What the core wants done outside of worker streams: wishes and facts to the registry, known workers to the
database. One task for each, in order, repeating what fails for as long as this process leads.
"""

import asyncio
import random
import uuid
from collections.abc import Callable

from services.runtime.errors import Aborted, TgfleetError
from services.runtime.logs import get_logger
from services.runtime.tasks import backoff
from services.scheduler.domain import commands as c
from services.scheduler.domain import events as e
from services.scheduler.domain.model import KnownWorker
from services.scheduler.errors import LeadershipLostError
from services.scheduler.ports import Leadership, Registry, Store

_log = get_logger("scheduler.outgoing")

_FINAL = frozenset({"INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION", "UNIMPLEMENTED", "INTERNAL"})
_RETRY_BASE = 0.1
_RETRY_CAP = 2.0


class Outgoing:
    """Queues for one term."""

    def __init__(
        self, registry: Registry, store: Store, leadership: Leadership, term: int, rng: random.Random
    ) -> None:
        self._registry = registry
        self._store = store
        self._leadership = leadership
        self._term = term
        self._rng = rng
        self._wishes: asyncio.Queue[c.SetWanted] = asyncio.Queue()
        self._crashes: asyncio.Queue[c.ReportCrashes] = asyncio.Queue()
        self._workers: dict[str, KnownWorker] = {}
        self._workers_changed = asyncio.Event()

    def set_wanted(self, command: c.SetWanted) -> None:
        """Queues a wish. Wishes are recorded in the order in which they were made."""
        self._wishes.put_nowait(command)

    def report_crashes(self, command: c.ReportCrashes) -> None:
        """Queues facts."""
        self._crashes.put_nowait(command)

    def remember(self, command: c.RememberWorker) -> None:
        """Notes a worker to be written; the latest word on each counts."""
        self._workers[command.worker.worker_id] = command.worker
        self._workers_changed.set()

    async def run_wishes(self, tell: Callable[[e.Event], None]) -> None:
        """Records wishes until cancelled; tells the core what became of each."""
        while True:
            command = await self._wishes.get()
            tell(await self._save(command))

    async def run_crashes(self) -> None:
        """Reports crashes until cancelled."""
        while True:
            command = await self._crashes.get()
            fact_ids = [str(uuid.uuid4()) for _ in command.account_ids]
            attempt = 0
            while True:
                try:
                    await self._registry.report_crashes(command, fact_ids)
                    break
                except TgfleetError as error:
                    if error.code in _FINAL:
                        _log.error("the registry refused crash facts", reason=error.reason)
                        break
                attempt = await self._pause(attempt)

    async def run_workers(self) -> None:
        """Writes known workers until cancelled. Raises LeadershipLostError when a newer term has begun."""
        attempt = 0
        while True:
            await self._workers_changed.wait()
            self._workers_changed.clear()
            changed, self._workers = self._workers, {}
            try:
                if not self._leadership.valid():
                    raise LeadershipLostError
                await self._store.remember(self._term, list(changed.values()))
                attempt = 0
            except Aborted as error:
                raise LeadershipLostError from error
            except TgfleetError as error:
                _log.warning("known workers could not be written", reason=error.reason)
                self._workers = {**changed, **self._workers}
                self._workers_changed.set()
                attempt = await self._pause(attempt)

    async def _save(self, command: c.SetWanted) -> e.Event:
        attempt = 0
        while True:
            if not self._leadership.valid():
                raise LeadershipLostError
            try:
                saved = await self._registry.set_wanted(command)
            except TgfleetError as error:
                if error.code in _FINAL:
                    return e.WantedFailed(command.batch, error.message)
                _log.warning("a wish could not be recorded yet", reason=error.reason)
                attempt = await self._pause(attempt)
            else:
                return e.WantedSaved(command.batch, saved.account_ids, saved.revision)

    async def _pause(self, attempt: int) -> int:
        await asyncio.sleep(backoff(attempt + 1, _RETRY_BASE, _RETRY_CAP, self._rng))
        return attempt + 1
