"""The bare baseline: a loop that starts kurigram clients, so many at a time, and does nothing else.

Run as a process of its own: `python -m benchmarks.bare_start HOST PORT KEY AT_ONCE < sessions`, one session
string a line, then an empty one. Prints a line when it is ready for them, the seconds from the first start to
the last client's answer, then holds the clients until its input ends.
"""

from __future__ import annotations

import asyncio
import sys
import time
from hashlib import sha1
from pathlib import Path
from typing import Any

import pyrogram
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from pyrogram.connection import Connection
from pyrogram.crypto import rsa
from pyrogram.raw.core import Bytes


def _trust(pem: bytes) -> None:
    """Put the data centre's key under its fingerprint (TELEGRAM.md section 1)."""
    key = serialization.load_pem_public_key(pem)
    assert isinstance(key, RSAPublicKey)
    numbers = key.public_numbers()
    parts = [Bytes(value.to_bytes((value.bit_length() + 7) // 8, "big")) for value in (numbers.n, numbers.e)]
    fingerprint = int.from_bytes(sha1(b"".join(parts)).digest()[-8:], "little", signed=True)
    rsa.server_public_keys[fingerprint] = rsa.PublicKey(numbers.n, numbers.e)


async def _main(host: str, port: int, at_once: int, sessions: list[str]) -> None:
    class Local(Connection):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.server_address, self.port, self.ipv6 = host, port, False

    clients = [
        pyrogram.Client(
            f"bare-{n}", session_string=text, in_memory=True, connection_factory=Local, no_updates=False
        )
        for n, text in enumerate(sessions)
    ]
    room = asyncio.Semaphore(at_once)

    async def start(client: Any) -> None:
        async with room:
            await client.start()

    began = time.monotonic()
    await asyncio.gather(*(start(client) for client in clients))
    print(time.monotonic() - began, flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await asyncio.gather(*(client.stop() for client in clients), return_exceptions=True)


if __name__ == "__main__":
    _trust(Path(sys.argv[3]).read_bytes())
    print("ready", flush=True)
    lines = []
    while line := sys.stdin.readline().strip():
        lines.append(line)
    asyncio.run(_main(sys.argv[1], int(sys.argv[2]), int(sys.argv[4]), lines))
