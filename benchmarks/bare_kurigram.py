"""What the bare baselines share: kurigram as it comes, pointed at the test data centre."""

from __future__ import annotations

from hashlib import sha1
from pathlib import Path
from typing import Any

import pyrogram
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from pyrogram.connection import Connection
from pyrogram.crypto import rsa
from pyrogram.raw.core import Bytes


def trust(key_file: Path) -> None:
    """Put the data centre's key under its fingerprint (TELEGRAM.md section 1)."""
    key = serialization.load_pem_public_key(key_file.read_bytes())
    assert isinstance(key, RSAPublicKey)
    numbers = key.public_numbers()
    parts = [Bytes(value.to_bytes((value.bit_length() + 7) // 8, "big")) for value in (numbers.n, numbers.e)]
    fingerprint = int.from_bytes(sha1(b"".join(parts)).digest()[-8:], "little", signed=True)
    rsa.server_public_keys[fingerprint] = rsa.PublicKey(numbers.n, numbers.e)


def client(name: str, session: str, host: str, port: int) -> Any:
    """A client that dials nothing but this address; made inside the running loop."""

    class Local(Connection):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.server_address, self.port, self.ipv6 = host, port, False

    return pyrogram.Client(
        name, session_string=session, in_memory=True, connection_factory=Local, no_updates=False
    )
