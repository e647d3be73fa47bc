"""Makes session material for the data centre's own accounts, in the formats that people have.

Kept apart from the registry's readers on purpose: what one writes, the other must read.
Formats: pyrogram storage.py SESSION_STRING_FORMAT and sqlite_storage.py SCHEMA, Telethon sessions/string.py.
"""

from __future__ import annotations

import base64
import ipaddress
import sqlite3
import struct
from dataclasses import dataclass
from pathlib import Path

from pyrogram.storage.sqlite_storage import SCHEMA, SQLiteStorage


@dataclass(frozen=True, slots=True)
class Login:
    """What session material holds."""

    auth_key: bytes
    user_id: int
    api_id: int
    dc_id: int
    host: str
    port: int


def pyrogram_string(login: Login) -> str:
    """The session string of pyrogram 2 and kurigram; holds no address."""
    packed = struct.pack(">BIB256sQB", login.dc_id, login.api_id, 0, login.auth_key, login.user_id, 0)
    return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def telethon_string(login: Login) -> str:
    """Telethon's StringSession; holds the address but no user."""
    address = ipaddress.ip_address(login.host).packed
    packed = struct.pack(f">B{len(address)}sH256s", login.dc_id, address, login.port, login.auth_key)
    return "1" + base64.urlsafe_b64encode(packed).decode()


def write_session_file(path: Path, login: Login) -> None:
    """A kurigram .session file (schema 7) as the library leaves it; replaces nothing that exists."""
    with path.open("xb"):
        pass
    path.chmod(0o600)
    connection = sqlite3.connect(path)
    try:
        connection.executescript(SCHEMA)
        connection.execute("INSERT INTO version VALUES (?)", (SQLiteStorage.VERSION,))
        connection.execute(
            "INSERT INTO sessions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                login.dc_id,
                login.host,
                login.port,
                login.api_id,
                False,
                login.auth_key,
                0,
                login.user_id,
                False,
            ),
        )
        connection.commit()
    finally:
        connection.close()
