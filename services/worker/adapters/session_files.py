"""The folder of `.session` files, read without leaving a trace.

A file is read as bytes and opened as an in-memory copy, so no lock, journal or changed mode ever shows up
beside it, and whatever holds it open is not disturbed. A client that runs from a file gets its data centre
and key the same way, into memory: the stock library would open the file for writing, lock it and leave a
journal (TELEGRAM.md section 3, hazard 13).
"""

import asyncio
import hashlib
import sqlite3
from contextlib import closing
from pathlib import Path

from services.worker.domain.picture import SessionFile
from services.worker.domain.telegram import Credentials
from services.worker.ports import SessionFileError

_SUFFIX = ".session"
_KEY_BYTES = 256
_MOST_BYTES = 64 * 1024 * 1024
_HIGHEST_DC = 5
_MAGIC = b"SQLite format 3\x00"


class SessionFolder:
    """See `ports.SessionFiles`. Without a folder there are no files."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._known: dict[str, tuple[tuple[int, int, int], SessionFile]] = {}

    async def scan(self) -> list[SessionFile]:
        """See the port. Files that did not change since the last scan are not read again."""
        return await asyncio.to_thread(self._scan)

    async def read(self, file_name: str) -> Credentials:
        """See the port."""
        return await asyncio.to_thread(self._read, file_name)

    def _scan(self) -> list[SessionFile]:
        found: dict[str, tuple[tuple[int, int, int], SessionFile]] = {}
        for path in self._paths():
            try:
                status = path.stat()
            except OSError:
                continue  # gone between the listing and now
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
            old = self._known.get(path.name)
            found[path.name] = old if old and old[0] == stamp else (stamp, _announce(path))
        self._known = found
        return [file for _, file in found.values()]

    def _paths(self) -> list[Path]:
        if self._folder is None or not self._folder.is_dir():
            return []
        return sorted(path for path in self._folder.iterdir() if path.suffix == _SUFFIX and path.is_file())

    def _read(self, file_name: str) -> Credentials:
        if self._folder is None:
            raise SessionFileError("This worker has no folder of session files.", missing=True)
        if Path(file_name).name != file_name or not file_name.endswith(_SUFFIX):
            raise SessionFileError(f"{file_name!r} is not the name of a session file.")
        return _load(self._folder / file_name)


def _announce(path: Path) -> SessionFile:
    try:
        session = _load(path)
    except SessionFileError as error:
        return SessionFile(path.name, problem=str(error))
    digest = hashlib.sha1(session.auth_key, usedforsecurity=False).digest()
    return SessionFile(path.name, digest[-8:].hex(), session.user_id)


def _load(path: Path) -> Credentials:
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise SessionFileError("The file is too large for a session file.")
        content = path.read_bytes()
    except FileNotFoundError:
        raise SessionFileError(
            f"There is no session file {path.name} on this worker.", missing=True
        ) from None
    except OSError as error:
        raise SessionFileError(f"The file cannot be read ({type(error).__name__}).") from error
    if not content.startswith(_MAGIC):
        raise SessionFileError("The file is no SQLite file.")
    try:
        with closing(sqlite3.connect(":memory:")) as database:
            database.deserialize(_without_wal(content))
            return _credentials(database)
    except sqlite3.Error as error:
        raise SessionFileError("The file is damaged, or another kind of SQLite file.") from error


def _without_wal(content: bytes) -> bytes:
    """An in-memory copy has no write-ahead log beside it; bytes 18 and 19 of the header say that there may be
    one (sqlite.org/fileformat.html#file_format_version_numbers)."""
    return content[:18] + b"\x01\x01" + content[20:]


def _credentials(database: sqlite3.Connection) -> Credentials:
    columns = {row[1] for row in database.execute("PRAGMA table_info(sessions)")}
    if not {"dc_id", "auth_key"} <= columns:
        raise SessionFileError("The SQLite file holds no Telegram session.")
    wanted = ["dc_id", "auth_key", *(name for name in ("test_mode", "user_id", "api_id") if name in columns)]
    row = database.execute(f"SELECT {', '.join(wanted)} FROM sessions LIMIT 1").fetchone()  # noqa: S608 - fixed names
    values = dict(zip(wanted, row or (), strict=False))
    key = values.get("auth_key")
    if not isinstance(key, bytes) or len(key) != _KEY_BYTES or not any(key):
        raise SessionFileError("The session file holds no auth key: nobody ever logged in with it.")
    dc_id = values["dc_id"]
    if not isinstance(dc_id, int) or not 1 <= dc_id <= _HIGHEST_DC:
        raise SessionFileError("The session file names no data centre of Telegram.")
    return Credentials(
        dc_id=dc_id,
        auth_key=key,
        test_mode=bool(values.get("test_mode")),
        user_id=int(values.get("user_id") or 0),
        api_id=int(values.get("api_id") or 0),
    )
