"""Opens the registry's database: one engine, SQLite's pragmas, one process per SQLite file, one writer at a
time.

SQLite's own driver begins transactions late and upgrades read locks, which ends in `database is locked`; so
transactions are begun here, `BEGIN IMMEDIATE` for writing, and writers of this process queue on a lock
instead of polling.
"""

import asyncio
import fcntl
import os
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Connection, make_url
from sqlalchemy.engine.url import URL
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from services.registry.adapters.transaction import Transaction, transaction
from services.runtime.errors import SettingsError, Unavailable
from services.runtime.logs import get_logger

_log = get_logger("registry.database")

_BUSY_MS = 5000
_POOL = 4
_CLOSE_LIMIT = 5.0
SETTING = "TGFLEET_REGISTRY_DATABASE_URL"


class Database:
    """An open database. Make it with `open_database`."""

    def __init__(self, engine: AsyncEngine, lock_fd: int | None) -> None:
        self._engine = engine
        self._lock_fd = lock_fd
        self._writer = asyncio.Lock()
        self._open = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Transaction]:
        """A read-only transaction. Raises Unavailable when the database fails."""
        with_options = self._engine.execution_options(tgfleet_write=False)
        async with self._counted(), _translated(), transaction(with_options) as opened:
            yield opened

    @asynccontextmanager
    async def write(self) -> AsyncIterator[Transaction]:
        """A writing transaction, one at a time. Raises Unavailable when the database fails."""
        with_options = self._engine.execution_options(tgfleet_write=True)
        async with self._counted(), self._writer, _translated(), transaction(with_options) as opened:
            yield opened

    async def close(self) -> None:
        """Waits a moment for open transactions, closes all connections, lets another process have the
        file."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_LIMIT):
                await self._idle.wait()
        await self._engine.dispose()
        if self._lock_fd is not None:
            os.close(self._lock_fd)
            self._lock_fd = None

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


def open_database(url: str) -> Database:
    """Opens `sqlite:///path`. Raises SettingsError when the URL is wrong or another process has the file."""
    parsed = _parse(url)
    path = Path(parsed.database or "")
    lock_fd = _lock(path)
    engine = create_async_engine(
        parsed,
        pool_size=_POOL,
        max_overflow=0,
        hide_parameters=True,
        connect_args={"timeout": _BUSY_MS / 1000},
    )
    event.listen(engine.sync_engine, "connect", _on_connect)
    event.listen(engine.sync_engine, "begin", _on_begin)
    return Database(engine, lock_fd)


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except SQLAlchemyError as error:
        raise SettingsError(f"{SETTING} is no database URL; write sqlite:///path/to/registry.db") from error
    if parsed.get_backend_name() != "sqlite":
        raise SettingsError(
            f"{SETTING}: only SQLite is supported so far; write sqlite:///path/to/registry.db"
        )
    if not parsed.database or parsed.database == ":memory:":
        raise SettingsError(f"{SETTING} names no file; write sqlite:///path/to/registry.db")
    return parsed.set(drivername="sqlite+aiosqlite")


def _lock(path: Path) -> int:
    """Takes the lock beside the file for as long as this process lives, and makes the file readable by its
    owner only."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock_fd = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise SettingsError(f"{SETTING}: {path} cannot be written ({error.strerror})") from error
    try:
        fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        os.close(lock_fd)
        if isinstance(error, BlockingIOError):
            raise SettingsError(
                f"{SETTING}: another registry process has {path} open; SQLite allows one process per file, "
                "several registries need PostgreSQL",
                reason="DATABASE_LOCKED",
            ) from error
        raise SettingsError(f"{SETTING}: {path} cannot be written ({error.strerror})") from error
    return lock_fd


def _on_connect(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # transactions are begun by `_on_begin`
    cursor = connection.cursor()
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",  # an answer means that it is on disk
        f"busy_timeout={_BUSY_MS}",
        "foreign_keys=ON",
        "secure_delete=ON",  # a deleted ciphertext is overwritten
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _on_begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get("tgfleet_write", True)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN DEFERRED")


@asynccontextmanager
async def _translated() -> AsyncIterator[None]:
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error) as error:
        _log.error("the database failed", exc_info=error)
        raise Unavailable(
            "The registry's database cannot be used right now; its log knows why.",
            reason="DATABASE_UNAVAILABLE",
        ) from error
