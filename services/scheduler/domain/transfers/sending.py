"""One batch after the other: its intent goes to the disk, then it is transmitted, then its answer settles it.
The result of one and the intent of the next share a commit. What cannot be settled by the answer is left to
`resolving.py`.
"""

from collections.abc import Mapping

from services.scheduler.domain.transfers import dispatch, holding
from services.scheduler.domain.transfers.batch import By, batch_key, move, order_id
from services.scheduler.domain.transfers.batching import Intake, Unit, add_up
from services.scheduler.domain.transfers.orders import SendBatch
from services.scheduler.domain.transfers.rates import counted
from services.scheduler.domain.transfers.reading import reference
from services.scheduler.domain.transfers.records import BatchRecord, BatchState, Mode
from services.scheduler.domain.transfers.refusals import FORWARD
from services.scheduler.domain.transfers.state import Batch, Desk, Purpose, Shard, Transfer, bounds_of


def ready(desk: Desk, shard: Shard) -> bool:
    """Whether there is a batch to cut: a full one, or all that is left for now."""
    intake = shard.intake
    if not intake.units:
        return False
    return intake.ids >= desk.rules.batch_size or intake.ended or bool(shard.suspects) or shard.one_by_one


def intend(desk: Desk, shard: Shard, limit: int) -> None:
    """Cuts the next batch and has its intent written; it is sent when that is on disk."""
    units = shard.intake.cut(min(limit, desk.rules.batch_size), units=_how_many(shard))
    ids = tuple(one for unit in units for one in unit.message_ids)
    transfer = shard.transfer
    record = BatchRecord(
        transfer.record.transfer_id,
        shard.record.shard,
        shard.record.next_batch,
        BatchState.PLANNED,
        shard.account_id,
        ids,
        _random_ids(shard, ids),
        transfer.top or 0,
        units[-1].through_id,
        add_up(units),
        attempt=1,
        first_sent=desk.wall,
    )
    record.order_id = order_id(record)
    move(record, BatchState.INTENDED, By.LEADER)
    shard.record.next_batch += 1
    shard.record.account_id = shard.account_id
    shard.current = Batch(record, units, first_sent=desk.now)
    desk.saver.shard(shard.record)
    desk.saver.usage(desk.pool.reserve(shard.account_id, batch_key(record), len(ids), desk.wall))
    _count(desk, shard, len(ids))
    save(desk, shard)


def prepare(desk: Desk, shard: Shard) -> None:
    """Makes the random_ids of the next batch, while the one before is under way."""
    if shard.ready is not None or not ready(desk, shard):
        return
    first: list[int] = []
    for unit in shard.intake.units:
        if len(first) + len(unit.message_ids) > desk.rules.batch_size:
            break
        first.extend(unit.message_ids)
    shard.ready = (tuple(first), tuple(map(shard.transfer.random_ids.of, first)))


def _random_ids(shard: Shard, ids: tuple[int, ...]) -> tuple[int, ...]:
    made, shard.ready = shard.ready, None
    if made is not None and made[0] == ids:
        return made[1]
    return tuple(map(shard.transfer.random_ids.of, ids))


def save(desk: Desk, shard: Shard) -> None:
    """Has its batch written; the shard waits for that."""
    batch = shard.current
    if batch is not None:
        desk.saver.batch(batch.record)
    shard.saving += 1
    desk.saver.then(lambda: _saved(desk, shard))
    desk.note(shard.transfer)


def _saved(desk: Desk, shard: Shard) -> None:
    shard.saving -= 1
    desk.touch(shard)


def transmit(desk: Desk, shard: Shard, batch: Batch) -> bool:
    """Hands its present attempt to a worker. False when nothing was handed out."""
    record = batch.record
    if (
        desk.pool.waiting(record.account_id, FORWARD, shard.transfer.record.target.chat_id, desk.now)
        is not None
    ):
        return False
    if not dispatch.give(
        desk,
        shard,
        record.account_id,
        name=record.order_id,
        purpose=Purpose.SEND,
        work=work_of(shard, record),
    ):
        return False
    batch.given = True
    batch.order_id = record.order_id
    return True


