"""Transfers in SQL: what is read of them here, what is written by `transfer_writer`.

A settled batch keeps no row: a transfer of a million messages would leave 10,000 of them, and everything that
counts of it is in its shard (checkpoint, counts) and in the refused messages. A late answer can still be
judged: its order's id names shard and batch, and a batch whose number is below the shard's `next_batch` and
that has no row is settled, so that the answer says nothing new. random_ids need not be kept either, as they
follow from transfer, target and source id.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import select, tuple_

from services.runtime.database import Database
from services.scheduler.adapters import transfer_rows as rows
from services.scheduler.adapters.models import (
    BatchRow,
    LearnedRow,
    RefusedRow,
    ShardRow,
    TargetRow,
    TransferRow,
    UnlendableRow,
    UsageRow,
    WaitRow,
)
from services.scheduler.adapters.transfer_statements import statements
from services.scheduler.adapters.transfer_writer import SqliteWriter, SqlWriter
from services.scheduler.domain.transfers.records import (
    Changes,
    RefusedMessage,
    ShardRecord,
    TransferPicture,
    TransferRecord,
    TransferState,
)

_TRANSFERS: Any = TransferRow.__table__  # type: ignore[attr-defined]
_SHARDS: Any = ShardRow.__table__  # type: ignore[attr-defined]
_BATCHES: Any = BatchRow.__table__  # type: ignore[attr-defined]
_REFUSED: Any = RefusedRow.__table__  # type: ignore[attr-defined]
_WAITS: Any = WaitRow.__table__  # type: ignore[attr-defined]
_USAGE: Any = UsageRow.__table__  # type: ignore[attr-defined]
_MODELS: Any = LearnedRow.__table__  # type: ignore[attr-defined]

_TARGETS: Any = TargetRow.__table__  # type: ignore[attr-defined]
_UNLENDABLE: Any = UnlendableRow.__table__  # type: ignore[attr-defined]

_REFUSED_SHOWN = 100
_HOUR = 3660.0  # and the minute that had begun before


class SqlTransferStore:
    """Implements ports.TransferStore."""

    def __init__(self, database: Database) -> None:
        path = database.location.path
        self._database = database
        self._statements = statements(on_sqlite=path is not None)
        self._writer = SqlWriter(database) if path is None else SqliteWriter(path)

    async def load(self) -> TransferPicture:
        open_ones = select(_TRANSFERS.c.transfer_id).where(_TRANSFERS.c.ended == 0.0)
        running = _WAITS.c.seconds > 0.0  # 0: ended before its time
        async with self._database.read() as opened:

            async def found(statement: Any, record: Callable[[Any], Any]) -> list[Any]:
                return [record(row) for row in await opened.execute(statement)]

            return TransferPicture(
                await found(select(_TRANSFERS).where(_TRANSFERS.c.ended == 0.0), rows.transfer),
                await found(select(_SHARDS).where(_SHARDS.c.transfer_id.in_(open_ones)), rows.shard),
                await found(select(_BATCHES).where(_BATCHES.c.transfer_id.in_(open_ones)), rows.batch),
                await found(select(_WAITS).where(running, _WAITS.c.until > time.time()), rows.wait),
                await found(select(_USAGE), rows.usage),
                await found(select(_MODELS), rows.model),
                await found(select(_TARGETS).where(_TARGETS.c.minute > time.time() - _HOUR), rows.target),
                await found(select(_UNLENDABLE), lambda row: row.account_id),
            )

    async def commit(self, term: int, number: int, changes: Sequence[Changes]) -> None:
        await self._writer.write(term, number, self._statements.writes(changes))

    async def close(self) -> None:
        await self._writer.close()

    async def find_request(self, request_id: str) -> TransferRecord | None:
        return await self._transfer(_TRANSFERS.c.request_id == request_id)

    async def get(
        self, transfer_id: str
    ) -> tuple[TransferRecord, Sequence[ShardRecord], Sequence[RefusedMessage]] | None:
        async with self._database.read() as opened:
            row = (
                await opened.execute(select(_TRANSFERS).where(_TRANSFERS.c.transfer_id == transfer_id))
            ).first()
            if row is None:
                return None
            shards = await opened.execute(_shards_of([transfer_id]))
            refused = await opened.execute(
                select(_REFUSED)
                .where(_REFUSED.c.transfer_id == transfer_id)
                .order_by(_REFUSED.c.message_id.desc())
                .limit(_REFUSED_SHOWN)
            )
            return (
                rows.transfer(row),
                [rows.shard(one) for one in shards],
                [RefusedMessage(one.message_id, one.reason) for one in refused],
            )

    async def page(
        self, states: Sequence[TransferState], before: tuple[float, str] | None, limit: int
    ) -> Sequence[tuple[TransferRecord, Sequence[ShardRecord]]]:
        wanted = select(_TRANSFERS).order_by(_TRANSFERS.c.created.desc(), _TRANSFERS.c.transfer_id.desc())
        if states:
            wanted = wanted.where(_TRANSFERS.c.state.in_([state.value for state in states]))
        if before is not None:
            wanted = wanted.where(tuple_(_TRANSFERS.c.created, _TRANSFERS.c.transfer_id) < tuple_(*before))
        async with self._database.read() as opened:
            found = [rows.transfer(row) for row in await opened.execute(wanted.limit(limit))]
            shards = await opened.execute(_shards_of([one.transfer_id for one in found]))
        by_transfer: dict[str, list[ShardRecord]] = {}
        for row in shards:
            by_transfer.setdefault(row.transfer_id, []).append(rows.shard(row))
        return [(one, by_transfer.get(one.transfer_id, [])) for one in found]

    async def _transfer(self, condition: Any) -> TransferRecord | None:
        async with self._database.read() as opened:
            row = (await opened.execute(select(_TRANSFERS).where(condition))).first()
        return None if row is None else rows.transfer(row)


def _shards_of(transfer_ids: Sequence[str]) -> Any:
    return (
        select(_SHARDS)
        .where(_SHARDS.c.transfer_id.in_(transfer_ids))
        .order_by(_SHARDS.c.transfer_id, _SHARDS.c.shard)
    )
