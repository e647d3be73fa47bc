"""Carries out what `doubts.py` decides about a batch of unknown outcome, and takes in what comes of it.
Nothing else of the shard is sent before.
"""

from services.scheduler.domain.transfers import dispatch, holding
from services.scheduler.domain.transfers.batch import By, move, order_id
from services.scheduler.domain.transfers.doubts import Case, Do, Standing, Step, next_step
from services.scheduler.domain.transfers.looking import give_look, put_off
from services.scheduler.domain.transfers.records import BatchState
from services.scheduler.domain.transfers.refusals import FORWARD, HISTORY
from services.scheduler.domain.transfers.sending import save, sent, transmit, withdraw
from services.scheduler.domain.transfers.sentences import undecided
from services.scheduler.domain.transfers.state import (
    Batch,
    Desk,
    Purpose,
    Shard,
)

_BUSY = 1.0
_NOBODY = 30.0


def doubt(desk: Desk, shard: Shard, by: By, cause: str) -> None:
    """An attempt ended and nobody knows how: from now on the batch is settled before anything else."""
    batch = shard.current
    if batch is None:
        return
    if batch.record.state is BatchState.INTENDED:
        move(batch.record, BatchState.UNKNOWN, by)
    batch.record.detail = cause
    batch.unknown_since = desk.now
    batch.looks.clear()
    put_off(desk, batch)
    desk.saver.batch(batch.record)
    desk.note(shard.transfer)
    desk.touch(shard)


def go_on(desk: Desk, shard: Shard, batch: Batch) -> None:
    """The next step towards settling it."""
    if batch.waits_for_hello and not _heard(desk, shard, batch):
        return
    if desk.now < batch.retry:
        _wait(desk, shard, Step(Do.WAIT, batch.retry, "it is tried again in a moment"))
        return
    if not batch.given and batch.record.attempt > 1:  # a repeat whose number is on disk by now
        batch.given = True
        if not batch.delivered and transmit(desk, shard, batch):
            return
    step = next_step(case_of(desk, shard, batch))
    _CARRY[step.do](desk, shard, batch, step)


def case_of(desk: Desk, shard: Shard, batch: Batch) -> Case:
    """What is known of it."""
    record, transfer, pool = batch.record, shard.transfer, desk.pool
    own = [look for look in batch.looks if look.account_id == record.account_id]
    standing = _standing(desk, record.account_id)
    asked = transfer.resumed is not None and transfer.resumed >= batch.unknown_since
    return Case(
        now=desk.now,
        standing=standing,
        first_sent=batch.first_sent,
        unknown_since=batch.unknown_since,
        window=desk.rules.repeat_window,
        takeover_delay=desk.rules.takeover_delay,
        relook_delay=desk.rules.relook_delay,
        may_repeat=not batch.refusal,
        delivered=batch.delivered,
        forward_wait=pool.waiting(record.account_id, FORWARD, transfer.record.target.chat_id, desk.now),
        read_wait=pool.waiting(record.account_id, HISTORY, 0, desk.now),
        looked=bool(own),
        unclear=bool(own) and not own[-1].clear,
        absent=batch.absent,
        absences=tuple(look.at for look in batch.looks if look.clear),
        ambiguous=any(not look.clear for look in batch.looks),
        others_allowed=asked,
        pinned=transfer.pinned,
        away_since=batch.away_since,
    )


def by_person(desk: Desk, shard: Shard, *, was_sent: bool) -> None:
    """A person's word on an undecided batch."""
    batch = shard.current
    if batch is None or batch.record.state is not BatchState.UNDECIDED:
        return
    out = desk.orders.get(batch.order_id)
    if out is not None and out.purpose is Purpose.SEND:
        return  # its answer comes first: what is under way may be the very thing
    if was_sent:
        sent(desk, shard, By.PERSON, batch.named)
    else:
        withdraw(desk, shard, By.PERSON, "so said a person")


def _repeat(desk: Desk, shard: Shard, batch: Batch, _step: Step) -> None:
    if not _occupy(desk, shard, batch):
        return
    batch.record.attempt += 1
    batch.record.order_id = order_id(batch.record)
    batch.given = False
    save(desk, shard)
    shard.active = True


def _look(desk: Desk, shard: Shard, batch: Batch, _step: Step) -> None:
    _give(desk, shard, batch, batch.record.account_id)


def _give(desk: Desk, shard: Shard, batch: Batch, account_id: str) -> None:
    if not give_look(desk, shard, batch, account_id):
        _wait(desk, shard, Step(Do.WAIT, batch.retry, "nobody can look just now"))


