"""API tokens: how a secret is made and compared. Pure but for the randomness that is handed in.

A secret has 256 bits of entropy, so a plain SHA-256 at rest is enough: there is nothing to guess.
"""

import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

PREFIX = "tgf_"
SECRET_BYTES = 32
MAX_SECRET = 128
_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_LENGTH = 43  # ceil(256 / log2(62))


class Role(StrEnum):
    """What the bearer may do; each may do all that the one before may."""

    VIEWER = "VIEWER"
    OPERATOR = "OPERATOR"
    ADMIN = "ADMIN"


@dataclass(frozen=True, slots=True)
class Token:
    """A token without its secret. `expire_time` and `last_use_time` None mean never."""

    name: str
    role: Role
    create_time: datetime
    expire_time: datetime | None
    last_use_time: datetime | None = None

    def expired(self, now: datetime) -> bool:
        """Whether it has stopped working."""
        return self.expire_time is not None and self.expire_time <= now


def secret_from(randomness: bytes) -> str:
    """`tgf_` and base62 of 32 random bytes."""
    number = int.from_bytes(randomness, "big")
    digits = []
    for _ in range(_LENGTH):
        number, digit = divmod(number, len(_ALPHABET))
        digits.append(_ALPHABET[digit])
    return PREFIX + "".join(reversed(digits))


def hash_secret(secret: str) -> bytes:
    """What is kept of a secret."""
    return hashlib.sha256(secret.encode()).digest()


def same_hash(left: bytes, right: bytes) -> bool:
    """Compares in constant time."""
    return hmac.compare_digest(left, right)
