"""Encrypts and decrypts MTProto 2.0 packets from the server's side.

https://core.telegram.org/mtproto/description. The client libraries only ship the client's side, whose
key offsets are the mirror image of ours. Knows keys and bytes, not what the messages mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha1, sha256
from os import urandom

from pyrogram.crypto import aes

_HEAD = 32
"""Bytes before the body: salt (8), session id (8), message id (8), sequence number (4), length (4)."""
_MIN_PADDING, _MAX_PADDING = 12, 1024
_CLIENT, _SERVER = 0, 8  # the offset `x` of the key derivation, by who sends


class EnvelopeError(Exception):
    """A packet that was not made with this key, or not by a client."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message in the clear, of a client or for one."""

    salt: int
    session_id: bytes
    msg_id: int
    seq_no: int
    body: bytes


def auth_key_id(auth_key: bytes) -> bytes:
    """The 8 bytes that name a key: the low 64 bits of its SHA1."""
    return sha1(auth_key).digest()[-8:]  # noqa: S324 - the protocol says SHA1


def open_packet(packet: bytes, auth_key: bytes) -> Message:
    """Decrypt what a client sent; raises EnvelopeError when it does not check out."""
    msg_key, cipher = packet[8:24], packet[24:]
    if len(cipher) < _HEAD + _MIN_PADDING or len(cipher) % 16:
        raise EnvelopeError("packet is cut short")
    data = aes.ige256_decrypt(cipher, *_derive(auth_key, msg_key, _CLIENT))
    if sha256(auth_key[88:120] + data).digest()[8:24] != msg_key:
        raise EnvelopeError("message key does not match the content")
    length = int.from_bytes(data[28:32], "little")
    if length % 4 or not _MIN_PADDING <= len(data) - _HEAD - length <= _MAX_PADDING:
        raise EnvelopeError("message length and padding do not match")
    return Message(
        salt=int.from_bytes(data[:8], "little", signed=True),
        session_id=data[8:16],
        msg_id=int.from_bytes(data[16:24], "little"),
        seq_no=int.from_bytes(data[24:28], "little"),
        body=data[_HEAD : _HEAD + length],
    )


def seal_packet(auth_key: bytes, message: Message) -> bytes:
    """Encrypt one message for a client."""
    data = (
        message.salt.to_bytes(8, "little", signed=True)
        + message.session_id
        + message.msg_id.to_bytes(8, "little")
        + message.seq_no.to_bytes(4, "little")
        + len(message.body).to_bytes(4, "little")
        + message.body
    )
    data += urandom(-(len(data) + 12) % 16 + 12)
    msg_key = sha256(auth_key[96:128] + data).digest()[8:24]
    cipher = aes.ige256_encrypt(data, *_derive(auth_key, msg_key, _SERVER))
    return bytes(auth_key_id(auth_key) + msg_key + cipher)


def _derive(auth_key: bytes, msg_key: bytes, x: int) -> tuple[bytes, bytes]:
    a = sha256(msg_key + auth_key[x : x + 36]).digest()
    b = sha256(auth_key[x + 40 : x + 76] + msg_key).digest()
    return a[:8] + b[8:24] + a[24:32], b[:8] + a[8:24] + b[24:32]
