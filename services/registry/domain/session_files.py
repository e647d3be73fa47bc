"""Reads `.session` files of Pyrogram, kurigram and Telethon from their bytes. Imports none of them, writes
nothing.

The bytes come from a stranger, so they are opened in memory only (no path, no journal), with SQLite's schema
untrusted, and only a real table is read. Blocking, some milliseconds for a large file: call it in a thread.

Pyrogram's `sessions` has `test_mode` and `user_id` from version 1 on, `api_id` since 3, the address since 7
(pyrogram/storage/sqlite_storage.py); Telethon's has `server_address` and `port` in all versions and neither
of the former (telethon/sessions/sqlite.py).
"""

import sqlite3
from collections.abc import Mapping
from contextlib import closing

from services.registry.domain.errors import NotASessionError
from services.registry.domain.session import Session, make_session
from services.registry.domain.session_strings import refuse_bot

MAX_FILE = 8 * 1024 * 1024
"""Bytes. A session with tens of thousands of cached peers stays below."""

_MAGIC = b"SQLite format 3\x00"
_HEADER_BYTES = 100
_MAX_ROWS = 16  # Telethon keeps one; very old versions one for each data centre
_MAX_STEPS = 2_000_000  # virtual machine instructions; a real file needs some hundred

_NOT_SQLITE = "This is no .session file: it is not an SQLite database."
_CUT_SHORT = "This .session file is cut short or damaged. Was it copied while a program used it?"
_OTHER = "This is an SQLite database, but no .session file of Pyrogram, kurigram or Telethon."


def decode_session_file(data: bytes) -> Session:
    """The session in a file. Raises NotASessionError."""
    if not data:
        raise NotASessionError("The session file is empty.")
    if len(data) > MAX_FILE:
        raise NotASessionError(f"The session file is larger than {MAX_FILE // 2**20} MiB.")
    if not data.startswith(_MAGIC):
        raise NotASessionError(_NOT_SQLITE)
    _check_length(data)
    try:
        rows = _read_rows(_without_wal_mark(data))
    except (sqlite3.Error, OverflowError, UnicodeError, MemoryError) as error:
        raise NotASessionError(_CUT_SHORT) from error
    return _decode_rows(rows)


def _check_length(data: bytes) -> None:
    """The header says how many pages there are (sqlite.org/fileformat2.html, offsets 16 and 28)."""
    if len(data) < _HEADER_BYTES:
        raise NotASessionError(_CUT_SHORT)
    page_size = int.from_bytes(data[16:18], "big")
    page_size = 65536 if page_size == 1 else page_size
    pages = int.from_bytes(data[28:32], "big")
    if page_size < 512 or len(data) < pages * page_size or len(data) < page_size:  # noqa: PLR2004 - smallest page
        raise NotASessionError(_CUT_SHORT)


def _without_wal_mark(data: bytes) -> bytes:
    """A database in memory cannot be in WAL mode; offsets 18 and 19 say that the file was (2) or was not
    (1)."""
    return data[:18] + b"\x01\x01" + data[20:]


def _read_rows(data: bytes) -> list[dict[str, object]]:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.deserialize(data)
        steps = iter(range(_MAX_STEPS // 1000))
        connection.set_progress_handler(lambda: next(steps, None) is None, 1000)
        for pragma in ("trusted_schema=OFF", "query_only=ON", "cell_size_check=ON"):
            connection.execute(f"PRAGMA {pragma}")
        kind = connection.execute("SELECT type FROM sqlite_master WHERE name = 'sessions'").fetchone()
        if kind != ("table",):
            raise NotASessionError(_OTHER)
        cursor = connection.execute("SELECT * FROM sessions")
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchmany(_MAX_ROWS)]


def _decode_rows(rows: list[dict[str, object]]) -> Session:
    if not rows:
        raise NotASessionError("The session file holds no login.")
    with_key = [row for row in rows if row.get("auth_key")]
    row = with_key[0] if with_key else rows[0]
    if not {"dc_id", "auth_key"} <= row.keys():
        raise NotASessionError(_OTHER)
    if "test_mode" in row:
        return _decode_pyrogram(row)
    if "server_address" in row:
        return make_session("telethon-file", row["dc_id"], row["auth_key"])
    raise NotASessionError(_OTHER)


def _decode_pyrogram(row: Mapping[str, object]) -> Session:
    refuse_bot(row.get("is_bot"))
    return make_session(
        "pyrogram-file",
        row["dc_id"],
        row["auth_key"],
        test_mode=row["test_mode"],
        user_id=row.get("user_id"),
        api_id=row.get("api_id"),
    )