def work_of(shard: Shard, record: BatchRecord) -> SendBatch:
    """What a worker is asked to transmit."""
    transfer = shard.transfer.record
    return SendBatch(
        reference(transfer.source),
        reference(transfer.target),
        record.message_ids,
        record.random_ids,
        transfer.spec.mode is Mode.COPY,
        transfer.spec.drop_captions,
        transfer.spec.silent,
        transfer.spec.topic_id,
    )


def sent(
    desk: Desk, shard: Shard, by: By, target_ids: Mapping[int, int], refused: Mapping[int, str] | None = None
) -> None:
    """Its batch is in the target, but for what was refused."""
    batch = shard.current
    if batch is None:
        return
    record, counted = batch.record, shard.record
    record.refused = dict(refused or {})
    record.target_ids = tuple(target_ids.get(one, 0) for one in record.message_ids)
    delivered = len(record.message_ids) - len(record.refused)
    counted.checkpoint = record.through_id
    counted.done += delivered
    for reason, number in record.skipped.items():
        counted.skipped[reason] = counted.skipped.get(reason, 0) + number
    for reason in record.refused.values():
        counted.skipped[reason] = counted.skipped.get(reason, 0) + 1
    desk.saver.shard(counted)
    transfer = shard.transfer
    transfer.top = max([transfer.top or 0, *target_ids.values()])
    if delivered:
        desk.pool.note_sent(record.account_id, FORWARD, delivered, desk.now, desk.wall)
        transfer.recent.add(desk.now, delivered)
        _slow_down(desk, shard, record.account_id)
    shard.suspects = max(0, shard.suspects - len(batch.units)) if delivered else 0
    shard.turn += 1
    if not batch.units:
        shard.intake = Intake(bounds_of(transfer, counted), counted.checkpoint)
    _close(desk, shard, batch, by, delivered)


def _slow_down(desk: Desk, shard: Shard, account_id: str) -> None:
    """In slow mode the next message is not tried before its time: Telegram would refuse it."""
    seconds = shard.transfer.slow.get(account_id)
    if seconds:
        chat_id = shard.transfer.record.target.chat_id
        wait = desk.pool.wait(account_id, FORWARD, chat_id, seconds, now=desk.now, wall=desk.wall)
        desk.saver.wait(wait)


def withdraw(desk: Desk, shard: Shard, by: By, detail: str) -> None:
    """Nothing of its batch was sent: it is planned anew, under the next number."""
    batch = shard.current
    if batch is None:
        return
    record = batch.record
    record.detail = f"not sent: {detail}"
    if batch.units:
        shard.intake.give_back(batch.units)
    else:
        shard.intake = Intake(bounds_of(shard.transfer, shard.record), shard.record.checkpoint)
    _count(desk, shard, -len(record.message_ids))
    _close(desk, shard, batch, by, 0)


def _count(desk: Desk, shard: Shard, count: int) -> None:
    key = shard.transfer.record.target_key
    desk.windows.add(key, count, desk.now)
    if limit_of(desk, shard.transfer):
        desk.saver.target(counted(key, count, desk.wall))


def limit_of(desk: Desk, transfer: Transfer) -> int:
    """Messages an hour into its target; 0 for no limit."""
    return transfer.record.spec.max_per_hour or desk.rules.max_per_hour


def suspect(shard: Shard, units: tuple[Unit, ...], size: int) -> None:
    """Telegram refused these: the culprit is among them, and looked for by halves."""
    shard.suspects = len(units) or size


def _how_many(shard: Shard) -> int:
    if shard.one_by_one:
        return 1
    return (shard.suspects + 1) // 2 if shard.suspects else 0


def _close(desk: Desk, shard: Shard, batch: Batch, by: By, delivered: int) -> None:
    record = batch.record
    move(record, BatchState.SETTLED, by)
    desk.saver.batch(record)
    desk.saver.usage(desk.pool.settle(batch_key(record), delivered))
    for worker_id, name in batch.answers:
        acknowledge_saved(desk, worker_id, name)
    shard.current = None
    desk.note(shard.transfer)
    desk.touch(shard)
    if shard.account_id and shard.account_id != record.account_id:
        holding.release(desk, shard)


def acknowledge_saved(desk: Desk, worker_id: str, name: str) -> None:
    """The worker may forget that answer once what followed from it is on disk."""
    desk.acknowledging.add(name)

    def act() -> None:
        desk.acknowledging.discard(name)
        dispatch.acknowledge(desk, worker_id, [name])

    desk.saver.then(act)
