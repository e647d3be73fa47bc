"""All accounts that transfers may use, and which of them is next (DESIGN section 6, "Which session"). Knows
nothing of shards, workers and databases: it is told what happened and asked who may send.

Times: `now` is monotonic, `wall` is seconds since 1970. Waits run on `now` only; `wall` serves days and
hours.
Unknown account ids are ignored; an account that was asked for and is not known yet is passed over.
"""

from collections.abc import Iterator

from services.scheduler.domain.transfers.choosing import filters
from services.scheduler.domain.transfers.choosing.explaining import explain
from services.scheduler.domain.transfers.choosing.lanes import Lanes
from services.scheduler.domain.transfers.choosing.models import Models
from services.scheduler.domain.transfers.choosing.seats import Question, Seat
from services.scheduler.domain.transfers.choosing.usage import Ledger
from services.scheduler.domain.transfers.choosing.waits import Wait, Waits
from services.scheduler.domain.transfers.choosing.words import Ask, Chosen, Explained, Nobody, PoolAccount
from services.scheduler.domain.transfers.records import ModelRecord, TransferPicture, UsageChange, WaitRecord


class Pool:
    """The accounts. Nothing here waits or raises."""

    def __init__(self, picture: TransferPicture, *, prediction: bool, now: float, wall: float) -> None:
        """Takes up the waits, usage, models and open batches (their reservations) of `picture`; accounts are
        told by `update`. With `prediction` off the order is exactly priority, then least recently used."""
        self._models = Models(picture.models, enabled=prediction, now=now, wall=wall)
        self._ledger = Ledger()
        self._ledger.restore(picture.usage, picture.batches)
        self._waits: dict[str, Waits] = {}
        for record in picture.waits:
            self._waits.setdefault(record.account_id, Waits()).restore(record, now, wall)
        self._holders: dict[str, str] = {}  # also of accounts that nothing was told of yet
        self._seats: dict[str, Seat] = {}
        self._lanes = Lanes()
        self._reset: list[WaitRecord] = []

    def update(self, account: PoolAccount, now: float, wall: float) -> None:
        """An account is new or changed. Its waits count from when they were first shown; a wait that was
        shown and is gone before its time was reset by an operator, and ends."""
        account_id = account.account_id
        waits = self._waits.setdefault(account_id, Waits())
        seat = self._seats.get(account_id)
        if seat is None:
            holder = self._holders.get(account_id, "")
            self._seats[account_id] = Seat(account, waits, self._models.of(account_id), holder)
        else:
            seat.account = account
        for ended in waits.show(account.waits, now, wall):
            self._reset.append(_ended(account_id, ended, wall))
        self._lanes.changed(account_id)

    def remove(self, account_id: str) -> None:
        """An account was deleted. Its counts are kept for the settling of its last batch."""
        self._seats.pop(account_id, None)
        self._waits.pop(account_id, None)
        self._lanes.changed(account_id)

    def wait(
        self, account_id: str, method: str, chat_id: int, seconds: float, *, now: float, wall: float
    ) -> WaitRecord:
        """Telegram told it to wait; of two waits the longer one counts. `chat_id` 0: in all chats
        (FLOOD_WAIT); a chat: SLOWMODE_WAIT. Gives what to commit. Clamped to 1 s .. 14 days."""
        waits = self._waits.setdefault(account_id, Waits())
        record = waits.tell(account_id, method, chat_id, seconds, now=now, wall=wall)
        self._lanes.changed(account_id)
        return record

    def waits_changed(self) -> list[WaitRecord]:
        """Waits that were reset since last asked, with `seconds` 0.0: to be committed."""
        changed, self._reset = self._reset, []
        return changed

    def waiting(self, account_id: str, method: str, chat_id: int, now: float) -> float | None:
        """When its wait for this method and chat ends (monotonic); None when there is none. For reading and
        repeating, which need no choice."""
        waits = self._waits.get(account_id)
        wait = waits.blocking(method, chat_id, now) if waits is not None else None
        return wait.deadline if wait is not None else None

    def note_sent(self, account_id: str, method: str, count: int, now: float, wall: float) -> None:
        """A batch of `count` messages went through just now: it was used, and the prediction learns."""
        self._models.sent(account_id, method, count, now=now, wall=wall)
        if (seat := self._seats.get(account_id)) is not None:
            seat.last_used = now
        self._lanes.changed(account_id)

    def note_unclear(self, account_id: str, method: str) -> None:
        """A call was refused for another reason than a wait, or its answer was lost: the prediction learns
        nothing from the next wait, as nobody knows whether it counted."""
        self._models.blurred(account_id, method)

    def note_flood(
        self, account_id: str, method: str, seconds: float, count: int, *, now: float, wall: float
    ) -> None:
        """A batch of `count` messages was answered FLOOD_WAIT_`seconds`: the prediction learns. `wait`
        blocks."""
        self._models.flooded(account_id, method, seconds, count, now=now, wall=wall)
        self._lanes.changed(account_id)

    def deny(self, transfer_id: str, account_id: str, reason: str) -> None:
        """It cannot read or post for this transfer (`CANNOT_READ`, `CANNOT_POST`)."""
        if (seat := self._seats.get(account_id)) is not None:
            seat.denied[transfer_id] = reason
        self._lanes.changed(account_id)

    def forgive(self, transfer_id: str) -> None:
        """Forgets what was denied: the transfer was resumed, or has ended."""
        for seat in self._seats.values():
            seat.denied.pop(transfer_id, None)
        self._lanes.forget(transfer_id)

    def occupy(self, account_id: str, holder: str) -> bool:
        """Takes it for `holder` (as in `tr_x/1`), also before it is told by `update`: a new leader takes up
        what an earlier one left. False when somebody else has it."""
        if self._holders.setdefault(account_id, holder) != holder:
            return False
        self._hold(account_id, holder)
        return True

    def free(self, account_id: str, holder: str) -> None:
        """Gives it back, if `holder` has it."""
        if self._holders.get(account_id) == holder:
            del self._holders[account_id]
            self._hold(account_id, "")

    def reserve(self, account_id: str, batch_key: str, count: int, wall: float) -> UsageChange:
        """Counts a batch (`usage.key_of`) to the account's day before it is sent; commit it with the intent.
        Once per key: again, it changes nothing. To send it anew with another account, settle it first."""
        seat = self._seats.get(account_id)
        self._lanes.changed(account_id)
        zone = seat.account.time_zone if seat is not None else "UTC"
        return self._ledger.reserve(account_id, batch_key, count, wall, zone)

    def settle(self, batch_key: str, sent: int) -> UsageChange | None:
        """Moves a reservation to `sent` of its messages (0: nothing was sent), on the day it was made for;
        commit it with the result. None when nothing is reserved under that key."""
        change = self._ledger.settle(batch_key, sent)
        if change is not None:
            self._lanes.changed(change.account_id)
        return change

    def choose(self, ask: Ask, now: float, wall: float) -> Chosen | Nobody:
        """The next account, without occupying it."""
        question = self._question(ask, "", now, wall)
        preferred = self._seats.get(ask.prefer) if ask.prefer in ask.account_ids else None
        if preferred is not None and not filters.obstacles(preferred, question):
            return _chosen(preferred, question)
        found = self._lanes.next(ask, self._seats, question)
        return found if isinstance(found, Nobody) else _chosen(found, question)

    def allowance(self, ask: Ask, account_id: str, holder: str, now: float, wall: float) -> int:
        """How many messages the holder of an account may send with it now; 0: give it back. To be asked
        before each batch."""
        seat = self._seats.get(account_id)
        question = self._question(ask, holder, now, wall)
        if seat is None or filters.obstacles(seat, question):
            return 0
        return filters.allowance(seat, question)

    def explain(self, ask: Ask, now: float, wall: float) -> list[Explained]:
        """Every account asked for: the order of choice first, refused ones last."""
        question = self._question(ask, "", now, wall)
        return explain(self._asked(ask), question, ask.prefer)

    def models_changed(self) -> list[ModelRecord]:
        """Models that learned something since last asked: to be committed with the batch's result."""
        return self._models.changed()

    def _hold(self, account_id: str, holder: str) -> None:
        if (seat := self._seats.get(account_id)) is not None:
            seat.holder = holder
        self._lanes.changed(account_id)

    def _asked(self, ask: Ask) -> Iterator[Seat]:
        return (seat for account_id in ask.account_ids if (seat := self._seats.get(account_id)) is not None)

    def _question(self, ask: Ask, holder: str, now: float, wall: float) -> Question:
        return Question(
            ask.transfer_id,
            ask.method,
            ask.chat_id,
            ask.count,
            ask.only_running,
            holder,
            now,
            wall,
            self._ledger,
            ask.also,
        )


def _chosen(seat: Seat, question: Question) -> Chosen:
    return Chosen(seat.account.account_id, filters.allowance(seat, question), seat.account.running)


def _ended(account_id: str, wait: Wait, wall: float) -> WaitRecord:
    return WaitRecord(account_id, wait.method, wait.chat_id, wall, 0.0)
