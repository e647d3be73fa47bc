"""What must be on disk before something else may happen: rows pile up here until the next commit takes all of
them in one transaction. Knows nothing of what the rows mean.
"""

from collections.abc import Callable
from dataclasses import replace

from services.scheduler.domain.transfers import batch as batches
from services.scheduler.domain.transfers.commands import Commit
from services.scheduler.domain.transfers.records import (
    BatchRecord,
    Changes,
    ModelRecord,
    ShardRecord,
    TargetCount,
    TransferRecord,
    UsageChange,
    WaitRecord,
)

Then = Callable[[], None]


class Saver:
    """Collects one commit after the other."""

    def __init__(self) -> None:
        self._transfers: dict[str, TransferRecord] = {}
        self._shards: dict[tuple[str, int], ShardRecord] = {}
        self._batches: dict[tuple[str, int, int], BatchRecord] = {}
        self._waits: list[WaitRecord] = []
        self._usage: list[UsageChange] = []
        self._targets: list[TargetCount] = []
        self._then: list[Then] = []
        self._under_way: dict[int, list[Then]] = {}
        self._next = 1

    def transfer(self, record: TransferRecord) -> None:
        """Writes it as it is when the commit goes out."""
        self._transfers[record.transfer_id] = record

    def shard(self, record: ShardRecord) -> None:
        """As `transfer`."""
        self._shards[record.transfer_id, record.shard] = record

    def batch(self, record: BatchRecord) -> None:
        """As `transfer`."""
        self._batches[record.transfer_id, record.shard, record.batch] = record

    def wait(self, record: WaitRecord) -> None:
        """Writes a wait."""
        self._waits.append(record)

    def usage(self, change: UsageChange | None) -> None:
        """Adds to an account's counts."""
        if change is not None:
            self._usage.append(change)

    def target(self, count: TargetCount) -> None:
        """Adds to a target's counts."""
        self._targets.append(count)

    def then(self, act: Then) -> None:
        """To be done once everything collected so far is on disk."""
        self._then.append(act)

    @property
    def empty(self) -> bool:
        """Whether nothing was collected."""
        return not (
            self._transfers
            or self._shards
            or self._batches
            or self._waits
            or self._usage
            or self._targets
            or self._then
        )

    def commit(self, models: list[ModelRecord]) -> Commit | None:
        """Everything collected, in one commit; None when there is nothing."""
        if self.empty and not models:
            return None
        changes = Changes(
            transfers=[replace(one) for one in self._transfers.values()],
            shards=[replace(one, skipped=dict(one.skipped)) for one in self._shards.values()],
            batches=[batches.copy(one) for one in self._batches.values()],
            waits=self._waits,
            usage=self._usage,
            models=models,
            targets=self._targets,
        )
        number, self._next = self._next, self._next + 1
        self._under_way[number] = self._then
        self._transfers, self._shards, self._batches = {}, {}, {}
        self._waits, self._usage, self._targets, self._then = [], [], [], []
        return Commit(number, changes)

    def committed(self, number: int) -> list[Then]:
        """What may happen now."""
        return self._under_way.pop(number, [])
