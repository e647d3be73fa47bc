"""Owns the core of transfers for one term, beside the fleet's driver and in its loop: tells it what changed
of accounts and workers, and carries out its commands. It never decides.

Whether this process still leads is compared by the fleet's driver before each round: an order of a leader
that was frozen meanwhile does not go out, and workers refuse its term.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from services.scheduler import transfer_figures as figures
from services.scheduler.committing import Committer
from services.scheduler.domain import events as fleet_events
from services.scheduler.domain.accounts import Entry
from services.scheduler.domain.fleet import Fleet
from services.scheduler.domain.lending import account_view
from services.scheduler.domain.transfers import commands as c
from services.scheduler.domain.transfers import events as e
from services.scheduler.domain.transfers.core import TransferCore
from services.scheduler.domain.transfers.records import Changes, LendingChange
from services.scheduler.domain.workers import Presence, Worker
from services.scheduler.inspecting import PREFIX, Inspections
from services.scheduler.metrics import ANSWERS
from services.scheduler.signals import Signals
from services.scheduler.streams import Streams
from services.scheduler.transfer_outbox import ToWorker, TransferOutbox

_COUNT_PERIOD = 1.0
"""Seconds between two counts of all transfers for the metrics."""

Tell = Callable[[fleet_events.Event | e.Event], None]


class _Standing(NamedTuple):
    """What of a worker makes a difference to transfers."""

    incarnation: str
    attachment: int  # 0: no stream
    takes_new: bool
    lost: bool


_UNHEARD = _Standing("", 0, takes_new=False, lost=False)


class TransferDriver:
    """Makes use of the fleet's streams and signals; `tell` queues an event with the fleet's driver."""

    def __init__(
        self,
        core: TransferCore,
        fleet: Fleet,
        committer: Committer,
        *,
        streams: Streams,
        signals: Signals,
        tell: Tell,
    ) -> None:
        self.core = core
        self.inspections = Inspections(self._now_to_worker)
        self._fleet = fleet
        self._committer = committer
        self._signals = signals
        self._tell = tell
        self._in_flight: dict[int, Sequence[str]] = {}
        self._standings: dict[str, _Standing] = {}
        self._views: dict[str, e.AccountView] = {}
        self._accounts: set[str] = set()
        self._unlendable = set(fleet.accounts.unlendable)
        self._starts_stopped = ""
        self._fresh: set[str] = set()
        self._outbox = TransferOutbox(streams, fleet.term)
        self._committing = 0
        self._now = 0.0
        self._changed = True
        self._counted_at = float("-inf")
        self._carry = self._table()
        for transfer in core.transfers.values():
            self._take_interest(transfer.record.spec.account_ids)

    @property
    def next_due(self) -> float | None:
        """When a round is needed at the latest."""
        dues = (self.core.next_due, self._outbox.next_due)
        return min((due for due in dues if due is not None), default=None)

    def hello(self, attachment: int, order_ids: Iterable[str]) -> None:
        """What a worker's Hello on that stream says is being carried out; before the fleet's core hears of
        it."""
        self._in_flight[attachment] = [one for one in order_ids if not one.startswith(PREFIX)]

    def stream_ended(self, attachment: int) -> None:
        """Whether the fleet's core ever took notice of that stream or not."""
        self._in_flight.pop(attachment, None)

    def apply(self, event: e.Event, now: float, wall: float) -> None:
        """One event, after all that the fleet's core has taken in before it."""
        self._now = now
        if isinstance(event, e.TransferCreated):
            self._take_interest(event.record.spec.account_ids)
        self._sync(now, wall)
        if isinstance(event, e.Answered):
            ANSWERS.labels(type(event.answer.answer).__name__).inc()
            if self.inspections.answered(event):
                return
        self.core.apply(event, now, wall)

    def round(self, now: float, wall: float) -> None:
        """Tells the core what changed in the fleet, and does what it wants done."""
        self._now = now
        self._sync(now, wall)
        due = self.core.next_due
        if due is not None and due <= now:
            self.core.apply(e.Tick(), now, wall)
        commands = self.core.take()
        for command in commands:
            if isinstance(command, c.Commit):
                self._commit(command)
        for command in commands:
            self._carry[type(command)](command)
        self._outbox.flush(now)
        if self._changed and now - self._counted_at >= _COUNT_PERIOD:
            self._changed, self._counted_at = False, now
            figures.count_transfers(self.core.transfers.values())

    def _take_interest(self, account_ids: Iterable[str]) -> None:
        """From now on the core is told of these accounts; of all others it knows nothing."""
        new = set(account_ids) - self._accounts
        self._accounts |= new
        self._fresh |= new

    def _sync(self, now: float, wall: float) -> None:
        touched = self._fleet.accounts.touched
        changed = {entry.account_id: entry for entry in touched if entry.account_id in self._accounts}
        touched.clear()
        for worker in self._fleet.workers:
            standing = _standing(worker)
            before = self._standings.get(worker.worker_id, _UNHEARD)
            if standing != before:
                self._standings[worker.worker_id] = standing
                self._tell_of_worker(worker.worker_id, before, standing, now, wall)
                changed |= {key: one for key, one in worker.entries.items() if key in self._accounts}
        if self._fleet.starts_stopped != self._starts_stopped:
            self._starts_stopped = self._fleet.starts_stopped
            self._fresh |= self._accounts
        for account_id in self._fresh:
            entry = self._fleet.accounts.get(account_id)
            if entry is not None:
                changed[account_id] = entry
        self._fresh.clear()
        for entry in changed.values():
            self._tell_of_account(entry, now, wall)
        lending = [
            LendingChange(entry.account_id, entry.lendable)
            for entry in changed.values()
            if entry.lendable == (entry.account_id in self._unlendable)
        ]
        if lending:
            self._unlendable ^= {one.account_id for one in lending}
            self._committer.submit(Changes(lending=lending), lambda: None)

    def _tell_of_worker(
        self, worker_id: str, before: _Standing, after: _Standing, now: float, wall: float
    ) -> None:
        replaced = bool(before.incarnation) and before.incarnation != after.incarnation
        ended = before.attachment and before.attachment != after.attachment
        if ended:
            self.inspections.detached(before.attachment)
        if (after.lost and not before.lost) or (replaced and not before.lost):
            self.core.apply(e.Detached(worker_id, lost=True), now, wall)
        elif ended:
            self.core.apply(e.Detached(worker_id, lost=False), now, wall)
        if after.attachment and after.attachment != before.attachment:
            order_ids = self._in_flight.pop(after.attachment, ())
            attached = e.Attached(worker_id, after.incarnation, after.attachment, order_ids)
            self.core.apply(attached, now, wall)

    def _tell_of_account(self, entry: Entry, now: float, wall: float) -> None:
        if entry.deleted:
            if self._views.pop(entry.account_id, None) is not None:
                self.core.apply(e.AccountGone(entry.account_id), now, wall)
            return
        view = account_view(self._fleet, entry)
        if self._views.get(entry.account_id) != view:
            self._views[entry.account_id] = view
            self.core.apply(e.AccountChanged(view), now, wall)

    def _table(self) -> dict[type[Any], Callable[[Any], None]]:
        tell = self._tell
        return {
            **dict.fromkeys((c.GiveOrders, c.Acknowledge, c.CancelOrders), self._to_worker),
            c.Commit: lambda _: None,  # on its way already
            c.Borrow: lambda command: tell(fleet_events.Borrowed(command.account_id)),
            c.GiveBack: lambda command: tell(fleet_events.GivenBack(command.account_id)),
            c.TransferChanged: self._transfer_changed,
        }

    def _commit(self, command: c.Commit) -> None:
        figures.count_commit(command.changes)
        self._committing += 1
        self._committer.submit(command.changes, lambda: self._committed(command.commit_id))

    def _committed(self, commit_id: int) -> None:
        self._committing -= 1
        self._tell(e.Committed(commit_id))

    def _transfer_changed(self, command: c.TransferChanged) -> None:
        self._changed = True
        self._signals.changed(transfer_signal(command.transfer_id))

    def _to_worker(self, command: ToWorker) -> None:
        self._outbox.add(command, self._now, committing=self._committing > 0)

    def _now_to_worker(self, command: ToWorker) -> None:
        self._to_worker(command)
        self._outbox.flush(self._now)


def transfer_signal(transfer_id: str) -> str:
    """The signal that a transfer has news."""
    return f"transfer {transfer_id}"


def _standing(worker: Worker) -> _Standing:
    attachment = worker.attachment if worker.attached else 0
    return _Standing(worker.incarnation, attachment, worker.takes_new, lost=worker.presence is Presence.LOST)
