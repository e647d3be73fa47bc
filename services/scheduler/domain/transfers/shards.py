"""What a shard does next, whatever happened: a function that is called again and again and begins whatever
can be begun now. A shard that cannot go on says why, and when that may change.
"""

from services.scheduler.domain.transfers import holding, resolving
from services.scheduler.domain.transfers.batch import By
from services.scheduler.domain.transfers.reading import inspect, read_on
from services.scheduler.domain.transfers.records import BatchState, TransferState
from services.scheduler.domain.transfers.sending import intend, limit_of, prepare, ready, transmit, withdraw
from services.scheduler.domain.transfers.state import Desk, Shard

_REST = 0.25
"""Seconds after which an account that could not be given an order is asked again."""
LIMIT_REASON = "MAX_PER_HOUR"


def go_on(desk: Desk, shard: Shard) -> None:
    """Begins what can be begun now."""
    transfer = shard.transfer
    desk.review[transfer.record.transfer_id] = None
    shard.active = False
    shard.reason, shard.detail, shard.wake = "", "", None
    if transfer.over or shard.record.finished:
        _stand_down(desk, shard)
    elif shard.saving:
        shard.active = True
        read_ahead(desk, shard)
    elif shard.current is not None:
        _with_batch(desk, shard)
    elif transfer.stopping:
        _stand_down(desk, shard)
    else:
        _without_batch(desk, shard)


def read_ahead(desk: Desk, shard: Shard) -> None:
    """Reading goes on beside sending, while nothing is in doubt."""
    if shard.account_id and not shard.transfer.stopping and shard.batch is not None:
        known = shard.current is not None and bool(shard.current.units)
        if known and shard.batch.state is BatchState.INTENDED:
            read_on(desk, shard)
            prepare(desk, shard)


def _with_batch(desk: Desk, shard: Shard) -> None:
    batch = shard.current
    if batch is None or batch.order_id:
        shard.active = True
        read_ahead(desk, shard)
    elif batch.record.state is BatchState.INTENDED and not batch.given:
        if shard.transfer.stopping:
            withdraw(desk, shard, By.LEADER, "stopped before it was sent")
        elif transmit(desk, shard, batch):
            shard.active = True
            read_ahead(desk, shard)
        else:
            withdraw(desk, shard, By.LEADER, "its account went away before it was sent")
            if holding.runs(desk, batch.record.account_id):  # but nothing can be handed to its worker
                shard.rest = desk.now + _REST
    elif shard.transfer.record.state is not TransferState.PAUSED:
        resolving.go_on(desk, shard, batch)


def _without_batch(desk: Desk, shard: Shard) -> None:
    if desk.now < shard.rest:
        _later(desk, shard, shard.rest, "STARTING", "An account is about to be ready again.")
        return
    intake = shard.intake
    if intake.ended and not intake.units and not _begin_again(desk, shard):
        return
    count = len(intake.units[0].message_ids) if intake.units else 1
    room = _room(desk, shard, count)
    if not room:
        return
    allowance = holding.hold(desk, shard, count)
    if not allowance:
        return
    if shard.transfer.top is None:
        inspect(desk, shard)
    read_on(desk, shard)
    if intake.units:
        shard.caught_up = False
    shard.active = bool(shard.inspecting or shard.reading) and not shard.caught_up
    if shard.transfer.top is None or not ready(desk, shard):
        return
    if holding.must_yield(desk, shard):
        holding.give_turn(desk, shard)
    else:
        intend(desk, shard, min(allowance, room))
        shard.active = True


def _begin_again(desk: Desk, shard: Shard) -> bool:
    """Nothing is left: the shard is finished, or a following one asks for new messages now and then. Whether
    it goes on at once."""
    if not shard.intake.holding:
        _save_tail(desk, shard)
    if not shard.transfer.record.spec.follow or shard.record.last_id:
        shard.record.finished = True
        shard.record.checkpoint = max(shard.record.checkpoint, shard.record.last_id)
        desk.saver.shard(shard.record)
        desk.note(shard.transfer)
        _stand_down(desk, shard)
        return False
    if desk.now < shard.read_again:
        holding.release(desk, shard)
        desk.waiting.pop(shard, None)
        shard.caught_up = True
        desk.wake_at(shard, shard.read_again)
        return False
    shard.intake.ended = False
    return True


def _save_tail(desk: Desk, shard: Shard) -> None:
    through, skipped = shard.intake.finish_tail()
    if through <= shard.record.checkpoint and not skipped:
        return
    shard.record.checkpoint = max(shard.record.checkpoint, through)
    for why, number in skipped.items():
        shard.record.skipped[why] = shard.record.skipped.get(why, 0) + number
    desk.saver.shard(shard.record)
    desk.note(shard.transfer)


def _room(desk: Desk, shard: Shard, count: int) -> int:
    """How many messages the target's limit allows now; an album larger than the limit goes when nothing else
    did for an hour."""
    record = shard.transfer.record
    limit = limit_of(desk, shard.transfer)
    if not limit:
        return desk.rules.batch_size
    count = min(count, limit)
    room = desk.windows.room(record.target_key, limit, desk.now)
    if room >= count:
        return room
    until = desk.windows.free_at(record.target_key, limit, count, desk.now)
    holding.release(desk, shard)
    desk.waiting.pop(shard, None)
    _later(desk, shard, until, LIMIT_REASON, f"{limit} messages went to the target within an hour.")
    return 0


def _later(desk: Desk, shard: Shard, when: float, reason: str, detail: str) -> None:
    shard.reason, shard.detail, shard.wake = reason, detail, when
    desk.wake_at(shard, when)


def _stand_down(desk: Desk, shard: Shard) -> None:
    desk.waiting.pop(shard, None)
    if shard.current is None or shard.transfer.over:
        holding.release(desk, shard)
