"""How a transfer comes to the desk: created a moment ago, or left by an earlier leader. Sends nothing."""

from services.scheduler.domain.transfers.batch import RandomIds
from services.scheduler.domain.transfers.batching import Bounds, Intake
from services.scheduler.domain.transfers.records import (
    BatchRecord,
    ShardRecord,
    TransferPicture,
    TransferRecord,
)
from services.scheduler.domain.transfers.state import Batch, Desk, Shard, Transfer, bounds_of


def take_up(desk: Desk, record: TransferRecord, shards: list[ShardRecord]) -> Transfer:
    """Adds a transfer."""
    ids = RandomIds(record.transfer_id, record.target_key)
    transfer = Transfer(record, frozenset(record.spec.account_ids), ids)
    for one in shards:
        transfer.shards[one.shard] = Shard(one, transfer, Intake(Bounds(1, 0, 1, 0), 0))
    for shard in transfer.shards.values():
        shard.intake = Intake(bounds_of(transfer, shard.record), shard.record.checkpoint)
    desk.transfers[record.transfer_id] = transfer
    desk.touch_all(transfer)
    return transfer


def take_up_picture(desk: Desk, picture: TransferPicture) -> None:
    """Takes up what an earlier leader left. What it may have sent waits for the workers' hello."""
    desk.windows.restore(picture.targets, desk.now, desk.wall)
    by_transfer: dict[str, list[ShardRecord]] = {}
    for shard_record in picture.shards:
        by_transfer.setdefault(shard_record.transfer_id, []).append(shard_record)
    for record in picture.transfers:
        take_up(desk, record, sorted(by_transfer.get(record.transfer_id, []), key=lambda one: one.shard))
    for left in picture.batches:
        shard = desk.find(f"{left.transfer_id}/{left.shard}")
        if shard is not None:
            shard.current = _left(desk, left)
            if desk.pool.occupy(left.account_id, shard.key):
                shard.account_id = left.account_id


def _left(desk: Desk, record: BatchRecord) -> Batch:
    passed = desk.wall - record.first_sent
    if passed < 0:  # the clock was set back meanwhile: it may be any age
        passed = desk.rules.repeat_window
    return Batch(
        record,
        given=True,
        first_sent=desk.now - passed,
        unknown_since=desk.now,
        waits_for_hello=True,
    )
