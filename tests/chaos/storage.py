"""Trouble below a database: its file is locked by somebody else, the disk under it is full, its server is
frozen or dead. Needs no root.

Knows no service: it is given a file or a process.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
import sqlite3
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from tests.support.postgres import PostgresProcess

_LOCK_WITHIN = 5.0
"""Seconds to wait for our turn at the write lock: the service holds it for moments only."""


@contextlib.asynccontextmanager
async def locked(database: Path) -> AsyncIterator[None]:
    """Holds SQLite's write lock: nobody else can write; with a write-ahead log others may read."""

    def take() -> sqlite3.Connection:
        connection = sqlite3.connect(
            database, timeout=_LOCK_WITHIN, isolation_level=None, check_same_thread=False
        )
        connection.execute("BEGIN EXCLUSIVE")
        return connection

    connection = await asyncio.to_thread(take)
    try:
        yield
    finally:
        connection.execute("ROLLBACK")
        connection.close()


@contextlib.contextmanager
def no_room_for(pid: int) -> Iterator[None]:
    """No file that the process writes can grow past its first bytes (RLIMIT_FSIZE from outside; Linux).

    Python ignores SIGXFSZ, so the write fails with an error as on a full disk; its log is struck as well.
    """
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (512, before[1]))
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):  # it may have given up meanwhile
            resource.prlimit(pid, resource.RLIMIT_FSIZE, before)


@contextlib.asynccontextmanager
async def frozen(server: PostgresProcess) -> AsyncIterator[None]:
    """Connections stay, and nothing answers."""
    await asyncio.to_thread(server.freeze)
    try:
        yield
    finally:
        await asyncio.to_thread(server.thaw)


@contextlib.asynccontextmanager
async def killed(server: PostgresProcess) -> AsyncIterator[None]:
    """kill -9; it comes back with what it had written."""
    await asyncio.to_thread(server.kill)
    try:
        yield
    finally:
        await asyncio.to_thread(server.start)
