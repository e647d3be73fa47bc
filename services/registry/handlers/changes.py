"""The watch on accounts: a snapshot, then what changes, by revision.

This process's own changes wake the watchers at once; those of other registries over the same database are
found by looking at the revision every half second. Nothing is buffered for a slow watcher: it reads what is
new when it is ready.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from datetime import datetime

from services.registry.domain.account import AccountView
from services.registry.domain.days import day_of
from services.registry.ports import Changes, Store, Wishes
from services.runtime.clock import Clock

POLL_SECONDS = 0.5
CHUNK = 500
"""Accounts in one message."""


class ChangeSignal:
    """Wakes everybody who waits, once for each notification."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def notify(self) -> None:
        """Something was committed."""
        self._event.set()
        self._event = asyncio.Event()

    def current(self) -> asyncio.Event:
        """Is set at the next notification. Take it before looking, then look, then wait."""
        return self._event


@dataclass(frozen=True, slots=True)
class Update:
    """One message of the watch. `starts_stopped` is None when it has not changed."""

    accounts: tuple[AccountView, ...]
    deleted: tuple[str, ...]
    snapshot_complete: bool
    starts_stopped: str | None
    revision: int
    wishes: tuple[Wishes, ...] = ()


class AccountWatch:
    """Makes watches. Each has its own position."""

    def __init__(self, store: Store, clock: Clock, signal: ChangeSignal) -> None:
        self._store = store
        self._clock = clock
        self._signal = signal

    async def updates(self, stopping: asyncio.Event) -> AsyncIterator[Update]:
        """The snapshot, then changes, until `stopping`."""
        waiter = self._signal.current()
        changes = await self._changes(-1)
        days = _Days()
        for update in _messages(changes, stopped_before=None, snapshot=True):
            days.note(update.accounts, self._clock.wall())
            yield update
        revision, stopped = changes.flags.revision, changes.flags.starts_stopped
        while not stopping.is_set():
            await _wait(waiter, stopping)
            waiter = self._signal.current()
            for update in await self._days_over(days, revision):
                yield update
            changes = await self._changes(revision)
            if changes.flags.revision <= revision:
                continue
            for update in _messages(changes, stopped_before=stopped, snapshot=False):
                days.note(update.accounts, self._clock.wall())
                yield update
            revision, stopped = changes.flags.revision, changes.flags.starts_stopped

    async def _days_over(self, days: "_Days", revision: int) -> list[Update]:
        """Accounts whose counts of the day are 0 again, although nobody changed them."""
        now = self._clock.wall()
        ended = days.ended(now)
        if not ended:
            return []
        async with self._store.read() as tx:
            views = tuple((await tx.views(ended, now)).values())
        days.note(views, now)
        return [Update(views, (), snapshot_complete=False, starts_stopped=None, revision=revision)]

    async def _changes(self, after: int) -> Changes:
        async with self._store.read() as tx:
            return await tx.changes(after, self._clock.wall())


class _Days:
    """Which accounts were shown with counts of which day."""

    def __init__(self) -> None:
        self._shown: dict[str, tuple[str, str]] = {}

    def note(self, views: Iterable[AccountView], now: datetime) -> None:
        """What a watcher has been told."""
        for view in views:
            if view.received_today or view.answered_today:
                zone = view.account.time_zone
                self._shown[view.account.account_id] = (zone, day_of(now, zone))
            else:
                self._shown.pop(view.account.account_id, None)

    def ended(self, now: datetime) -> list[str]:
        """The accounts whose day is another one by now; each is told once."""
        today = {zone: day_of(now, zone) for zone in {zone for zone, _ in self._shown.values()}}
        found = [i for i, (zone, day) in self._shown.items() if day != today[zone]]
        for account_id in found:
            del self._shown[account_id]
        return found


def _messages(changes: Changes, *, stopped_before: str | None, snapshot: bool) -> list[Update]:
    """The changes in messages of a bearable size; only the last one bears the new revision, as only then all
    is known."""
    stopped = changes.flags.starts_stopped
    news = stopped if snapshot or stopped != stopped_before else None
    accounts = changes.accounts
    parts = [accounts[i : i + CHUNK] for i in range(0, len(accounts), CHUNK)] or [()]
    updates = [
        Update(part, (), snapshot_complete=False, starts_stopped=None, revision=0) for part in parts[:-1]
    ]
    deleted = () if snapshot else changes.deleted
    last = Update(parts[-1], deleted, snapshot, news, changes.flags.revision, changes.wishes)
    return [*updates, last]


async def _wait(waiter: asyncio.Event, stopping: asyncio.Event) -> None:
    """Until a notification, the stop, or the next look."""
    tasks = {asyncio.ensure_future(waiter.wait()), asyncio.ensure_future(stopping.wait())}
    try:
        await asyncio.wait(tasks, timeout=POLL_SECONDS, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
