"""One account as the pool keeps it, and the moment and question it is judged by. Plain data."""

from dataclasses import dataclass, field

from services.scheduler.domain.transfers.choosing.budget import Budget
from services.scheduler.domain.transfers.choosing.usage import Ledger
from services.scheduler.domain.transfers.choosing.waits import Waits
from services.scheduler.domain.transfers.choosing.words import PoolAccount

NEVER = float("-inf")


@dataclass(slots=True)
class Seat:
    """An account: what was told of it, and what happened with it. `denied`: by transfer, the reason."""

    account: PoolAccount
    waits: Waits
    budgets: dict[str, Budget]
    holder: str = ""
    last_used: float = NEVER
    denied: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Question:
    """What the filters go by: whose messages, with which method into which chat, how many at least, and by
    whom it is asked (`holder`, who is not stopped by holding the account already). `also` as in Ask."""

    transfer_id: str
    method: str
    chat_id: int
    count: int
    only_running: bool
    holder: str
    now: float
    wall: float
    ledger: Ledger
    also: tuple[str, ...] = ()

    def wake(self, until: float) -> float:
        """A time of day on the monotonic clock."""
        return self.now + max(0.0, until - self.wall)

    def until(self, wake: float) -> float:
        """The other way round."""
        return self.wall + (wake - self.now)
