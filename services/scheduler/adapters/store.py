"""Terms and known workers in SQL. Every commit compares the term in its own transaction, so that a leader
that was frozen while another took over can write nothing (DESIGN section 2).
"""

import time
from collections.abc import Sequence
from typing import Any

from sqlalchemy import insert, select, update
from sqlalchemy.dialects.sqlite import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.runtime.errors import Aborted
from services.scheduler.adapters.database import Database
from services.scheduler.adapters.models import KnownWorkerRow, LeadershipRow
from services.scheduler.domain.model import KnownWorker

_TERMS: Any = LeadershipRow.__table__  # type: ignore[attr-defined]
_WORKERS: Any = KnownWorkerRow.__table__  # type: ignore[attr-defined]
_FIELDS = ("incarnation", "capacity", "last_seen", "lost")


class SqlStore:
    """Implements ports.Store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def begin_term(self, holder: str) -> int:
        async with self._database.transaction() as connection:
            seen = await _term(connection)
            values = {"term": seen + 1, "holder": holder, "began": time.time()}
            if seen == 0:
                await connection.execute(insert(_TERMS).values(id=1, **values))
                return 1
            changed = await connection.execute(update(_TERMS).where(_TERMS.c.term == seen).values(**values))
            if changed.rowcount != 1:
                raise Aborted("Another scheduler began a term at the same time.", reason="TERM_LOST")
            return seen + 1

    async def known_workers(self) -> list[KnownWorker]:
        async with self._database.transaction() as connection:
            rows = (await connection.execute(select(_WORKERS))).all()
        return [KnownWorker(r.worker_id, r.incarnation, r.capacity, r.last_seen, r.lost) for r in rows]

    async def remember(self, term: int, workers: Sequence[KnownWorker]) -> None:
        async with self._database.transaction() as connection:
            if await _term(connection) != term:
                raise Aborted("A newer term has begun; nothing was written.", reason="TERM_LOST")
            for worker in workers:
                values = {name: getattr(worker, name) for name in _FIELDS}
                statement = upsert(_WORKERS).values(worker_id=worker.worker_id, **values)
                await connection.execute(
                    statement.on_conflict_do_update(index_elements=[_WORKERS.c.worker_id], set_=values)
                )

    async def close(self) -> None:
        await self._database.close()


async def _term(connection: AsyncConnection) -> int:
    """The newest term; 0 before the first."""
    found = (await connection.execute(select(_TERMS.c.term))).scalar()
    return int(found or 0)
