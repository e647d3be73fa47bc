"""How many messages each account sent, in its day and ever, and how many it is about to send. Knows neither
caps nor batches beyond their keys.

A batch is reserved before it is sent and moved to `sent` with its result, each in the batch's own commit, on
the day the reservation was made for: so every message counts once, on one day. The day is the account's; it
never goes back by a single day, so that a clock that is put back over midnight does not open a day again.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date

from services.scheduler.domain.transfers.choosing.hours import day_of
from services.scheduler.domain.transfers.records import BatchRecord, Usage, UsageChange

_SOME_EARLIER_DAY = ""  # before every other; the database adds what is told of it to the total only


@dataclass(slots=True)
class Counts:
    """One account's. `reserved` and `sent` are those of `day`."""

    day: str = ""
    reserved: int = 0
    sent: int = 0
    total: int = 0

    def turn(self, day: str) -> None:
        """It is that day now."""
        if day == self.day or (day < self.day and _days_between(day, self.day) <= 1):
            return
        self.day, self.reserved, self.sent = day, 0, 0

    def taken(self) -> int:
        """What counts against the day's cap."""
        return self.reserved + self.sent


@dataclass(frozen=True, slots=True)
class _Reservation:
    account_id: str
    day: str
    count: int


@dataclass(slots=True)
class Ledger:
    """All accounts' counts, and what is reserved."""

    _counts: dict[str, Counts] = field(default_factory=dict)
    _reserved: dict[str, _Reservation] = field(default_factory=dict)

    def restore(self, usage: Iterable[Usage], batches: Iterable[BatchRecord]) -> None:
        """After a restart: what is in the database. A batch that is not settled holds its reservation. What
        the latest day has reserved belongs to the latest batches; older ones count for the total only."""
        for row in usage:
            self._counts[row.account_id] = Counts(row.day, row.reserved, row.sent, row.total)
        unassigned = {account_id: counts.reserved for account_id, counts in self._counts.items()}
        for batch in sorted(batches, key=lambda batch: -batch.first_sent):
            count, left = len(batch.message_ids), unassigned.get(batch.account_id, 0)
            day = self.of(batch.account_id).day if count <= left else _SOME_EARLIER_DAY
            unassigned[batch.account_id] = left - count if count <= left else left
            key = key_of(batch.transfer_id, batch.shard, batch.batch)
            self._reserved[key] = _Reservation(batch.account_id, day, count)

    def of(self, account_id: str) -> Counts:
        """An account's counts, as of the day that was last turned to."""
        return self._counts.setdefault(account_id, Counts())

    def today(self, account_id: str, wall: float, time_zone: str) -> Counts:
        """An account's counts of the day that it is there."""
        counts = self.of(account_id)
        counts.turn(day_of(wall, time_zone))
        return counts

    def reserve(self, account_id: str, key: str, count: int, wall: float, time_zone: str) -> UsageChange:
        """Counts a batch that is about to be sent, once per key; to send it anew with another account, settle
        the key first."""
        counts = self.today(account_id, wall, time_zone)
        if key in self._reserved:
            return UsageChange(account_id, counts.day)  # changes nothing
        self._reserved[key] = _Reservation(account_id, counts.day, count)
        counts.reserved += count
        return UsageChange(account_id, counts.day, reserved=count)

    def settle(self, key: str, sent: int) -> UsageChange | None:
        """What became of it, on the day that it was reserved for."""
        held = self._reserved.pop(key, None)
        if held is None:
            return None
        counts = self.of(held.account_id)
        counts.total += sent
        if held.day == counts.day:
            counts.reserved -= held.count
            counts.sent += sent
        return UsageChange(held.account_id, held.day, reserved=-held.count, sent=sent)


def key_of(transfer_id: str, shard: int, batch: int) -> str:
    """What a batch's reservation is kept under."""
    return f"{transfer_id}/{shard}/{batch}"


def _days_between(earlier: str, later: str) -> int:
    return (date.fromisoformat(later) - date.fromisoformat(earlier)).days
