"""What waits to be told to the scheduler: reports and happenings, coalesced, until a stream takes them.

Only the newest report of a session and command is kept. Reports of sessions that ended are not in a hello, so
those that were sent shortly before a stream broke are told again on the next one.
"""

import asyncio
from collections import deque
from collections.abc import Callable

from services.worker.domain.picture import Happening, SessionReport
from services.worker.domain.states import ENDED

_MOST_HAPPENINGS = 5_000
_TOLD_AGAIN = 15.0
"""Seconds: longer than a broken stream goes unnoticed (keepalive, 10 s)."""


class Outbox:
    """Filled by supervisors, emptied by the stream."""

    def __init__(self, now: Callable[[], float]) -> None:
        """`now`: monotonic seconds."""
        self._now = now
        self._reports: dict[tuple[str, str], SessionReport] = {}
        self._happenings: deque[Happening] = deque(maxlen=_MOST_HAPPENINGS)
        self._told: deque[tuple[float, SessionReport]] = deque()
        self._filled = asyncio.Event()
        self._drained = asyncio.Event()
        self._drained.set()

    def report(self, report: SessionReport) -> None:
        """A session changed."""
        key = (report.account_id, report.command_id)
        self._reports.pop(key, None)
        self._reports[key] = report
        self._mark_filled()

    def happen(self, happening: Happening) -> None:
        """Something to show; the oldest go when nobody listens for long."""
        self._happenings.append(happening)
        self._mark_filled()

    async def wait(self) -> None:
        """Until there is something to take."""
        await self._filled.wait()

    async def drained(self, limit: float) -> bool:
        """Until everything was taken, at most `limit` seconds."""
        try:
            async with asyncio.timeout(limit):
                await self._drained.wait()
        except TimeoutError:
            return False
        return True

    def take(self, most: int) -> tuple[list[SessionReport], list[Happening]]:
        """At most so many of each, oldest first."""
        keys = list(self._reports)[:most]
        reports = [self._reports.pop(key) for key in keys]
        happenings = [self._happenings.popleft() for _ in range(min(most, len(self._happenings)))]
        if not self._reports and not self._happenings:
            self._filled.clear()
        return reports, happenings

    def taken(self, reports: list[SessionReport]) -> None:
        """They went into the stream."""
        now = self._now()
        self._told.extend((now, one) for one in reports if one.state in ENDED)
        while self._told and now - self._told[0][0] > _TOLD_AGAIN:
            self._told.popleft()
        if not self._filled.is_set():
            self._drained.set()

    def put_back(self, reports: list[SessionReport], happenings: list[Happening]) -> None:
        """They could not be sent."""
        newer = self._reports
        self._reports = {(one.account_id, one.command_id): one for one in reports} | newer
        self._happenings.extendleft(reversed(happenings))
        self._mark_filled()

    def tell_again(self) -> None:
        """A new stream: what ended shortly before may not have arrived."""
        since = self._now() - _TOLD_AGAIN
        again = [report for time, report in self._told if time >= since]
        self._told.clear()
        if again:
            self.put_back(again, [])

    def _mark_filled(self) -> None:
        self._filled.set()
        self._drained.clear()
