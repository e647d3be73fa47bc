"""Terms and known workers in SQL. Every commit compares the term in its own transaction, so that a leader
that was frozen while another took over can write nothing (DESIGN section 2).
"""

import time
from collections.abc import Sequence
from typing import Any

from sqlalchemy import insert, select, update

from services.runtime.database import Database
from services.runtime.errors import Aborted
from services.runtime.transaction import Transaction
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
        async with self._database.write() as opened:
            seen = await _term(opened)
            values = {"term": seen + 1, "holder": holder, "began": time.time(), "commits": 0}
            if seen == 0:
                await opened.execute(insert(_TERMS).values(id=1, **values))
                return 1
            changed = await opened.execute(update(_TERMS).where(_TERMS.c.term == seen).values(**values))
            if changed.rowcount != 1:
                raise Aborted("Another scheduler began a term at the same time.", reason="TERM_LOST")
            return seen + 1

    async def known_workers(self) -> list[KnownWorker]:
        async with self._database.read() as opened:
            rows = (await opened.execute(select(_WORKERS))).all()
        return [KnownWorker(r.worker_id, r.incarnation, r.capacity, r.last_seen, r.lost) for r in rows]

    async def remember(self, term: int, workers: Sequence[KnownWorker]) -> None:
        async with self._database.write() as opened:
            if await _term(opened) != term:
                raise Aborted("A newer term has begun; nothing was written.", reason="TERM_LOST")
            if not workers:
                return
            rows = [
                {"worker_id": w.worker_id} | {name: getattr(w, name) for name in _FIELDS} for w in workers
            ]
            upsert = opened.insert_or(_WORKERS)
            changed = {name: upsert.excluded[name] for name in _FIELDS}
            await opened.execute(
                upsert.on_conflict_do_update(index_elements=["worker_id"], set_=changed), rows
            )

    async def close(self) -> None:
        await self._database.close()


async def _term(opened: Transaction) -> int:
    """The newest term; 0 before the first."""
    found = (await opened.execute(select(_TERMS.c.term))).scalar()
    return int(found or 0)
