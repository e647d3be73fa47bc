"""SQLAlchemy's driver for aiosqlite, with one trip to the connection's thread for a statement, not four.

As it comes, opening a cursor, executing, fetching and closing each wait for the thread in turn. Threads that
hand the interpreter to and fro were a third of the registry's processor time while it granted many sessions.
All rows are fetched at once either way. A BEGIN travels with the first statement after it, and nobody waits
for the end of a transaction that only read. Knows no statements but those; `sqlite` opens engines with it.
"""

import sqlite3
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import aiosqlite
from sqlalchemy.dialects.sqlite.aiosqlite import (
    AsyncAdapt_aiosqlite_connection,
    AsyncAdapt_aiosqlite_cursor,
    AsyncAdapt_aiosqlite_dbapi,
)
from sqlalchemy.util.concurrency import await_


@dataclass(frozen=True, slots=True)
class _Ended:
    """What is left of a cursor when its rows have been taken."""

    description: Any = None
    rowcount: int = -1
    lastrowid: int | None = None


_NOT_BEGUN = _Ended()

_How = Callable[[sqlite3.Connection, str, Any], sqlite3.Cursor]
"""`execute` or `executemany`."""

READ, WRITE = "BEGIN DEFERRED", "BEGIN IMMEDIATE"
"""How the two kinds of transactions begin."""


class _Cursor(AsyncAdapt_aiosqlite_cursor):
    """A cursor that exists in the thread only while its statement runs."""

    __slots__ = ()

    def __init__(self, adapt_connection: Any) -> None:  # SQLAlchemy's own would open one in the thread
        self._adapt_connection = adapt_connection
        self._connection = adapt_connection._connection  # noqa: SLF001 - as the class above does
        self._cursor: Any = _NOT_BEGUN
        self._rows = deque()

    @property
    def description(self) -> Any:
        return self._cursor.description

    async def _execute_async(self, operation: Any, parameters: Any) -> None:
        if operation in {READ, WRITE}:
            self._adapt_connection.begin(operation)  # type: ignore[attr-defined]  # it is a _Connection
            return
        await self._run(sqlite3.Connection.execute, operation, () if parameters is None else parameters)

    async def _executemany_async(self, operation: Any, seq_of_parameters: Any) -> None:
        await self._run(sqlite3.Connection.executemany, operation, seq_of_parameters)

    async def _run(self, how: _How, operation: str, parameters: Any) -> None:
        connection: Any = self._connection
        adapted: Any = self._adapt_connection
        async with adapted._execute_mutex:  # noqa: SLF001
            begin = adapted.take_begin()
            done = await connection._execute(_whole, connection._conn, begin, how, operation, parameters)  # noqa: SLF001
            self._cursor, self._rows = done

    async def _async_soft_close(self) -> None:
        """It is closed already."""

    def close(self) -> None:
        """Forgets rows that nobody took."""
        self._rows.clear()


class _Connection(AsyncAdapt_aiosqlite_connection):
    __slots__ = ("_begin", "_ended", "_reads")
    _cursor_cls = _Cursor

    def __init__(self, dbapi: Any, connection: Any) -> None:
        super().__init__(dbapi, connection)
        self._begin = ""  # still to be said
        self._reads = False
        self._ended = False

    def begin(self, how: str) -> None:
        """A transaction begins with the next statement."""
        self._begin, self._reads, self._ended = how, how == READ, False

    def take_begin(self) -> str:
        """What must be said before the next statement; empty for nothing."""
        begin, self._begin = self._begin, ""
        return begin

    def commit(self) -> None:
        """A transaction without a statement has not begun."""
        if self.take_begin():
            self._ended = True
        elif self._reads and not self._ended:
            connection: Any = self._connection
            # The thread takes one thing after the other, so whatever comes next finds it done.
            connection._tx.put_nowait((None, connection._conn.commit))  # noqa: SLF001
            self._ended = True
        else:
            super().commit()

    def rollback(self) -> None:
        """The pool asks for one after every commit."""
        self._begin = ""
        connection: Any = self._connection
        if not self._ended and connection._connection is not None and connection.in_transaction:  # noqa: SLF001
            super().rollback()


class _Module(AsyncAdapt_aiosqlite_dbapi):
    """What SQLAlchemy takes for the driver's module."""

    def connect(self, *arguments: Any, **options: Any) -> AsyncAdapt_aiosqlite_connection:
        connection: Any = aiosqlite.connect(*arguments, **options)
        connection._thread.daemon = True  # noqa: SLF001 - as SQLAlchemy does: a lost connection holds up no exit
        return _Connection(self, await_(connection))


DRIVER = _Module(aiosqlite, sqlite3)
"""For `create_async_engine(module=...)`."""


def _whole(
    connection: sqlite3.Connection, begin: str, how: _How, operation: str, parameters: Any
) -> tuple[_Ended, deque[Any]]:
    """A statement from its beginning to its last row, in the thread."""
    if begin:
        connection.execute(begin)
    cursor = how(connection, operation, parameters)
    rows = deque(cursor.fetchall()) if cursor.description else deque()
    ended = _Ended(cursor.description, cursor.rowcount, cursor.lastrowid)
    cursor.close()
    return ended, rows
