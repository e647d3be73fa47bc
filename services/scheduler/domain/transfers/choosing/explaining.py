"""Says of each account why it is or is not chosen now. Decides nothing: it asks the filters and the rank that
the choice itself goes by.
"""

from collections.abc import Iterable

from services.scheduler.domain.transfers.choosing import filters
from services.scheduler.domain.transfers.choosing.order import rank
from services.scheduler.domain.transfers.choosing.seats import Question, Seat
from services.scheduler.domain.transfers.choosing.words import Explained, Obstacle, Predicted


def explain(seats: Iterable[Seat], question: Question, prefer: str) -> list[Explained]:
    """Those who may in the order of choice, then the others by name."""
    judged = [(seat, tuple(filters.obstacles(seat, question))) for seat in seats]
    may = [seat for seat, found in judged if not found]
    may.sort(key=lambda s: (s.account.account_id != prefer, rank(s, question.method, question.now)))
    place = {seat.account.account_id: number for number, seat in enumerate(may, start=1)}

    def entry(seat: Seat, number: int, found: tuple[Obstacle, ...]) -> Explained:
        account = seat.account
        counts = question.ledger.today(account.account_id, question.wall, account.time_zone)
        return Explained(
            account.account_id,
            account.name,
            number == 1,
            number,
            found,
            counts.sent,
            account.daily_cap,
            counts.total,
            _predictions(seat, question.now),
        )

    entries = [entry(seat, place.get(seat.account.account_id, 0), found) for seat, found in judged]
    return sorted(entries, key=lambda one: (one.rank == 0, one.rank, one.name, one.account_id))


def _predictions(seat: Seat, now: float) -> tuple[Predicted, ...]:
    found = (budget.predicted(method, now) for method, budget in sorted(seat.budgets.items()))
    return tuple(one for one in found if one is not None)
