"""Opens the scheduler's database: SQLite's pragmas, the newest schema, and one process per SQLite file.

A standby that wins the election may find the file still in the hands of a leader that is being frozen or
killed; it then waits for it (`StillInUseError`), as two processes on one file are what SQLite must not have
(DESIGN section 2).
"""

import fcntl
import os
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import event
from sqlalchemy.engine import Connection, make_url
from sqlalchemy.engine.url import URL
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from services.runtime.errors import SettingsError, Unavailable

_SETTING = "TGFLEET_SCHEDULER_DATABASE_URL"
_MIGRATIONS = Path(__file__).resolve().parent.parent / "migrations"
_BUSY_SECONDS = 5


class StillInUseError(Exception):
    """Another scheduler process has the SQLite file open."""


class Database:
    """An open database; made by `open_database`."""

    def __init__(self, engine: AsyncEngine, lock_fd: int) -> None:
        self._engine = engine
        self._lock_fd = lock_fd

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """A writing transaction. Raises Unavailable (DATABASE_UNAVAILABLE) when the database fails."""
        try:
            async with self._engine.begin() as connection:
                yield connection
        except (SQLAlchemyError, sqlite3.Error) as error:
            raise Unavailable(
                "The scheduler's database cannot be used right now; its log knows why.",
                reason="DATABASE_UNAVAILABLE",
            ) from error

    async def close(self) -> None:
        """Closes all connections, then lets another process have the file. Idempotent."""
        await self._engine.dispose()
        if self._lock_fd >= 0:
            os.close(self._lock_fd)
            self._lock_fd = -1


def check_url(url: str) -> URL:
    """Raises SettingsError with a sentence when the URL cannot be used."""
    try:
        parsed = make_url(url)
    except SQLAlchemyError as error:
        raise SettingsError(f"{_SETTING} is no database URL; write sqlite:///path/to/scheduler.db") from error
    if parsed.get_backend_name() != "sqlite":
        raise SettingsError(f"{_SETTING}: only SQLite is supported so far; write sqlite:///path/to/file.db")
    if not parsed.database or parsed.database == ":memory:":
        raise SettingsError(f"{_SETTING} names no file; write sqlite:///path/to/scheduler.db")
    return parsed.set(drivername="sqlite+aiosqlite")


async def open_database(url: str) -> Database:
    """Opens the database and brings it to the newest schema. Raises SettingsError, StillInUseError,
    Unavailable."""
    parsed = check_url(url)
    lock_fd = _lock(Path(parsed.database or ""))
    engine = create_async_engine(parsed, pool_size=1, max_overflow=0)
    event.listen(engine.sync_engine, "connect", _on_connect)
    event.listen(engine.sync_engine, "begin", _on_begin)
    database = Database(engine, lock_fd)
    try:
        async with database.transaction() as connection:
            await connection.run_sync(_upgrade)
    except BaseException:
        await database.close()
        raise
    return database


def _lock(path: Path) -> int:
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock_fd = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise SettingsError(f"{_SETTING}: {path} cannot be written ({error.strerror})") from error
    try:
        fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        os.close(lock_fd)
        if isinstance(error, BlockingIOError):
            raise StillInUseError(str(path)) from error
        raise SettingsError(f"{_SETTING}: {path} cannot be written ({error.strerror})") from error
    return lock_fd


def _on_connect(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # transactions are begun by `_on_begin`
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", f"busy_timeout={_BUSY_SECONDS * 1000}"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _on_begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _upgrade(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
