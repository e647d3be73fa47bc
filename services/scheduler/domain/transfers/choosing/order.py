"""Who goes first among those who may. Knows no reason why somebody may not.

Accounts that run go before those that would have to be started (they are started "when they are needed");
then priority, high first; then predicted budget left; then the one that was used longest ago; and the id, so
that it is always the same one.

Budgets are compared in steps of a fifth: who has about as much left as another takes turns with it, and an
order kept in a heap need not change with every message that comes back.
"""

import math

from services.scheduler.domain.transfers.choosing.budget import Budget
from services.scheduler.domain.transfers.choosing.seats import Seat

STEP = math.log(1.2)
NO_STEP = 1_000  # nothing is predicted: as if endless

Rank = tuple[bool, int, int, float, str]


def rank(seat: Seat, method: str, now: float) -> Rank:
    """Compares accounts: the smallest is next."""
    account, budget = seat.account, seat.budgets.get(method)
    step = NO_STEP if budget is None else step_of(budget, now)
    return (not account.running, -account.priority, -step, seat.last_used, account.account_id)


def step_of(budget: Budget, now: float) -> int:
    """The step that the budget is on."""
    left = budget.left(now)
    return NO_STEP if left is None else int(math.log1p(max(0.0, left)) / STEP)


def next_step(budget: Budget, now: float) -> float | None:
    """When it will be on a higher step (monotonic), None when never."""
    step = step_of(budget, now)
    return None if step == NO_STEP else budget.left_at(math.expm1((step + 1) * STEP), now)
