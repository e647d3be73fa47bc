"""What a worker's answer to a transmission means for its batch. A refusal proves that nothing was sent only
as the answer to the only transmission of that intent; after a repeat it proves nothing.
"""

from services.scheduler.domain.transfers import holding
from services.scheduler.domain.transfers.batch import By, move
from services.scheduler.domain.transfers.looking import put_off
from services.scheduler.domain.transfers.orders import (
    Answer,
    OrderNotDone,
    OrderRefused,
    OrderUnknown,
    Sent,
)
from services.scheduler.domain.transfers.reading import target_moved
from services.scheduler.domain.transfers.records import BatchState
from services.scheduler.domain.transfers.refusals import FORWARD, NO_SUCH_CHAT, Meaning, meaning, reason
from services.scheduler.domain.transfers.resolving import doubt
from services.scheduler.domain.transfers.sending import sent, suspect, withdraw
from services.scheduler.domain.transfers.sentences import protected_source, strict_stop, verdict
from services.scheduler.domain.transfers.state import Batch, Desk, Outstanding, Shard
from services.scheduler.domain.transfers.stopping import fail, pause_all
from services.scheduler.domain.transfers.waiting import NUMBERLESS, until_retry

_REST = 0.5
"""Seconds that a shard rests when a worker could not begin: its account's state is on its way."""
_FLOODED = ("FLOOD_WAIT", "SLOWMODE_WAIT")


def attempt_ended(desk: Desk, out: Outstanding, answer: Answer | None) -> None:
    """What became of a transmission; None when its worker is gone."""
    shard, batch = out.shard, out.shard.current
    if batch is None or batch.order_id != out.order.order_id:
        return
    batch.order_id = ""
    take_in(desk, shard, batch, answer)


def take_in(desk: Desk, shard: Shard, batch: Batch, answer: Answer | None) -> None:
    """The answer to its latest transmission."""
    batch.waits_for_hello = False
    desk.touch(shard)
    if _may_have_counted(answer):
        desk.pool.note_unclear(batch.record.account_id, FORWARD)
    if batch.named or batch.delivered:  # an earlier attempt's answer came meanwhile
        _named(desk, shard, batch)
    elif isinstance(answer, Sent):
        took(desk, shard, batch, answer)
    elif isinstance(answer, OrderRefused):
        _refused(desk, shard, batch, answer)
    elif isinstance(answer, OrderNotDone):
        _not_done(desk, shard, batch, answer)
    elif isinstance(answer, OrderUnknown):
        doubt(desk, shard, By.ANSWER, answer.cause)
    else:
        doubt(desk, shard, By.LOSS, "its worker was lost")


def _may_have_counted(answer: Answer | None) -> bool:
    if isinstance(answer, OrderRefused):
        return meaning(answer) not in (Meaning.WAIT, Meaning.WAIT_CHAT)
    return not isinstance(answer, Sent | OrderNotDone)


def took(desk: Desk, shard: Shard, batch: Batch, answer: Sent) -> None:
    """Telegram named what it made, in this attempt or an earlier one."""
    pairs = zip(answer.message_ids, answer.target_ids, strict=False)
    wanted = set(batch.record.message_ids)
    batch.named = {source: target for source, target in pairs if target and source in wanted}
    batch.delivered = True
    target_moved(desk, shard, answer.migrated_to_chat_id)
    if not batch.order_id:
        _named(desk, shard, batch)


def _named(desk: Desk, shard: Shard, batch: Batch) -> None:
    if len(batch.named) == len(batch.record.message_ids):
        sent(desk, shard, By.ANSWER, batch.named)
    elif batch.record.state is BatchState.INTENDED:
        move(batch.record, BatchState.UNKNOWN, By.ANSWER)


def _refused(desk: Desk, shard: Shard, batch: Batch, answer: OrderRefused) -> None:
    kind = meaning(answer)
    if kind is Meaning.DELIVERED:
        batch.delivered = True
        _named(desk, shard, batch)
    elif kind is Meaning.UNKNOWN:
        doubt(desk, shard, By.ANSWER, answer.name)
    elif batch.record.attempt > 1:
        _refused_again(desk, shard, batch, kind, answer)
    else:
        _refused_at_once(desk, shard, batch, kind, answer)


