"""One database transaction that a cancelled call cannot leave half open.

aiosqlite works in a thread: a task that is cancelled while a statement runs there goes on without it, and
what the statement did (a BEGIN, say) stays with a connection that nobody rolls back, until every writer ends
in `database is locked`. So each step runs to its end here before the cancellation is passed on.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from sqlalchemy.engine import Connection, CursorResult
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

T = TypeVar("T")


class Transaction:
    """An open transaction; what goes through it is committed or rolled back together."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self.dialect_name = connection.dialect.name

    async def execute(self, statement: Any, parameters: Any = None) -> CursorResult[Any]:
        """Runs one statement, with one or with many sets of parameters."""
        return await uninterrupted(self._connection.execute(statement, parameters))

    async def run_sync(self, work: Callable[[Connection], T]) -> T:
        """Runs what wants SQLAlchemy's synchronous connection."""
        return await uninterrupted(self._connection.run_sync(work))


@asynccontextmanager
async def transaction(engine: AsyncEngine) -> AsyncIterator[Transaction]:
    """Committed when the block ends, rolled back when it raises or is cancelled."""
    connection = engine.connect()
    try:
        await uninterrupted(_start(connection))
        yield Transaction(connection)
    except BaseException:
        await uninterrupted(_end(connection, commit=False))
        raise
    await uninterrupted(_end(connection, commit=True))


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


async def _swallowing_further_cancellation(task: "asyncio.Task[Any]") -> None:
    """Waits for the task. The first cancellation is passed on by the caller; more of them change nothing."""
    try:
        await asyncio.wait({task})
    except asyncio.CancelledError:
        return


async def _start(connection: AsyncConnection) -> None:
    await connection.start()
    await connection.begin()


async def _end(connection: AsyncConnection, *, commit: bool) -> None:
    try:
        if commit:
            await connection.commit()
        elif connection.in_transaction():
            await connection.rollback()
    finally:
        await connection.close()
