"""A model of the scheduler's database: whole commits or nothing, in order, refused for an old term."""

from __future__ import annotations

from dataclasses import replace

from services.scheduler.domain.transfers.records import (
    ENDED,
    BatchRecord,
    BatchState,
    Changes,
    ModelRecord,
    ShardRecord,
    TargetCount,
    TransferPicture,
    TransferRecord,
    Usage,
    WaitRecord,
)


class Store:
    """What is on disk."""

    def __init__(self) -> None:
        self.term = 0
        self.transfers: dict[str, TransferRecord] = {}
        self.shards: dict[tuple[str, int], ShardRecord] = {}
        self.batches: dict[tuple[str, int], BatchRecord] = {}
        self.waits: dict[tuple[str, str, int], WaitRecord] = {}
        self.usage: dict[tuple[str, str], tuple[int, int]] = {}
        self.models: dict[tuple[str, str], ModelRecord] = {}
        self.targets: list[TargetCount] = []
        self.refused: dict[int, str] = {}
        self.commits = 0

    def commit(self, term: int, changes: Changes) -> bool:
        """Writes all of it; False for an old term."""
        if term != self.term:
            return False
        self.commits += 1
        for transfer in changes.transfers:
            self.transfers[transfer.transfer_id] = replace(transfer)
        for shard in changes.shards:
            self.shards[shard.transfer_id, shard.shard] = replace(shard, skipped=dict(shard.skipped))
        for batch in changes.batches:
            key = (f"{batch.transfer_id}/{batch.shard}", batch.batch)
            if batch.state is BatchState.SETTLED:
                self.batches.pop(key, None)
                self.refused.update(batch.refused)
            else:
                self.batches[key] = replace(batch)
        for wait in changes.waits:
            self.waits[wait.account_id, wait.method, wait.chat_id] = wait
        for change in changes.usage:
            reserved, sent = self.usage.get((change.account_id, change.day), (0, 0))
            self.usage[change.account_id, change.day] = (reserved + change.reserved, sent + change.sent)
        self.targets += changes.targets
        for model in changes.models:
            self.models[model.account_id, model.method] = model
        return True

    def load(self, wall: float) -> TransferPicture:
        """What a new leader takes up."""
        live = [one for one in self.transfers.values() if one.state not in ENDED]
        names = {one.transfer_id for one in live}
        shards = [one for one in self.shards.values() if one.transfer_id in names]
        return TransferPicture(
            [replace(one) for one in live],
            [replace(one, skipped=dict(one.skipped)) for one in shards],
            [replace(one) for one in self.batches.values() if one.transfer_id in names],
            [one for one in self.waits.values() if one.until > wall],
            [
                Usage(account_id, day, reserved, sent, sent)
                for (account_id, day), (reserved, sent) in self.usage.items()
            ],
            list(self.models.values()),
            [one for one in self.targets if one.minute > wall - 3660],
        )
