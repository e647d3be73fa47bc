"""Reads the RSA key of a data centre from a PEM file and computes MTProto's fingerprint of it.

The fingerprint is the signed little-endian last 8 bytes of SHA1(tl_bytes(n) + tl_bytes(e))
(core.telegram.org/mtproto/auth_key).
"""

import hashlib
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from services.runtime.errors import SettingsError

_SHORT = 254


def load_rsa_key(path: Path) -> tuple[int, int, int]:
    """Fingerprint, modulus and exponent. Raises SettingsError."""
    try:
        key = load_pem_public_key(path.read_bytes())
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"TGFLEET_TELEGRAM_RSA_KEY names {path}, which cannot be read as a PEM public key",
            reason="BAD_SETTING",
        ) from error
    if not isinstance(key, RSAPublicKey):
        raise SettingsError(
            f"TGFLEET_TELEGRAM_RSA_KEY names {path}, which is no RSA key", reason="BAD_SETTING"
        )
    numbers = key.public_numbers()
    digest = hashlib.sha1(_tl_bytes(numbers.n) + _tl_bytes(numbers.e), usedforsecurity=False).digest()
    return int.from_bytes(digest[-8:], "little", signed=True), numbers.n, numbers.e


def _tl_bytes(number: int) -> bytes:
    """A big-endian number as TL `bytes`: length, content, padding to four."""
    content = number.to_bytes((number.bit_length() + 7) // 8, "big")
    length = len(content)
    head = bytes([length]) if length < _SHORT else bytes([_SHORT]) + length.to_bytes(3, "little")
    return head + content + bytes(-(len(head) + length) % 4)
