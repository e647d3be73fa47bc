"""A transfer as a whole: its state, which follows from its shards and from what people want, its end, and the
wishes themselves. Sends nothing.
"""

from services.scheduler.domain.transfers import events as e
from services.scheduler.domain.transfers import holding
from services.scheduler.domain.transfers.batch import By, batch_key, move
from services.scheduler.domain.transfers.records import ENDED, BatchState, TransferState, Wish
from services.scheduler.domain.transfers.sentences import UNDECIDED_ACTION, no_account_left, unsettled
from services.scheduler.domain.transfers.state import Desk, Shard, Transfer
from services.scheduler.domain.transfers.taking_up import take_up

_CLOSE = 1.0
"""Seconds by which a shown time may be off."""
_DENIED = frozenset({"CANNOT_READ", "CANNOT_POST", "UNKNOWN_ACCOUNT"})
_STOPPED = {
    TransferState.PAUSING: TransferState.PAUSED,
    TransferState.CANCELLING: TransferState.CANCELLED,
}


def created(desk: Desk, event: e.TransferCreated) -> None:
    """It is on disk already, and begins."""
    if event.record.transfer_id not in desk.transfers:
        take_up(desk, event.record, list(event.shards))


def wished(desk: Desk, event: e.Wished) -> None:
    """The last wish wins; a cancellation is for good."""
    transfer = desk.transfers.get(event.transfer_id)
    if transfer is None or transfer.over:
        return
    record = transfer.record
    if record.wish is Wish.CANCEL and event.wish is not Wish.CANCEL:
        return
    if event.wish is Wish.RUN:
        transfer.resumed = desk.now
        desk.pool.forgive(record.transfer_id)
        for shard in transfer.shards.values():
            if shard.current is not None:
                shard.current.refusal = ""
                shard.current.looks.clear()
    if record.wish is not event.wish:
        record.wish = event.wish
        record.reason, record.detail, record.action = "", "", ""
        if event.wish is Wish.RUN:
            record.state = TransferState.RUNNING
        desk.saver.transfer(record)
        desk.note(transfer)
    desk.touch_all(transfer)


def review(desk: Desk, transfer: Transfer) -> None:
    """Its state as it follows from everything else; kept when it is new."""
    record = transfer.record
    if transfer.over:
        return
    if transfer.stopping:
        state, reason, detail, action, wake = _while_stopping(desk, transfer)
    else:
        state, reason, detail, action, wake = _while_running(desk, transfer)
    shown = desk.wall + (wake - desk.now) if wake is not None else 0.0
    same = (record.state, record.reason, record.detail, record.action) == (state, reason, detail, action)
    if same and abs(record.wake - shown) < _CLOSE:
        return
    record.state, record.reason, record.detail, record.action, record.wake = (
        state,
        reason,
        detail,
        action,
        shown,
    )
    desk.saver.transfer(record)
    desk.note(transfer)
    if state in ENDED:
        _end(desk, transfer)


_Shown = tuple[TransferState, str, str, str, float | None]


def _while_stopping(desk: Desk, transfer: Transfer) -> _Shown:
    record = transfer.record
    quiet = all(_quiet(desk, shard) for shard in transfer.shards.values())
    words = (record.reason, record.detail, record.action)
    if record.wish is Wish.CANCEL:
        state = TransferState.CANCELLED if quiet else TransferState.CANCELLING
    elif transfer.failing is not None:
        state = TransferState.FAILED if quiet else TransferState.RUNNING
        words = transfer.failing
    else:
        state = TransferState.PAUSED if quiet else TransferState.PAUSING
    left = sum(1 for shard in transfer.shards.values() if shard.current is not None)
    if quiet and left:
        _keep_undecided(desk, transfer)
        if not words[0]:
            words = ("UNDECIDED", unsettled(left), UNDECIDED_ACTION)
    return state, *words, None


def _quiet(desk: Desk, shard: Shard) -> bool:
    """Whether nothing of it is on its way, nor about to be."""
    batch = shard.current
    if shard.saving or (batch is not None and batch.order_id):
        return False
    if batch is None or shard.transfer.record.state is TransferState.PAUSED:
        return True
    if batch.record.state is BatchState.UNDECIDED and not shard.active:
        return True
    soon = desk.now + desk.rules.takeover_delay
    return not shard.active and (shard.wake is None or shard.wake > soon)


def _keep_undecided(desk: Desk, transfer: Transfer) -> None:
    for shard in transfer.shards.values():
        batch = shard.current
        if batch is not None and batch.record.state is BatchState.UNKNOWN:
            move(batch.record, BatchState.UNDECIDED, By.EVIDENCE)
            desk.saver.batch(batch.record)


def _while_running(desk: Desk, transfer: Transfer) -> _Shown:
    shards = [shard for shard in transfer.shards.values() if not shard.record.finished]
    if not shards:
        return TransferState.COMPLETED, "", "", "", None
    if any(shard.active or shard in desk.dirty for shard in shards):
        return TransferState.RUNNING, "", "", "", None
    stuck = [shard for shard in shards if shard.reason == "UNDECIDED"]
    if stuck:
        return TransferState.UNDECIDED, "UNDECIDED", stuck[0].detail, UNDECIDED_ACTION, stuck[0].wake
    waiting = [shard for shard in shards if shard.reason]
    if not waiting:
        following = any(shard.caught_up for shard in shards)
        return (TransferState.FOLLOWING if following else TransferState.RUNNING), "", "", "", None
    first = min(waiting, key=lambda shard: shard.wake if shard.wake is not None else float("inf"))
    reason, detail, action = first.reason, first.detail, ""
    if reason in _DENIED:
        reason = "NO_ACCOUNT_LEFT"
        detail, action = no_account_left()
    return TransferState.WAITING, reason, detail, action, first.wake


def _end(desk: Desk, transfer: Transfer) -> None:
    record = transfer.record
    record.ended = desk.wall
    desk.pool.forgive(record.transfer_id)
    for shard in transfer.shards.values():
        desk.waiting.pop(shard, None)
        if (
            shard.current is not None
        ):  # whether it was sent or not, it counts: the cap is to protect the account
            size = len(shard.current.record.message_ids)
            desk.saver.usage(desk.pool.settle(batch_key(shard.current.record), size))
        holding.release(desk, shard)
    desk.saver.then(lambda: _forget(desk, record.transfer_id))


def _forget(desk: Desk, transfer_id: str) -> None:
    desk.transfers.pop(transfer_id, None)
