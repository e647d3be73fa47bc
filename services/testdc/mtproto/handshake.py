"""The server's side of the key exchange: one state machine per link, packet in, packet out.

https://core.telegram.org/mtproto/auth_key. kurigram and Telethon send `p_q_inner_data` padded after
its SHA1 and encrypted with textbook RSA; newer clients use RSA_PAD. Both are read. The Diffie-Hellman
prime must be the one that kurigram insists on.
"""

from __future__ import annotations

from hashlib import sha1, sha256
from io import BytesIO
from os import urandom
from typing import Any

from pyrogram.crypto import aes
from pyrogram.crypto.prime import CURRENT_DH_PRIME
from pyrogram.raw.core import TLObject

from services.testdc.mtproto.reading import UnreadableError, read_object
from services.testdc.mtproto.rsakey import RsaKey
from services.testdc.tl import raw

_P, _Q = 1244159563, 1558201013
"""Two primes of four bytes each. They only slow a client down, so the same pair serves all."""
_G = 3
_HEADER = 20  # auth_key_id (8, zero), msg_id (8), length (4)


class HandshakeError(Exception):
    """A client that does not follow the protocol; the link is closed."""


class Handshake:
    """One client's way to a new auth key."""

    def __init__(self, key: RsaKey) -> None:
        self._key = key
        self._nonce = 0
        self._server_nonce = 0
        self._new_nonce = b""
        self._secret = 0
        self._aes: tuple[bytes, bytes] = (b"", b"")
        self.auth_key: bytes | None = None
        """The new key, once the exchange is done."""
        self.salt = 0
        """First server salt of the new key."""

    def step(self, packet: bytes, now: float) -> Any:
        """Answer one plain packet; `now` is the wall clock in seconds. Raises HandshakeError."""
        try:
            query = read_object(packet[_HEADER:])
        except UnreadableError as e:
            raise HandshakeError(str(e)) from e
        if isinstance(query, raw.functions.ReqPqMulti | raw.functions.ReqPq):
            return self._offer(query)
        if isinstance(query, raw.functions.ReqDHParams):
            return self._parameters(query, now)
        if isinstance(query, raw.functions.SetClientDHParams):
            return self._finish(query)
        raise HandshakeError(f"{type(query).__name__} is no step of the key exchange")

    def _offer(self, query: Any) -> Any:
        self._nonce = query.nonce
        self._server_nonce = _signed(urandom(16))
        return raw.types.ResPQ(
            nonce=self._nonce,
            server_nonce=self._server_nonce,
            pq=(_P * _Q).to_bytes(8, "big"),
            server_public_key_fingerprints=[self._key.fingerprint],
        )

    def _parameters(self, query: Any, now: float) -> Any:
        if (query.nonce, query.server_nonce) != (self._nonce, self._server_nonce):
            raise HandshakeError("the nonces are not those of this exchange")
        inner = self._inner_data(query.encrypted_data)
        if (inner.nonce, inner.server_nonce) != (self._nonce, self._server_nonce):
            raise HandshakeError("the encrypted nonces are not those of this exchange")
        self._new_nonce = inner.new_nonce.to_bytes(32, "little", signed=True)
        self._aes = self._temporary_key()
        self._secret = int.from_bytes(urandom(256), "big") % CURRENT_DH_PRIME
        answer = raw.types.ServerDHInnerData(
            nonce=self._nonce,
            server_nonce=self._server_nonce,
            g=_G,
            dh_prime=CURRENT_DH_PRIME.to_bytes(256, "big"),
            g_a=pow(_G, self._secret, CURRENT_DH_PRIME).to_bytes(256, "big"),
            server_time=int(now),
        ).write()
        data = _sha1(answer) + answer
        data += urandom(-len(data) % 16)
        return raw.types.ServerDHParamsOk(
            nonce=self._nonce,
            server_nonce=self._server_nonce,
            encrypted_answer=aes.ige256_encrypt(data, *self._aes),
        )

    def _finish(self, query: Any) -> Any:
        if not self._new_nonce or len(query.encrypted_data) % 16:
            raise HandshakeError("set_client_DH_params came out of turn")
        inner = _read(aes.ige256_decrypt(query.encrypted_data, *self._aes)[20:])
        if not isinstance(inner, raw.types.ClientDHInnerData):
            raise HandshakeError("client_DH_inner_data cannot be read")
        shared = pow(int.from_bytes(inner.g_b, "big"), self._secret, CURRENT_DH_PRIME)
        self.auth_key = shared.to_bytes(256, "big")
        server_nonce = self._server_nonce.to_bytes(16, "little", signed=True)
        salt = bytes(a ^ b for a, b in zip(self._new_nonce[:8], server_nonce[:8], strict=True))
        self.salt = _signed(salt)
        proof = _sha1(self._new_nonce + b"\x01" + _sha1(self.auth_key)[:8])[-16:]
        return raw.types.DhGenOk(
            nonce=self._nonce, server_nonce=self._server_nonce, new_nonce_hash1=_signed(proof)
        )

    def _inner_data(self, cipher: bytes) -> Any:
        plain = self._key.decrypt_raw(cipher)
        for data in (plain[21:], _undo_rsa_pad(plain)):
            inner = _read(data)
            if isinstance(inner, raw.types.PQInnerData | raw.types.PQInnerDataDc):
                return inner
        raise HandshakeError("the encrypted p_q_inner_data cannot be read: wrong RSA key?")

    def _temporary_key(self) -> tuple[bytes, bytes]:
        new, server = self._new_nonce, self._server_nonce.to_bytes(16, "little", signed=True)
        a, b, c = _sha1(new + server), _sha1(server + new), _sha1(new + new)
        return a + b[:12], b[12:] + c + new[:4]


def plain_packet(answer: Any, msg_id: int) -> bytes:
    """An unencrypted packet, as the exchange uses them."""
    body = bytes(answer.write())
    return bytes(8) + msg_id.to_bytes(8, "little") + len(body).to_bytes(4, "little") + body


def _read(data: bytes) -> Any:
    """The TL object at the beginning of some bytes, or None when they are none."""
    try:
        return TLObject.read(BytesIO(data))
    except (KeyError, ValueError, IndexError, TypeError):
        return None


def _undo_rsa_pad(plain: bytes) -> bytes:
    """https://core.telegram.org/mtproto/auth_key#41-rsa-paddata-server-public-key-mentioned-above"""
    mixed_key, cipher = plain[:32], plain[32:]
    key = bytes(a ^ b for a, b in zip(mixed_key, sha256(cipher).digest(), strict=True))
    return bytes(aes.ige256_decrypt(cipher, key, bytes(32))[:192][::-1])


def _sha1(data: bytes) -> bytes:
    return sha1(data).digest()  # noqa: S324 - the protocol says SHA1


def _signed(data: bytes) -> int:
    return int.from_bytes(data, "little", signed=True)
