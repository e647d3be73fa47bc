"""SQLite's side of a database: one process per file, its pragmas, and transactions that begin when they say
so.

SQLite's own driver begins transactions late and upgrades read locks, which ends in `database is locked`; so
they are begun here, `BEGIN IMMEDIATE` for writing.
"""

import fcntl
import os
import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Connection
from sqlalchemy.engine.url import URL
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from services.runtime.errors import SettingsError
from services.runtime.sqlite_driver import DRIVER, READ, WRITE

WRITES = "tgfleet_write"
"""The execution option that says whether a transaction writes."""

_BUSY_MS = 5000
_POOL = 4


def open_engine(url: URL) -> AsyncEngine:
    """An engine for the file; connects when it is first used."""
    engine = create_async_engine(
        url.set(drivername="sqlite+aiosqlite"),
        module=DRIVER,
        pool_size=_POOL,
        max_overflow=0,
        pool_timeout=_BUSY_MS / 1000,
        hide_parameters=True,
        connect_args={"timeout": _BUSY_MS / 1000},
    )
    event.listen(engine.sync_engine, "connect", _on_connect)
    event.listen(engine.sync_engine, "begin", _on_begin)
    return engine


def connect(path: Path) -> sqlite3.Connection:
    """A connection of the driver itself to a file whose lock this process has, for one thread of its own that
    writes many small transactions: one hop there for each instead of one for each statement. Transactions are
    begun and ended by statements."""
    connection = sqlite3.connect(path, timeout=_BUSY_MS / 1000, isolation_level=None, check_same_thread=False)
    _on_connect(connection, None)
    return connection


def lock_file(path: Path, setting: str) -> int:
    """Takes the lock beside the file for as long as this process lives, and makes the file readable by its
    owner only; the lock's descriptor. Raises SettingsError, reason DATABASE_LOCKED when another process has
    it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock_fd = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise SettingsError(f"{setting}: {path} cannot be written ({error.strerror})") from error
    try:
        fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        os.close(lock_fd)
        if isinstance(error, BlockingIOError):
            raise SettingsError(
                f"{setting}: another process has {path} open; SQLite allows one process per file, several "
                "need PostgreSQL",
                reason="DATABASE_LOCKED",
            ) from error
        raise SettingsError(f"{setting}: {path} cannot be written ({error.strerror})") from error
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
    writes = connection.get_execution_options().get(WRITES, True)
    connection.exec_driver_sql(WRITE if writes else READ)
