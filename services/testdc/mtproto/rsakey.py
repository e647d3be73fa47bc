"""The data centre's RSA key: made, kept, published as PEM, and used raw as the key exchange does."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha1

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from pyrogram.raw.core.primitives import Bytes

_BITS = 2048


@dataclass(frozen=True)
class RsaKey:
    """A private key and what clients need to know of it."""

    n: int
    e: int
    d: int
    public_pem: bytes
    """PKCS#1 ("BEGIN RSA PUBLIC KEY"), which Telethon and `cryptography` both read."""
    private_pem: bytes

    @property
    def fingerprint(self) -> int:
        """The signed 64-bit number by which clients choose the key."""
        tl = b"".join(bytes(Bytes(_big_endian(value))) for value in (self.n, self.e))
        return int.from_bytes(sha1(tl).digest()[-8:], "little", signed=True)  # noqa: S324 - protocol

    def decrypt_raw(self, cipher: bytes) -> bytes:
        """Undo textbook RSA; always 256 bytes."""
        return pow(int.from_bytes(cipher, "big"), self.d, self.n).to_bytes(_BITS // 8, "big")


def make_key() -> RsaKey:
    """A new key; takes about a tenth of a second of CPU."""
    return _wrap(rsa.generate_private_key(public_exponent=65537, key_size=_BITS))


def load_key(private_pem: bytes) -> RsaKey:
    """The key kept in a PEM; raises ValueError or TypeError when it is none."""
    key = serialization.load_pem_private_key(private_pem, password=None)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise TypeError("the kept key of the test data centre is no RSA key")
    return _wrap(key)


def _wrap(key: rsa.RSAPrivateKey) -> RsaKey:
    numbers = key.private_numbers()
    return RsaKey(
        n=numbers.public_numbers.n,
        e=numbers.public_numbers.e,
        d=numbers.d,
        public_pem=key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.PKCS1
        ),
        private_pem=key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        ),
    )


def _big_endian(value: int) -> bytes:
    return value.to_bytes((value.bit_length() + 7) // 8, "big")
