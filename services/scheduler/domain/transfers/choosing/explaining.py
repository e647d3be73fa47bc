"""Says of each account why it is or is not chosen now. Decides nothing: it asks the filters and the rank that
the choice itself goes by.
"""

from collections.abc import Iterable
from dataclasses import replace

from services.scheduler.domain.transfers.choosing import filters
from services.scheduler.domain.transfers.choosing.order import Rank, rank
from services.scheduler.domain.transfers.choosing.seats import Question, Seat
from services.scheduler.domain.transfers.choosing.words import Explained, Obstacle, Predicted


def explain(seats: Iterable[Seat], question: Question, prefer: str) -> list[Explained]:
    """Those who may in the order of choice, then the others by name. Chosen are those who work on the
    transfer now; while none does, the one who would be the next."""
    judged = [(seat, _obstacles(seat, question)) for seat in seats]
    may = [seat for seat, found in judged if not found]
    may.sort(key=lambda seat: _place(seat, question, prefer))
    ranks = {seat.account.account_id: number for number, seat in enumerate(may, start=1)}
    working = any(_works(seat, question) for seat in may)
    entries = []
    for seat, found in judged:
        number = ranks.get(seat.account.account_id, 0)
        chosen = _works(seat, question) if working else number == 1
        entries.append(_entry(seat, question, chosen=chosen and not found, place=number, found=found))
    return sorted(entries, key=lambda one: (one.rank == 0, one.rank, one.name, one.account_id))


def _works(seat: Seat, question: Question) -> bool:
    return seat.holder.startswith(f"{question.transfer_id}/")


def _obstacles(seat: Seat, question: Question) -> tuple[Obstacle, ...]:
    own = replace(question, holder=seat.holder) if _works(seat, question) else question
    return tuple(filters.obstacles(seat, own))


def _place(seat: Seat, question: Question, prefer: str) -> tuple[bool, bool, Rank]:
    is_preferred = seat.account.account_id == prefer
    return not _works(seat, question), not is_preferred, rank(seat, question.method, question.now)


def _entry(
    seat: Seat, question: Question, *, chosen: bool, place: int, found: tuple[Obstacle, ...]
) -> Explained:
    account = seat.account
    counts = question.ledger.today(account.account_id, question.wall, account.time_zone)
    return Explained(
        account.account_id,
        account.name,
        chosen,
        place,
        found,
        counts.sent,
        account.daily_cap,
        counts.total,
        _predictions(seat, question.now),
    )


def _predictions(seat: Seat, now: float) -> tuple[Predicted, ...]:
    found = (budget.predicted(method, now) for method, budget in sorted(seat.budgets.items()))
    return tuple(one for one in found if one is not None)
