"""Writes what transfers commit: one task, in the order in which it was asked for. Whatever waits while one
transaction is on its way to the disk shares the next one.

A database that is away is tried again for as long as this process leads; the number of a commit keeps one
whose answer was lost from counting twice. A newer term ends this one.
"""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass

from services.runtime.errors import Aborted, Unavailable
from services.runtime.logs import get_logger
from services.runtime.tasks import backoff
from services.scheduler.domain.transfers.records import Changes
from services.scheduler.errors import LeadershipLostError, not_leader
from services.scheduler.metrics import COMMIT_SECONDS, COMMITS
from services.scheduler.ports import Leadership, TransferStore

_log = get_logger("scheduler.committing")

_MOST = 2_000
"""Commits that share a transaction, so that none takes seconds."""
_RETRY_BASE = 0.05
_RETRY_CAP = 1.0


@dataclass(frozen=True, slots=True)
class _Waiting:
    changes: Changes
    done: Callable[[], None]


class Committer:
    """The one writer of a term."""

    def __init__(self, store: TransferStore, leadership: Leadership, term: int, rng: random.Random) -> None:
        self._store = store
        self._leadership = leadership
        self._term = term
        self._rng = rng
        self._number = 0
        self._waiting: list[_Waiting] = []
        self._news = asyncio.Event()
        self._callers: set[asyncio.Future[None]] = set()
        self._ended = False

    def submit(self, changes: Changes, done: Callable[[], None]) -> None:
        """Queues a commit; `done` is called once it is on disk, and never when the term ends before."""
        self._waiting.append(_Waiting(changes, done))
        self._news.set()

    async def commit(self, changes: Changes, done: Callable[[], None]) -> None:
        """Returns when it is on disk, after calling `done`, which is called also when the caller has gone
        meanwhile. Raises Unavailable (NOT_LEADER); it may be on disk even then."""
        if self._ended:
            raise not_leader()
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._callers.add(written)
        written.add_done_callback(self._callers.discard)

        def on_disk() -> None:
            done()
            if not written.done():
                written.set_result(None)

        self.submit(changes, on_disk)
        await written

    async def run(self) -> None:
        """Writes until cancelled. Raises LeadershipLostError when the leadership has ended, or a newer term
        has begun."""
        try:
            while True:
                await self._news.wait()
                group, self._waiting = self._waiting[:_MOST], self._waiting[_MOST:]
                if not self._waiting:
                    self._news.clear()
                await self._write(group)
                for one in group:
                    one.done()
        finally:
            self._end()

    async def _write(self, group: list[_Waiting]) -> None:
        self._number += 1
        attempt = 0
        loop = asyncio.get_running_loop()
        began = loop.time()
        while True:
            if not self._leadership.valid():
                raise LeadershipLostError
            try:
                await self._store.commit(self._term, self._number, [one.changes for one in group])
                break
            except Aborted as error:
                raise LeadershipLostError from error
            except Unavailable as error:
                attempt += 1
                _log.warning("transfers could not be written yet", reason=error.reason, attempt=attempt)
            await asyncio.sleep(backoff(attempt, _RETRY_BASE, _RETRY_CAP, self._rng))
        COMMITS.inc(len(group))
        COMMIT_SECONDS.observe(loop.time() - began)

    def _end(self) -> None:
        self._ended = True
        for written in list(self._callers):
            if not written.done():
                written.set_exception(not_leader())
