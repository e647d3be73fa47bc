"""Opens a service's database, SQLite or PostgreSQL, and hands out its transactions. Knows nothing of what is
in the tables: the services bring their statements and migrations.

Whatever fails is Unavailable (DATABASE_UNAVAILABLE) within `LIMIT` seconds, nothing is half done, and the
next transaction tries again with a new connection.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from services.runtime import postgres, sqlite
from services.runtime.errors import SettingsError, Unavailable
from services.runtime.transaction import Transaction, transaction

LIMIT = 15.0
"""Seconds after which a transaction on a database that does not answer has failed."""

_QUEUE_LIMIT = 10.0
_CLOSE_LIMIT = 5.0


@dataclass(frozen=True, slots=True)
class Location:
    """Where a database is, checked. `path` is None for PostgreSQL. The repr holds no password."""

    url: str
    path: Path | None
    service: str
    setting: str

    def __repr__(self) -> str:
        return f"Location({self.setting})"


class Database:
    """An open database. Make it with `open_database`."""

    def __init__(self, location: Location, engine: AsyncEngine, lock_fd: int | None) -> None:
        self.location = location
        self._engine = engine
        self._lock_fd = lock_fd
        self._writer = asyncio.Lock()
        self._open = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._reads = engine.execution_options(**_options(location, writes=False))
        self._writes = engine.execution_options(**_options(location, writes=True))

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Transaction]:
        """A read-only transaction, of one snapshot. Raises Unavailable when the database fails."""
        async with self._counted(), transaction(self._reads) as opened:
            yield opened

    @asynccontextmanager
    async def write(self) -> AsyncIterator[Transaction]:
        """A writing transaction, one at a time over all processes of the service. Raises Unavailable when the
        database fails, or has not got to this one in time."""
        async with self._counted(), self._turn(), transaction(self._writes) as opened:
            yield opened

    @asynccontextmanager
    async def migrate(self) -> AsyncIterator[Transaction]:
        """As `write`, but waits for as long as other writers, and its own statements, need."""
        if self.location.path is not None:
            async with self.write() as opened:
                yield opened
            return
        where = self.location
        engine = postgres.open_engine(where.url, where.service, where.setting, patient=True)
        try:
            async with self._counted(), transaction(engine) as opened:
                yield opened
        finally:
            await engine.dispose()

    async def close(self) -> None:
        """Waits a moment for open transactions, closes all connections, lets another process have the
        file. Idempotent."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_LIMIT):
                await self._idle.wait()
        await self._engine.dispose()
        if self._lock_fd is not None:
            os.close(self._lock_fd)
            self._lock_fd = None

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """Writers of this process queue here instead of polling, or of taking all connections."""
        try:
            async with asyncio.timeout(_QUEUE_LIMIT):
                await self._writer.acquire()
        except TimeoutError as error:
            raise Unavailable(
                "The database is too slow right now; nothing was written.", reason="DATABASE_UNAVAILABLE"
            ) from error
        try:
            yield
        finally:
            self._writer.release()

    @asynccontextmanager
    async def _counted(self) -> AsyncIterator[None]:
        self._open += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._open -= 1
            if self._open == 0:
                self._idle.set()


def locate(url: str, *, service: str, setting: str) -> Location:
    """Checks `sqlite:///path` or `postgresql://user:password@host/database`. Raises SettingsError, which
    names the setting and not the URL."""
    example = f"write sqlite:///path/to/{service}.db or postgresql://user:password@host/database"
    try:
        parsed = make_url(url)
        backend = parsed.get_backend_name()
    except (SQLAlchemyError, ValueError):
        raise SettingsError(f"{setting} is no database URL; {example}") from None
    if backend in {"postgresql", "postgres"}:
        return Location(url, None, service, setting)
    if backend != "sqlite":
        raise SettingsError(f"{setting}: only SQLite and PostgreSQL are supported; {example}")
    if not parsed.database or parsed.database == ":memory:":
        raise SettingsError(f"{setting} names no file; {example}")
    return Location(url, Path(parsed.database), service, setting)


def open_database(location: Location) -> Database:
    """Opens it; PostgreSQL is dialled when it is first used. Raises SettingsError, reason DATABASE_LOCKED
    when another process has the SQLite file."""
    if location.path is None:
        return Database(
            location, postgres.open_engine(location.url, location.service, location.setting), None
        )
    lock_fd = sqlite.lock_file(location.path, location.setting)
    return Database(location, sqlite.open_engine(make_url(location.url)), lock_fd)


def _options(location: Location, *, writes: bool) -> dict[str, Any]:
    options: dict[str, Any] = {sqlite.WRITES: writes}
    if location.path is None and not writes:
        options |= {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
    return options
