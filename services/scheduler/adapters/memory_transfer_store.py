"""Transfers without a database, for tests and for trying things out. Passes the same contract suite as the
real one; what it keeps are copies, as nothing that is on disk changes with the object it came from.
"""

import time
from collections import Counter
from collections.abc import Sequence
from copy import deepcopy

from services.runtime.errors import Aborted
from services.scheduler.domain.transfers.records import (
    BatchRecord,
    BatchState,
    Changes,
    ModelRecord,
    RefusedMessage,
    ShardRecord,
    TargetCount,
    TransferPicture,
    TransferRecord,
    TransferState,
    Usage,
    UsageChange,
    WaitRecord,
)

_REFUSED_SHOWN = 100
_HOUR = 3660.0  # and the minute that had begun before


class MemoryTransferStore:
    """Implements ports.TransferStore."""

    def __init__(self) -> None:
        self._term = 0
        self._number = 0
        self._transfers: dict[str, TransferRecord] = {}
        self._shards: dict[tuple[str, int], ShardRecord] = {}
        self._batches: dict[tuple[str, int, int], BatchRecord] = {}
        self._refused: dict[str, dict[int, str]] = {}
        self._waits: dict[tuple[str, str, int], WaitRecord] = {}
        self._usage: dict[str, Usage] = {}
        self._models: dict[tuple[str, str], ModelRecord] = {}
        self._targets: Counter[tuple[int, float]] = Counter()
        self._unlendable: set[str] = set()

    def begin_term(self) -> int:
        """The next term, whose commits count from now on."""
        self._term, self._number = self._term + 1, 0
        return self._term

    async def load(self) -> TransferPicture:
        going = {one.transfer_id for one in self._transfers.values() if not one.ended}
        return deepcopy(
            TransferPicture(
                [one for one in self._transfers.values() if one.transfer_id in going],
                [one for one in self._shards.values() if one.transfer_id in going],
                [one for one in self._batches.values() if one.transfer_id in going],
                [one for one in self._waits.values() if one.until > time.time() and one.seconds > 0.0],
                list(self._usage.values()),
                list(self._models.values()),
                [TargetCount(*key, count) for key, count in self._targets.items()],
                sorted(self._unlendable),
            )
        )

    async def commit(self, term: int, number: int, changes: Sequence[Changes]) -> None:
        if term != self._term:
            raise Aborted("A newer term has begun; nothing was written.", reason="TERM_LOST")
        if number > self._number:
            self._number = number
            for one in deepcopy(changes):
                self._write(one)

    async def find_request(self, request_id: str) -> TransferRecord | None:
        found = (one for one in self._transfers.values() if request_id and one.request_id == request_id)
        return deepcopy(next(found, None))

    async def get(
        self, transfer_id: str
    ) -> tuple[TransferRecord, Sequence[ShardRecord], Sequence[RefusedMessage]] | None:
        record = self._transfers.get(transfer_id)
        if record is None:
            return None
        refused = sorted(self._refused.get(transfer_id, {}).items(), reverse=True)[:_REFUSED_SHOWN]
        return deepcopy((record, self._shards_of(transfer_id), [RefusedMessage(*one) for one in refused]))

    async def page(
        self, states: Sequence[TransferState], before: tuple[float, str] | None, limit: int
    ) -> Sequence[tuple[TransferRecord, Sequence[ShardRecord]]]:
        chosen = [
            one
            for one in self._transfers.values()
            if (not states or one.state in states) and (before is None or _place(one) < before)
        ]
        page = sorted(chosen, key=_place, reverse=True)[:limit]
        return deepcopy([(one, self._shards_of(one.transfer_id)) for one in page])

    async def close(self) -> None:
        """Nothing to close."""

    def _shards_of(self, transfer_id: str) -> list[ShardRecord]:
        return [self._shards[key] for key in sorted(self._shards) if key[0] == transfer_id]

    def _write(self, changes: Changes) -> None:
        self._transfers |= {one.transfer_id: one for one in changes.transfers}
        self._shards |= {(one.transfer_id, one.shard): one for one in changes.shards}
        self._waits |= {(one.account_id, one.method, one.chat_id): one for one in changes.waits}
        self._models |= {(one.account_id, one.method): one for one in changes.models}
        for batch in changes.batches:
            name = (batch.transfer_id, batch.shard, batch.batch)
            if batch.state is BatchState.SETTLED:
                self._batches.pop(name, None)
                self._refused.setdefault(batch.transfer_id, {}).update(batch.refused)
            else:
                self._batches[name] = batch
        for one in changes.targets:
            self._targets[one.target_key, one.minute] += one.count
            old = [k for k in self._targets if k[0] == one.target_key and k[1] < one.minute - _HOUR]
            for key in old:
                del self._targets[key]
        for change in changes.lending:
            (self._unlendable.discard if change.lendable else self._unlendable.add)(change.account_id)
        for usage in changes.usage:
            kept = self._usage.get(usage.account_id, Usage(usage.account_id, "", 0, 0, 0))
            self._usage[usage.account_id] = _added(kept, usage)


def _place(record: TransferRecord) -> tuple[float, str]:
    return record.created, record.transfer_id


def _added(kept: Usage, change: UsageChange) -> Usage:
    """A later day begins new counts; what is told of an earlier one counts for the total only."""
    total = kept.total + change.sent
    if change.day > kept.day:
        return Usage(kept.account_id, change.day, change.reserved, change.sent, total)
    if change.day < kept.day:
        return Usage(kept.account_id, kept.day, kept.reserved, kept.sent, total)
    return Usage(kept.account_id, kept.day, kept.reserved + change.reserved, kept.sent + change.sent, total)
