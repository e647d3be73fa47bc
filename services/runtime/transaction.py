"""One database transaction that a cancelled call cannot leave half open, and that tells every failure of the
database alike. Knows nothing of what is in the tables.

A task that is cancelled in the middle of a statement goes on without it (aiosqlite works in a thread), and
what the statement did (a BEGIN, say) stays with a connection that nobody rolls back, until every writer ends
in `database is locked`. So each step runs to its end here before the cancellation is passed on.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

import asyncpg
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection, CursorResult
from sqlalchemy.exc import DBAPIError, IntegrityError, ProgrammingError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.runtime.errors import InvalidArgument, Unavailable
from services.runtime.logs import get_logger

_log = get_logger("database")

T = TypeVar("T")

FAILURES = (SQLAlchemyError, sqlite3.Error, asyncpg.PostgresError, asyncpg.InterfaceError, OSError)
"""What a database that is away, locked, full or too slow raises; a failed dial comes past SQLAlchemy."""

_END_LIMIT = 2.0
"""Seconds for giving a broken transaction up in order; after that its connection is cut off."""
_MISTAKES = (ProgrammingError, IntegrityError)
"""Failures that are rather our own; the log then has the whole story."""
_DATA_EXCEPTION = "22"
"""SQLSTATE class: a value that PostgreSQL cannot keep, such as a text with a NUL character."""


class Transaction:
    """An open transaction; what goes through it is committed or rolled back together."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self.dialect_name = connection.dialect.name

    async def execute(self, statement: Any, parameters: Any = None) -> CursorResult[Any]:
        """Runs one statement, with one or with many sets of parameters. Raises Unavailable,
        InvalidArgument."""
        async with translated():
            return await uninterrupted(self._connection.execute(statement, parameters))

    async def run_sync(self, work: Callable[[Connection], T]) -> T:
        """Runs what wants SQLAlchemy's synchronous connection. Raises as `execute`."""
        async with translated():
            return await uninterrupted(self._connection.run_sync(work))

    def insert_or(self, table: Any) -> Any:
        """INSERT with ON CONFLICT, which SQLite and PostgreSQL write alike but SQLAlchemy keeps apart."""
        return sqlite.insert(table) if self.dialect_name == "sqlite" else postgresql.insert(table)


@asynccontextmanager
async def transaction(engine: AsyncEngine) -> AsyncIterator[Transaction]:
    """Committed when the block ends, rolled back when it raises or is cancelled. Raises Unavailable when it
    cannot be begun or committed; a commit whose answer is lost may have happened, but never in part."""
    connection = engine.connect()
    try:
        async with translated():
            await uninterrupted(_start(connection))
        yield Transaction(connection)
    except BaseException:
        await uninterrupted(_give_up(connection))
        raise
    async with translated():
        await uninterrupted(_commit(connection))


async def uninterrupted(work: Coroutine[Any, Any, T]) -> T:
    """The result of the work. A cancellation is passed on after the work has ended, not before."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            await _swallowing_further_cancellation(task)
        if not task.cancelled():
            task.exception()  # looked at: the cancellation says enough
        raise


@asynccontextmanager
async def translated() -> AsyncIterator[None]:
    """Turns a failure of the database into Unavailable (DATABASE_UNAVAILABLE); the log knows more."""
    try:
        yield
    except FAILURES as error:
        if str(_sqlstate(error)).startswith(_DATA_EXCEPTION):
            raise InvalidArgument(
                "A value holds something that cannot be stored, such as a NUL character.", field="request"
            ) from error
        # An outage fails many calls, and a traceback of each would be the second outage.
        why = f"{type(error).__name__}: {error}".splitlines()[0]
        _log.error("the database failed", why=why, exc_info=error if isinstance(error, _MISTAKES) else None)
        raise Unavailable(
            "The database cannot be used right now; the service's log knows why.",
            reason="DATABASE_UNAVAILABLE",
        ) from error


def _sqlstate(error: BaseException) -> object:
    """PostgreSQL's code for what went wrong, if it said one."""
    return getattr(error.orig if isinstance(error, DBAPIError) else error, "sqlstate", None)


async def _swallowing_further_cancellation(task: "asyncio.Task[Any]") -> None:
    """Waits for the task. The first cancellation is passed on by the caller; more of them change nothing."""
    try:
        await asyncio.wait({task})
    except asyncio.CancelledError:
        return


async def _start(connection: AsyncConnection) -> None:
    await connection.start()
    await connection.begin()


async def _commit(connection: AsyncConnection) -> None:
    try:
        await connection.commit()
    except BaseException:
        await _give_up(connection)
        raise
    await connection.close()


async def _give_up(connection: AsyncConnection) -> None:
    """Rolls back if that is possible, else cuts the connection off: the database then does it. The failure
    that led here is the one to tell."""
    with suppress(*FAILURES):
        try:
            async with asyncio.timeout(_END_LIMIT):
                await connection.close()
        except FAILURES:
            await connection.invalidate()
            await connection.close()
