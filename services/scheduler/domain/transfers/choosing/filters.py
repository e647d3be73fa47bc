"""Who may send now: small filters, each able to say why it refused and until when (swarmkit's pipeline,
DESIGN section 6 "Which session"). Knows no order among those who may.

A filter gives None, or the obstacle it sees. One without `wake` ends only by something from outside.
"""

from collections.abc import Callable

from services.scheduler.domain.sentences import clock
from services.scheduler.domain.transfers.choosing import hours
from services.scheduler.domain.transfers.choosing.budget import UNLIMITED
from services.scheduler.domain.transfers.choosing.seats import Question, Seat
from services.scheduler.domain.transfers.choosing.words import Obstacle

Filter = Callable[[Seat, Question], Obstacle | None]


def enabled(seat: Seat, _: Question) -> Obstacle | None:
    """An operator allows it to be used."""
    return None if seat.account.enabled else Obstacle("DISABLED", "It is disabled.")


def running_or_startable(seat: Seat, question: Question) -> Obstacle | None:
    """It runs, or could be started on demand."""
    account = seat.account
    if account.running or (account.startable and not question.only_running):
        return None
    if account.blocked:
        return Obstacle(account.blocked, f"It can not run: {account.blocked}.")
    if account.startable:
        return Obstacle("NOT_RUNNING", "It does not run, and this transfer uses only accounts that do.")
    return Obstacle("NOT_RUNNING", "It does not run yet.")


def not_waiting(seat: Seat, question: Question) -> Obstacle | None:
    """Telegram did not tell it to wait with one of the methods, or in this chat."""
    waits = [seat.waits.blocking(question.method, question.chat_id, question.now)]
    waits += [seat.waits.blocking(method, 0, question.now) for method in question.also]
    wait = max((one for one in waits if one is not None), key=lambda one: one.deadline, default=None)
    if wait is None:
        return None
    until = question.until(wait.deadline)
    if wait.chat_id:
        reason, detail = "SLOW_MODE", f"It must wait in this chat until {clock(until)}."
    else:
        reason, detail = "FLOOD_WAIT", f"It must wait with {wait.method} until {clock(until)}."
    return Obstacle(reason, detail, until, wait.deadline)


def under_daily_cap(seat: Seat, question: Question) -> Obstacle | None:
    """Its day has room for the messages, what is reserved counted in."""
    account = seat.account
    if not account.daily_cap or cap_left(seat, question) >= question.count:
        return None
    until = hours.next_day(question.wall, account.time_zone)
    taken = question.ledger.of(account.account_id).taken()
    detail = f"{taken} of the {account.daily_cap} messages of its day are used."
    return Obstacle("DAILY_CAP", detail, until, question.wake(until))


def within_hours(seat: Seat, question: Question) -> Obstacle | None:
    """It is one of its allowed hours, in its time zone."""
    account = seat.account
    if hours.is_open(account.allowed_hours, question.wall, account.time_zone):
        return None
    until = hours.opens_at(account.allowed_hours, question.wall, account.time_zone)
    detail = f"It may send only in {', '.join(account.allowed_hours)} ({account.time_zone or 'UTC'})."
    if until is None:
        return Obstacle("OUTSIDE_HOURS", detail)
    return Obstacle("OUTSIDE_HOURS", detail, until, question.wake(until))


def can_do_it(seat: Seat, question: Question) -> Obstacle | None:
    """It can read the source and write to the target, as far as was seen."""
    reason = seat.denied.get(question.transfer_id)
    if reason is None:
        return None
    sentences = {
        "CANNOT_READ": "It can not read the source.",
        "CANNOT_POST": "It can not post in the target.",
    }
    return Obstacle(reason, sentences.get(reason, f"It can not do this transfer: {reason}."))


def not_resting(seat: Seat, question: Question) -> Obstacle | None:
    """The prediction has messages left for it."""
    budget = seat.budgets.get(question.method)
    if budget is None or budget.allows(question.count, question.now):
        return None
    wake = budget.rested_at(question.count, question.now)
    detail = f"It rests so as not to be told to wait. {budget.sentence(question.now)}"
    return Obstacle("RESTING", detail, question.until(wake), wake)


def not_busy(seat: Seat, question: Question) -> Obstacle | None:
    """Nobody else sends with it."""
    if seat.holder in {"", question.holder}:
        return None
    return Obstacle("BUSY", f"It works on {seat.holder}.")


FILTERS: tuple[Filter, ...] = (
    enabled,
    running_or_startable,
    not_waiting,
    under_daily_cap,
    within_hours,
    can_do_it,
    not_resting,
    not_busy,
)
"""In the order of DESIGN section 6."""


def obstacles(seat: Seat, question: Question) -> list[Obstacle]:
    """Everything that speaks against it."""
    return [found for one in FILTERS if (found := one(seat, question)) is not None]


def wake_of(found: list[Obstacle]) -> float | None:
    """When all of them have ended by themselves; None when one of them does not."""
    wakes = [one.wake for one in found if one.wake is not None]
    return max(wakes) if len(wakes) == len(found) else None


def cap_left(seat: Seat, question: Question) -> int:
    """Messages that its day has room for."""
    account = seat.account
    if not account.daily_cap:
        return UNLIMITED
    counts = question.ledger.today(account.account_id, question.wall, account.time_zone)
    return max(0, account.daily_cap - counts.taken())


def allowance(seat: Seat, question: Question) -> int:
    """Messages that may be sent now by one that nothing speaks against."""
    budget = seat.budgets.get(question.method)
    predicted = UNLIMITED if budget is None else budget.allowance(question.now)
    return min(cap_left(seat, question), predicted)