def _look_other(desk: Desk, shard: Shard, batch: Batch, _step: Step) -> None:
    others = sorted(shard.transfer.account_ids - {batch.record.account_id})
    views = [desk.accounts[one] for one in others if one in desk.accounts]
    for view in views:
        if view.running and desk.pool.waiting(view.account_id, HISTORY, 0, desk.now) is None:
            _give(desk, shard, batch, view.account_id)
            return
    startable = [view for view in views if view.startable]
    if startable and not shard.transfer.record.spec.only_running:
        holding.borrow(desk, startable[0].account_id)
    _undecided(desk, shard, batch, Step(Do.UNDECIDED, desk.now + _NOBODY, "no other account is there"))


def _delivered(desk: Desk, shard: Shard, batch: Batch, _step: Step) -> None:
    sent(desk, shard, By.ANSWER, batch.named)


def _withdraw(desk: Desk, shard: Shard, _batch: Batch, step: Step) -> None:
    withdraw(desk, shard, By.EVIDENCE, step.detail)


def _wait(desk: Desk, shard: Shard, step: Step) -> None:
    shard.reason, shard.detail, shard.wake = "SETTLING", _sentence(desk, shard, step), step.until
    if step.until is not None:
        desk.wake_at(shard, step.until)
    _bring_back(desk, shard)


def _undecided(desk: Desk, shard: Shard, batch: Batch, step: Step) -> None:
    if batch.record.state is BatchState.UNKNOWN:
        move(batch.record, BatchState.UNDECIDED, By.EVIDENCE)
    detail = undecided(_name(desk, batch.record.account_id), step.detail)
    if batch.record.detail != detail:
        batch.record.detail = detail
        desk.saver.batch(batch.record)
        desk.note(shard.transfer)
    _wait(desk, shard, step)
    shard.reason, shard.detail = "UNDECIDED", detail
    holding.release(desk, shard)


def _bring_back(desk: Desk, shard: Shard) -> None:
    """Only its own account can settle it simply: it is started if need be."""
    batch = shard.current
    view = desk.accounts.get(batch.record.account_id) if batch is not None else None
    if view is not None and view.startable and not shard.transfer.record.spec.only_running:
        holding.borrow(desk, view.account_id)


def _occupy(desk: Desk, shard: Shard, batch: Batch) -> bool:
    if holding.take(desk, shard, batch.record.account_id):
        return True
    _wait(desk, shard, Step(Do.WAIT, desk.now + _BUSY, "its account is busy with another transfer"))
    shard.reason = "BUSY"
    desk.waiting.setdefault(shard)
    return False


def _heard(desk: Desk, shard: Shard, batch: Batch) -> bool:
    """Whether the answer of an earlier leader's attempt would have come by now."""
    view = desk.accounts.get(batch.record.account_id)
    until = desk.began + desk.rules.hello_wait
    if view is not None and view.running and view.worker_id in desk.attached:
        until = min(until, desk.attached[view.worker_id][1] + dispatch.SHORT)
    if desk.now < until:
        shard.reason, shard.wake = "SETTLING", until
        shard.detail = "The scheduler was replaced; the workers' answers are awaited."
        desk.wake_at(shard, until)
        return False
    batch.waits_for_hello = False
    if batch.record.state is BatchState.INTENDED:
        doubt(desk, shard, By.LOSS, "the scheduler was replaced while it was sent")
        batch.retry = 0.0
    return True


def _standing(desk: Desk, account_id: str) -> Standing:
    view = desk.accounts.get(account_id)
    if view is None:
        known = desk.now >= desk.began + desk.rules.hello_wait
        return Standing.GONE if known else Standing.AWAY
    if view.running:
        return Standing.READY
    return Standing.GONE if view.gone else Standing.AWAY


def _sentence(desk: Desk, shard: Shard, step: Step) -> str:
    batch = shard.current
    name = _name(desk, batch.record.account_id) if batch is not None else ""
    return f"Whether {name} sent the last batch is being found out: {step.detail}."


def _name(desk: Desk, account_id: str) -> str:
    view = desk.accounts.get(account_id)
    return view.name if view is not None else account_id


_CARRY = {
    Do.REPEAT: _repeat,
    Do.LOOK: _look,
    Do.LOOK_OTHER: _look_other,
    Do.DELIVERED: _delivered,
    Do.WITHDRAW: _withdraw,
    Do.WAIT: lambda desk, shard, _batch, step: _wait(desk, shard, step),
    Do.UNDECIDED: _undecided,
}
