"""Commits of transfers: one transaction for each, which compares the term and the commit's number.

On SQLite a thread with a connection of its own does all of it in one go; the statements one by one through
the event loop would take five times as long. PostgreSQL is asked through the runtime's transactions.
"""

import asyncio
import sqlite3
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from sqlalchemy.engine import Connection

from services.runtime import sqlite
from services.runtime.database import LIMIT, Database
from services.runtime.errors import Aborted, Unavailable
from services.runtime.transaction import Transaction, translated
from services.scheduler.adapters.transfer_statements import Write, statements

_CLOSE_LIMIT = 5.0


class SqliteWriter:
    """One thread, one connection; made anew after a failure that the old one may not have survived."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._texts = statements(on_sqlite=True)
        self._thread = ThreadPoolExecutor(1, "transfer writer")
        self._connection: sqlite3.Connection | None = None

    async def write(self, term: int, number: int, writes: Sequence[Write]) -> None:
        """Raises Aborted (TERM_LOST), Unavailable."""
        work = asyncio.get_running_loop().run_in_executor(self._thread, self._write, term, number, writes)
        try:
            async with asyncio.timeout(LIMIT), translated():
                await asyncio.shield(work)
        except TimeoutError as error:
            raise Unavailable("The database is too slow.", reason="DATABASE_UNAVAILABLE") from error

    async def close(self) -> None:
        """After the transaction that is on its way; waits no longer than for another one."""
        closing = asyncio.get_running_loop().run_in_executor(self._thread, self._drop)
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_LIMIT):
                await closing
        self._thread.shutdown(wait=False)

    def _write(self, term: int, number: int, writes: Sequence[Write]) -> None:
        if self._connection is None:
            self._connection = sqlite.connect(self._path)
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            taken = connection.execute(self._texts.take_number, (number, term, number))
            if taken.rowcount == 1:
                for text, values in writes:
                    connection.executemany(text, values)
            else:
                _check(term, connection.execute(self._texts.term).fetchone())
            connection.execute("COMMIT")
        except Aborted:
            connection.execute("ROLLBACK")
            raise
        except sqlite3.Error:
            self._drop()
            raise

    def _drop(self) -> None:
        """Closing a connection undoes what it had begun."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


class SqlWriter:
    """Through the runtime's transactions, for PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._texts = statements(on_sqlite=False)

    async def write(self, term: int, number: int, writes: Sequence[Write]) -> None:
        """Raises Aborted (TERM_LOST), Unavailable."""
        async with self._database.write() as opened:
            taken = await _run(opened, self._texts.take_number, (number, term, number))
            if taken != 1:
                row = await opened.run_sync(lambda c: c.exec_driver_sql(self._texts.term).first())
                _check(term, row)
                return
            for text, values in writes:
                await _run(opened, text, list(values))

    async def close(self) -> None:
        """Nothing of its own is open."""


async def _run(opened: Transaction, text: str, values: Any) -> int:
    def run(connection: Connection) -> int:
        return connection.exec_driver_sql(text, values).rowcount

    return await opened.run_sync(run)


def _check(term: int, row: Sequence[Any] | None) -> None:
    """Why a number was not taken: written before, or the term is over."""
    if row is None or row[0] != term:
        raise Aborted("A newer term has begun; nothing was written.", reason="TERM_LOST")
