"""Transfers in SQL. Every commit compares the term in its own transaction (DESIGN section 2), and its number,
so that a commit whose answer was lost can be repeated without counting twice.

A settled batch keeps no row: a transfer of a million messages would leave 10,000 of them, and everything that
counts of it is in its shard (checkpoint, counts) and in the refused messages. A late answer can still be
judged: its order's id names shard and batch, and a batch whose number is below the shard's `next_batch` and
that has no row is settled, so that the answer says nothing new. random_ids need not be kept either, as they
follow from transfer, target and source id.
"""

import time
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any

from sqlalchemy import bindparam, case, delete, select, tuple_, update

from services.runtime.database import Database
from services.runtime.errors import Aborted
from services.runtime.transaction import Transaction
from services.scheduler.adapters import transfer_rows as rows
from services.scheduler.adapters.models import (
    BatchRow,
    LeadershipRow,
    LearnedRow,
    RefusedRow,
    ShardRow,
    TransferRow,
    UsageRow,
    WaitRow,
)
from services.scheduler.domain.transfers.records import (
    BatchRecord,
    BatchState,
    Changes,
    RefusedMessage,
    ShardRecord,
    TransferPicture,
    TransferRecord,
    TransferState,
    UsageChange,
)

_TERMS: Any = LeadershipRow.__table__  # type: ignore[attr-defined]
_TRANSFERS: Any = TransferRow.__table__  # type: ignore[attr-defined]
_SHARDS: Any = ShardRow.__table__  # type: ignore[attr-defined]
_BATCHES: Any = BatchRow.__table__  # type: ignore[attr-defined]
_REFUSED: Any = RefusedRow.__table__  # type: ignore[attr-defined]
_WAITS: Any = WaitRow.__table__  # type: ignore[attr-defined]
_USAGE: Any = UsageRow.__table__  # type: ignore[attr-defined]
_MODELS: Any = LearnedRow.__table__  # type: ignore[attr-defined]

_REFUSED_SHOWN = 100

_REPLACED: dict[str, tuple[Any, tuple[str, ...], Callable[[Any], rows.Row]]] = {
    "transfers": (_TRANSFERS, ("transfer_id",), rows.transfer_row),
    "shards": (_SHARDS, ("transfer_id", "shard"), rows.shard_row),
    "waits": (_WAITS, ("account_id", "method", "chat_id"), rows.wait_row),
    "models": (_MODELS, ("account_id", "method"), rows.model_row),
}
"""Fields of Changes whose rows are replaced as a whole: table, what names a record, how it is written."""

_SETTLE = delete(_BATCHES).where(
    _BATCHES.c.transfer_id == bindparam("of_transfer"),
    _BATCHES.c.shard == bindparam("of_shard"),
    _BATCHES.c.batch == bindparam("of_batch"),
)


class SqlTransferStore:
    """Implements ports.TransferStore."""

    def __init__(self, database: Database) -> None:
        self._database = database

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
            )

    async def commit(self, term: int, number: int, changes: Sequence[Changes]) -> None:
        async with self._database.write() as opened:
            if await _begin(opened, term, number):
                await _write(opened, changes)

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


async def _begin(opened: Transaction, term: int, number: int) -> bool:
    """Takes the commit's number; False when that was written before. Raises Aborted."""
    row = (await opened.execute(select(_TERMS.c.term, _TERMS.c.commits))).first()
    if row is None or row.term != term:
        raise Aborted("A newer term has begun; nothing was written.", reason="TERM_LOST")
    if row.commits >= number:
        return False
    await opened.execute(update(_TERMS).values(commits=number))
    return True


async def _write(opened: Transaction, changes: Sequence[Changes]) -> None:
    """Of rows that several of the changes replace the last word counts, so each is written once; counts are
    added up."""
    for kind, (table, keys, row) in _REPLACED.items():
        await _replace(opened, table, [row(one) for one in _latest(changes, kind, keys)])
    await _write_batches(opened, _latest(changes, "batches", ("transfer_id", "shard", "batch")))
    await _count(opened, [change for one in changes for change in one.usage])


async def _write_batches(opened: Transaction, batches: Sequence[BatchRecord]) -> None:
    settled = [one for one in batches if one.state is BatchState.SETTLED]
    await _replace(
        opened, _BATCHES, [rows.batch_row(o) for o in batches if o.state is not BatchState.SETTLED]
    )
    if settled:
        await opened.execute(_SETTLE, [rows.batch_key(one) for one in settled])
    await _replace(opened, _REFUSED, [row for one in settled for row in rows.refused_rows(one)])


async def _replace(opened: Transaction, table: Any, values: Sequence[rows.Row]) -> None:
    if not values:
        return
    insert = opened.insert_or(table)
    keys = [column.name for column in table.primary_key]
    rest = {column.name: insert.excluded[column.name] for column in table.c if column.name not in keys}
    await opened.execute(insert.on_conflict_do_update(index_elements=keys, set_=rest), list(values))


async def _count(opened: Transaction, usage: Sequence[UsageChange]) -> None:
    """A later day begins new counts; what is told of an earlier one counts for the total only."""
    if not usage:
        return
    insert = opened.insert_or(_USAGE)
    new = insert.excluded
    same, later = new.day == _USAGE.c.day, new.day > _USAGE.c.day

    def counted(name: str) -> Any:
        kept = _USAGE.c[name]
        return case((same, kept + new[name]), (later, new[name]), else_=kept)

    values = {
        "day": case((later, new.day), else_=_USAGE.c.day),
        "reserved": counted("reserved"),
        "sent": counted("sent"),
        "total": _USAGE.c.total + new.total,
    }
    statement = insert.on_conflict_do_update(index_elements=["account_id"], set_=values)
    await opened.execute(statement, [rows.usage_row(one) for one in _added(usage)])


def _added(usage: Sequence[UsageChange]) -> list[UsageChange]:
    """One change for each account and day, days upwards."""
    sums: dict[tuple[str, str], UsageChange] = {}
    for one in usage:
        key = (one.day, one.account_id)
        before = sums.get(key, UsageChange(one.account_id, one.day))
        sums[key] = UsageChange(
            one.account_id, one.day, before.reserved + one.reserved, before.sent + one.sent
        )
    return [sums[key] for key in sorted(sums)]


def _latest(changes: Sequence[Changes], kind: str, keys: tuple[str, ...]) -> list[Any]:
    if len(changes) == 1:
        only: list[Any] = getattr(changes[0], kind)
        return only
    key = attrgetter(*keys)
    return list({key(one): one for each in changes for one in getattr(each, kind)}.values())