def _refused_again(desk: Desk, shard: Shard, batch: Batch, kind: Meaning, answer: OrderRefused) -> None:
    account_id = batch.record.account_id
    if kind in (Meaning.WAIT, Meaning.WAIT_CHAT):
        _waits(desk, shard, batch, kind, answer)
    else:
        batch.refusal = answer.name
    doubt(desk, shard, By.ANSWER, answer.name)
    if kind is Meaning.VERDICT:
        _verdict(desk, shard, account_id, answer)
    elif kind in (Meaning.CANNOT_POST, Meaning.CANNOT_READ):
        desk.pool.deny(shard.record.transfer_id, account_id, kind.name)


def _refused_at_once(desk: Desk, shard: Shard, batch: Batch, kind: Meaning, answer: OrderRefused) -> None:
    account_id, units = batch.record.account_id, batch.units
    if kind in (Meaning.WAIT, Meaning.WAIT_CHAT):
        _waits(desk, shard, batch, kind, answer)
        if kind is Meaning.WAIT and (answer.method or FORWARD) == FORWARD:
            count = len(batch.record.message_ids)
            desk.pool.note_flood(account_id, FORWARD, _seconds(answer), count, now=desk.now, wall=desk.wall)
    elif kind is Meaning.VERDICT:
        _verdict(desk, shard, account_id, answer)
    elif kind is Meaning.PROTECTED:
        fail(desk, shard.transfer, *protected_source(shard.transfer.record))
    elif answer.name in NO_SUCH_CHAT and shard.transfer.record.target.kind == "group":
        shard.transfer.lost_target, shard.transfer.top = True, None
    elif kind in (Meaning.CANNOT_POST, Meaning.CANNOT_READ):
        desk.pool.deny(shard.record.transfer_id, account_id, kind.name)
    elif kind is Meaning.ONE_BY_ONE and len(units) != 1:
        shard.one_by_one = True
    elif len(units) == 1:
        _culprit(desk, shard, batch, answer)
        return
    else:
        suspect(shard, units, len(batch.record.message_ids))
    withdraw(desk, shard, By.ANSWER, answer.name)


def _culprit(desk: Desk, shard: Shard, batch: Batch, answer: OrderRefused) -> None:
    """This one message (or album) it is."""
    why, ids = reason(answer), batch.record.message_ids
    if shard.transfer.record.spec.strict:
        withdraw(desk, shard, By.ANSWER, answer.name)
        pause_all(desk, shard.transfer, why, *strict_stop(ids[0], why))
    else:
        sent(desk, shard, By.ANSWER, {}, dict.fromkeys(ids, why))


def _not_done(desk: Desk, shard: Shard, batch: Batch, answer: OrderNotDone) -> None:
    account_id = batch.record.account_id
    if answer.cause in _FLOODED:
        left = until_retry(desk, answer)
        chat_id = shard.transfer.record.target.chat_id if answer.cause == "SLOWMODE_WAIT" else 0
        desk.saver.wait(desk.pool.wait(account_id, FORWARD, chat_id, left, now=desk.now, wall=desk.wall))
    if batch.record.attempt > 1:
        put_off(desk, batch)
        return
    if answer.cause == "CHAT_NOT_FOUND":
        desk.pool.deny(shard.record.transfer_id, account_id, "CANNOT_POST")
    elif answer.cause not in _FLOODED:
        shard.rest = desk.now + _REST
    withdraw(desk, shard, By.ANSWER, answer.cause)
    holding.release(desk, shard)


def _waits(desk: Desk, shard: Shard, batch: Batch, kind: Meaning, answer: OrderRefused) -> None:
    chat_id = shard.transfer.record.target.chat_id if kind is Meaning.WAIT_CHAT else 0
    account_id, seconds = batch.record.account_id, _seconds(answer)
    # Also when a call on the way to it must wait: before that ends, it would not come to the transmission.
    for method in dict.fromkeys((answer.method or FORWARD, FORWARD)):
        desk.saver.wait(desk.pool.wait(account_id, method, chat_id, seconds, now=desk.now, wall=desk.wall))
    if kind is Meaning.WAIT_CHAT:
        slow = shard.transfer.slow
        slow[account_id] = max(slow.get(account_id, 0), _seconds(answer))


def _seconds(answer: OrderRefused) -> int:
    return answer.seconds or NUMBERLESS


def _verdict(desk: Desk, shard: Shard, account_id: str, answer: OrderRefused) -> None:
    view = desk.accounts.get(account_id)
    name = view.name if view is not None else account_id
    pause_all(desk, shard.transfer, reason(answer), *verdict(reason(answer), name))
