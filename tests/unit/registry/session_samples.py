"""Sessions as the client libraries themselves write them, with random keys."""

import asyncio
import base64
import secrets
import sqlite3
import struct
from pathlib import Path

from pyrogram.storage.sqlite_storage import SQLiteStorage
from telethon.crypto import AuthKey
from telethon.sessions import SQLiteSession, StringSession

USER_ID = 777_000_123
BIG_USER_ID = 7_000_000_123
API_ID = 17_349


def new_key() -> bytes:
    return secrets.token_bytes(256)


def pyrogram_string(key: bytes, dc_id: int = 2, *, user_id: int = BIG_USER_ID, is_bot: bool = False) -> str:
    """As kurigram 2 exports it."""

    async def export() -> str:
        storage = SQLiteStorage("sample", Path(), in_memory=True)
        await storage.open()
        await _fill(storage, key, dc_id, user_id, is_bot=is_bot)
        text: str = await storage.export_session_string()
        await storage.close()
        return text

    return asyncio.run(export())


def old_pyrogram_string(key: bytes, dc_id: int = 2, *, wide: bool, test_mode: bool = False) -> str:
    """As Pyrogram 0 and 1 exported it; the library can only read these nowadays."""
    pack, user_id = (">B?256sQ?", BIG_USER_ID) if wide else (">B?256sI?", USER_ID)
    packed = struct.pack(pack, dc_id, test_mode, key, user_id, 0)
    return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def pyrogram_file(folder: Path, key: bytes, dc_id: int = 2, *, use_wal: bool = False) -> bytes:
    """A closed session file of kurigram 2."""

    async def write() -> None:
        storage = SQLiteStorage("sample", folder, use_wal=use_wal)
        await storage.open()
        await _fill(storage, key, dc_id, BIG_USER_ID)
        await storage.save()
        await storage.close()

    asyncio.run(write())
    return (folder / "sample.session").read_bytes()


_OLD_SCHEMAS = {
    2: "dc_id INTEGER PRIMARY KEY, test_mode INTEGER, auth_key BLOB, date INTEGER NOT NULL, user_id INTEGER, "
    "is_bot INTEGER",
    3: "dc_id INTEGER PRIMARY KEY, api_id INTEGER, test_mode INTEGER, auth_key BLOB, date INTEGER NOT NULL, "
    "user_id INTEGER, is_bot INTEGER",
    6: "dc_id INTEGER PRIMARY KEY, api_id INTEGER, test_mode INTEGER, auth_key BLOB, date INTEGER NOT NULL, "
    "user_id INTEGER, is_bot INTEGER",
}


def old_pyrogram_file(folder: Path, key: bytes, version: int) -> bytes:
    """A session file of an earlier schema version."""
    path = folder / f"v{version}.session"
    with sqlite3.connect(path) as connection:
        connection.execute(f"CREATE TABLE sessions ({_OLD_SCHEMAS[version]})")
        connection.execute("CREATE TABLE version (number INTEGER PRIMARY KEY)")
        connection.execute("INSERT INTO version VALUES (?)", (version,))
        row = {"dc_id": 4, "test_mode": 0, "auth_key": key, "date": 0, "user_id": USER_ID, "is_bot": 0}
        names = ", ".join(row)
        connection.execute(f"INSERT INTO sessions ({names}) VALUES (?, ?, ?, ?, ?, ?)", tuple(row.values()))
    connection.close()
    return path.read_bytes()


async def _fill(
    storage: SQLiteStorage, key: bytes, dc_id: int, user_id: int, *, is_bot: bool = False
) -> None:
    await storage.dc_id(dc_id)
    await storage.api_id(API_ID)
    await storage.test_mode(0)
    await storage.auth_key(key)
    await storage.user_id(user_id)
    await storage.is_bot(is_bot)
    await storage.date(0)


def telethon_string(key: bytes, dc_id: int = 2, address: str = "149.154.167.51") -> str:
    """As Telethon saves it."""
    session = StringSession()
    session.set_dc(dc_id, address, 443)
    session.auth_key = AuthKey(key)
    text: str = session.save()
    return text


def telethon_file(folder: Path, key: bytes, dc_id: int = 2) -> bytes:
    """A closed session file of Telethon."""
    session = SQLiteSession(str(folder / "telethon"))
    session.set_dc(dc_id, "149.154.167.51", 443)
    session.auth_key = AuthKey(key)
    session.save()
    session.close()
    return (folder / "telethon.session").read_bytes()


def gramjs_string(key: bytes, dc_id: int = 2, address: str = "149.154.167.51") -> str:
    """As GramJS's StringSession.save() writes it: Buffer.toString("base64") of what is concatenated here."""
    text = address.encode()
    packed = bytes([dc_id]) + struct.pack(">h", len(text)) + text + struct.pack(">h", 443) + key
    return "1" + base64.b64encode(packed).decode()
