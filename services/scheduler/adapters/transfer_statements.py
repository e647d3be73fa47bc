"""What a commit of transfers writes, as plain statements with tuples of values. Made by SQLAlchemy once for
each database, since making them anew is most of what a small commit would cost.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from operator import attrgetter
from typing import Any, NamedTuple

from sqlalchemy import bindparam, case, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql import asyncpg
from sqlalchemy.dialects.sqlite import aiosqlite

from services.scheduler.adapters import transfer_rows as rows
from services.scheduler.adapters.models import (
    BatchRow,
    LeadershipRow,
    LearnedRow,
    RefusedRow,
    ShardRow,
    TargetRow,
    TransferRow,
    UnlendableRow,
    UsageRow,
    WaitRow,
)
from services.scheduler.domain.transfers.records import BatchState, Changes, UsageChange

_TERMS: Any = LeadershipRow.__table__  # type: ignore[attr-defined]
_BATCHES: Any = BatchRow.__table__  # type: ignore[attr-defined]
_REFUSED: Any = RefusedRow.__table__  # type: ignore[attr-defined]
_USAGE: Any = UsageRow.__table__  # type: ignore[attr-defined]
_TARGETS: Any = TargetRow.__table__  # type: ignore[attr-defined]
_UNLENDABLE: Any = UnlendableRow.__table__  # type: ignore[attr-defined]

_HOUR = 3660.0  # and the minute that had begun before

_REPLACED: dict[str, tuple[Any, tuple[str, ...], Callable[[Any], rows.Row]]] = {
    "transfers": (TransferRow, ("transfer_id",), rows.transfer_row),
    "shards": (ShardRow, ("transfer_id", "shard"), rows.shard_row),
    "waits": (WaitRow, ("account_id", "method", "chat_id"), rows.wait_row),
    "models": (LearnedRow, ("account_id", "method"), rows.model_row),
}
"""Fields of Changes whose rows are replaced as a whole: table, what names a record, how it is written."""

Write = tuple[str, Sequence[rows.Row]]
"""A statement, and the values of each of its runs."""


class Statements:
    """The texts for one database."""

    def __init__(self, *, on_sqlite: bool) -> None:
        self._dialect = _dialect(aiosqlite if on_sqlite else asyncpg)
        self._insert: Any = sqlite.insert if on_sqlite else postgresql.insert
        take = update(_TERMS).where(_TERMS.c.term == bindparam("of"), _TERMS.c.commits < bindparam("below"))
        self.take_number = self._text(take.values(commits=bindparam("number")), "number", "of", "below")
        """Number, term, number; changes one row, or the term is over or the number was taken before."""
        self.term = self._text(select(_TERMS.c.term))
        self._replace = {kind: self._upsert(row.__table__) for kind, (row, _, _) in _REPLACED.items()}
        self._batches, self._refused = self._upsert(_BATCHES), self._upsert(_REFUSED)
        self._usage, self._targets = self._upsert(_USAGE), self._upsert(_TARGETS)
        old = (_TARGETS.c.target_key == bindparam("of"), _TARGETS.c.minute < bindparam("before"))
        self._forget = self._text(delete(_TARGETS).where(*old), "of", "before")
        stopped = self._insert(_UNLENDABLE).on_conflict_do_nothing(index_elements=["account_id"])
        self._stopped = self._text(stopped, "account_id")
        lent = delete(_UNLENDABLE).where(_UNLENDABLE.c.account_id == bindparam("of"))
        self._lent = self._text(lent, "of")
        keys = ("transfer_id", "shard", "batch")
        settle = delete(_BATCHES).where(*(_BATCHES.c[key] == bindparam(f"of_{key}") for key in keys))
        self._settle = self._text(settle, *(f"of_{key}" for key in keys))

    def writes(self, changes: Sequence[Changes]) -> list[Write]:
        """Of rows that several of the changes replace the last word counts, so each is written once; counts
        are added up."""
        return [(text, values) for text, values in self._writes(changes) if values]

    def _writes(self, changes: Sequence[Changes]) -> Iterator[Write]:
        for kind, (_, keys, row) in _REPLACED.items():
            yield self._replace[kind], [row(one) for one in _latest(changes, kind, keys)]
        batches = _latest(changes, "batches", ("transfer_id", "shard", "batch"))
        settled = [one for one in batches if one.state is BatchState.SETTLED]
        yield self._batches, [rows.batch_row(one) for one in batches if one.state is not BatchState.SETTLED]
        yield self._settle, [rows.batch_key(one) for one in settled]
        yield self._refused, [row for one in settled for row in rows.refused_rows(one)]
        yield self._usage, [rows.usage_row(one) for one in _added(changes)]
        targets = [one for each in changes for one in each.targets]
        yield self._targets, [rows.target_row(one) for one in targets]
        yield self._forget, [(one.target_key, one.minute - _HOUR) for one in targets]
        lending = _latest(changes, "lending", ("account_id",))
        yield self._stopped, [(one.account_id,) for one in lending if not one.lendable]
        yield self._lent, [(one.account_id,) for one in lending if one.lendable]

    def _upsert(self, table: Any) -> str:
        insert = self._insert(table)
        keys = [column.name for column in table.primary_key]
        new = insert.excluded
        changed = {column.name: new[column.name] for column in table.c if column.name not in keys}
        if table is _USAGE:
            changed = _counted(new)
        elif table is _TARGETS:
            changed = {"count": _TARGETS.c["count"] + new["count"]}
        statement = insert.on_conflict_do_update(index_elements=keys, set_=changed)
        return self._text(statement, *(column.name for column in table.c))

    def _text(self, statement: Any, *values: str) -> str:
        compiled = statement.compile(dialect=self._dialect)
        if tuple(compiled.positiontup) != values:
            raise TypeError(f"{compiled.positiontup} is not the order of {values}")
        return str(compiled)


@cache
def statements(*, on_sqlite: bool) -> Statements:
    """The texts for SQLite, or for PostgreSQL."""
    return Statements(on_sqlite=on_sqlite)


def _dialect(module: Any) -> Any:
    return module.dialect()


class _Count(NamedTuple):
    reserved: int = 0
    sent: int = 0


def _added(changes: Sequence[Changes]) -> list[UsageChange]:
    """One change for each account and day, days upwards."""
    sums: dict[tuple[str, str], _Count] = {}
    for one in (usage for each in changes for usage in each.usage):
        before = sums.get((one.day, one.account_id), _Count())
        sums[one.day, one.account_id] = _Count(before.reserved + one.reserved, before.sent + one.sent)
    return [UsageChange(account_id, day, *sums[day, account_id]) for day, account_id in sorted(sums)]


def _latest(changes: Sequence[Changes], kind: str, keys: tuple[str, ...]) -> list[Any]:
    if len(changes) == 1:
        only: list[Any] = getattr(changes[0], kind)
        return only
    found = [one for each in changes for one in getattr(each, kind)]
    if len(found) < 2:  # noqa: PLR2004 - none, or one: nothing can be there twice
        return found
    key = attrgetter(*keys)
    return list({key(one): one for one in found}.values())


def _counted(new: Any) -> dict[str, Any]:
    """A later day begins new counts; what is told of an earlier one counts for the total only."""
    old = _USAGE.c
    same, later = new.day == old.day, new.day > old.day
    return {
        "day": case((later, new.day), else_=old.day),
        "reserved": case((same, old.reserved + new.reserved), (later, new.reserved), else_=old.reserved),
        "sent": case((same, old.sent + new.sent), (later, new.sent), else_=old.sent),
        "total": old.total + new.total,
    }
