"""Hands out transactions on the database. Knows no statements and no rules."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.registry.adapters.sql_read import SqlRead
from services.registry.adapters.sql_write import SqlWrite
from services.runtime.database import Database


class SqlStore:
    """Implements ports.Store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def read(self) -> AsyncIterator[SqlRead]:
        """A read-only transaction."""
        async with self._database.read() as opened:
            yield SqlRead(opened)

    @asynccontextmanager
    async def write(self) -> AsyncIterator[SqlWrite]:
        """A transaction; committed when the block ends, rolled back when it raises."""
        async with self._database.write() as opened:
            yield SqlWrite(opened)
