"""Stock clients pointed at the test data centre, for tests. They can dial nothing but loopback.

from tests.support.testdc import kurigram_client, telethon_client

async with TestDataCentre() as dc:
    async with kurigram_client(dc, account) as client: ...
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from pyrogram import Client
from pyrogram.connection import Connection
from pyrogram.crypto import rsa as pyrogram_rsa
from telethon import TelegramClient
from telethon.crypto import rsa as telethon_rsa
from telethon.network import ConnectionTcpAbridged
from telethon.sessions import StringSession

from services.testdc.embed import Account, TestDataCentre

API_ID, API_HASH = 12345, "0" * 32


def loopback_connection(dc: TestDataCentre) -> type[Connection]:
    """A Connection subclass that dials this data centre only, media on its own port."""

    class LoopbackConnection(Connection):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.server_address = dc.host
            self.port = dc.media_port if self.media else dc.port
            self.ipv6 = False

        async def connect(self) -> None:
            assert self.server_address == "127.0.0.1", "the override did not take"
            await super().connect()

    return LoopbackConnection


def make_kurigram(dc: TestDataCentre, session: str = "", **options: Any) -> Client:
    """A stock kurigram client that is not started; without a session it exchanges a key."""
    pyrogram_rsa.server_public_keys[dc.rsa_key.fingerprint] = pyrogram_rsa.PublicKey(
        dc.rsa_key.n, dc.rsa_key.e
    )
    options = {"in_memory": True, "max_message_cache_size": 10, **options}
    return Client(
        "testdc",
        api_id=API_ID,
        api_hash=API_HASH,
        session_string=session or None,
        connection_factory=loopback_connection(dc),
        **options,
    )


@asynccontextmanager
async def kurigram_client(dc: TestDataCentre, account: Account, **options: Any) -> AsyncIterator[Client]:
    """A started kurigram client; stopped in the end, whatever state it is in by then."""
    client = make_kurigram(dc, account.pyrogram_session, **options)
    await client.start()
    try:
        yield client
    finally:
        await leave(client)


async def leave(client: Client) -> None:
    """Take a kurigram client down from any state (TELEGRAM.md section 3, 3 and 6)."""
    if client.is_initialized:
        await client.terminate()
    if client.is_connected:
        await client.disconnect()


def make_telethon(
    dc: TestDataCentre, session: str = "", connection: type = ConnectionTcpAbridged, **options: Any
) -> TelegramClient:
    """A stock Telethon client that is not connected; without a session it exchanges a key."""
    telethon_rsa.add_key(dc.rsa_key.public_pem.decode(), old=False)
    stored = StringSession(session)
    stored.set_dc(dc.endpoint.dc_id, dc.host, dc.port)
    options = {"connection_retries": 1, "retry_delay": 0, "request_retries": 1, "timeout": 5, **options}
    client = TelegramClient(stored, API_ID, API_HASH, connection=connection, **options)
    client.flood_sleep_threshold = 0
    assert client.session.server_address == "127.0.0.1", "the override did not take"
    return client


@asynccontextmanager
async def telethon_client(
    dc: TestDataCentre, account: Account, connection: type = ConnectionTcpAbridged, **options: Any
) -> AsyncIterator[TelegramClient]:
    """A connected Telethon client; disconnected in the end."""
    client = make_telethon(dc, account.telethon_session, connection, **options)
    await client.connect()
    try:
        yield client
    finally:
        await client.disconnect()
