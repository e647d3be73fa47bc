"""All accounts that transfers may use, and which of them is next (DESIGN section 6, "Which session"). Knows
nothing of shards, batches, workers and databases: it is told what happened and asked who may send.

Times: `now` is monotonic, `wall` is seconds since 1970. Waits run on `now` only; `wall` serves days and hours.
Unknown account ids are ignored, or refused as `UNKNOWN_ACCOUNT`.
"""

from services.scheduler.domain.transfers.choosing.words import Ask, Chosen, Explained, Nobody, PoolAccount
from services.scheduler.domain.transfers.records import ModelRecord, TransferPicture, UsageChange, WaitRecord


class Pool:
    """The accounts. Every method is idempotent where it can be; none of them waits or raises."""

    def __init__(self, picture: TransferPicture, *, prediction: bool, now: float, wall: float) -> None:
        """Takes up the waits, usage, models and open batches (their reservations) of `picture`; accounts are told
        by `update`. With `prediction` off the order is exactly priority, then least recently used."""

    def update(self, account: PoolAccount, now: float, wall: float) -> None:
        """An account is new or changed. Its waits count from when they were first shown; a wait that was shown
        and is gone before its time was reset by an operator, and ends."""
        raise NotImplementedError

    def remove(self, account_id: str) -> None:
        """An account was deleted. Its usage and model are kept for the settling of its last batch."""
        raise NotImplementedError

    def wait(
        self, account_id: str, method: str, chat_id: int, seconds: float, now: float, wall: float
    ) -> WaitRecord:
        """Telegram told it to wait; of two waits the longer one counts. `chat_id` 0: in all chats (FLOOD_WAIT);
        a chat: SLOWMODE_WAIT. Gives what to commit. Clamped to 1 s .. 14 days."""
        raise NotImplementedError

    def waits_changed(self) -> list[WaitRecord]:
        """Waits that ended before their time (reset) since last asked, with `seconds` 0.0: to be committed."""
        raise NotImplementedError

    def waiting(self, account_id: str, method: str, chat_id: int, now: float) -> float | None:
        """When its wait for this method and chat ends (monotonic); None when there is none. For reading and
        repeating, which need no choice."""
        raise NotImplementedError

    def note_sent(self, account_id: str, method: str, count: int, now: float, wall: float) -> None:
        """A batch of `count` messages went through just now: it was used, and the prediction learns."""
        raise NotImplementedError

    def note_flood(
        self, account_id: str, method: str, seconds: float, count: int, now: float, wall: float
    ) -> None:
        """A batch of `count` messages was answered FLOOD_WAIT_`seconds`: the prediction learns. `wait` blocks."""
        raise NotImplementedError

    def deny(self, transfer_id: str, account_id: str, reason: str) -> None:
        """It cannot read or post for this transfer (`CANNOT_READ`, `CANNOT_POST`)."""
        raise NotImplementedError

    def forgive(self, transfer_id: str) -> None:
        """Forgets what was denied: the transfer was resumed, or has ended."""
        raise NotImplementedError

    def occupy(self, account_id: str, holder: str) -> bool:
        """Takes it for `holder` (as in `tr_x/1`). False when somebody else has it."""
        raise NotImplementedError

    def free(self, account_id: str, holder: str) -> None:
        """Gives it back, if `holder` has it."""
        raise NotImplementedError

    def reserve(self, account_id: str, batch_key: str, count: int, wall: float) -> UsageChange:
        """Counts a batch (`tr_x/1/7`) to the account's day before it is sent; commit it with the intent. Once
        per key: again, it changes nothing."""
        raise NotImplementedError

    def settle(self, batch_key: str, sent: int, wall: float) -> UsageChange | None:
        """Moves a reservation to `sent` of its messages (0: nothing was sent), on the day it was made for; commit
        it with the result. None when nothing is reserved under that key."""
        raise NotImplementedError

    def choose(self, ask: Ask, now: float, wall: float) -> Chosen | Nobody:
        """The next account, without occupying it. Accounts that run go before ones that must be started."""
        raise NotImplementedError

    def allowance(self, ask: Ask, account_id: str, holder: str, now: float, wall: float) -> int:
        """How many messages the holder of an account may send with it now; 0: give it back. To be asked before
        each batch."""
        raise NotImplementedError

    def explain(self, ask: Ask, now: float, wall: float) -> list[Explained]:
        """Every account asked for: the order of choice first, refused ones last."""
        raise NotImplementedError

    def models_changed(self) -> list[ModelRecord]:
        """Models that learned something since last asked: to be committed with the batch's result."""
        raise NotImplementedError
