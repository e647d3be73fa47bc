"""Turns the bytes of a client's message into TL objects.

pyrogram reads what servers send. Reading what clients send needs one trick: its reader guesses the
element type of an untyped vector from the number of bytes left per element and takes 4 or 8 for
numbers. TL bodies are multiples of four bytes long, so one byte more makes that guess impossible.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from gzip import decompress
from io import BytesIO
from typing import Any

from pyrogram.raw.core import GzipPacked, MsgContainer, TLObject
from pyrogram.raw.core.primitives import Bytes

_MAX_MESSAGES = 1020
"""Most messages in one container, as Telegram allows."""


class UnreadableError(Exception):
    """Bytes that are no TL of this layer."""


@dataclass(frozen=True, slots=True)
class ClientMessage:
    """One message of a client, out of its container if there was one."""

    msg_id: int
    seq_no: int
    query: Any
    """The TL object; typed by whoever handles it."""


def read_messages(msg_id: int, seq_no: int, body: bytes) -> Iterator[ClientMessage]:
    """The messages inside one packet, containers and gzip undone; raises UnreadableError."""
    body = _unzip(body)
    if int.from_bytes(body[:4], "little") != MsgContainer.ID:
        yield ClientMessage(msg_id, seq_no, read_object(body))
        return
    count, at = int.from_bytes(body[4:8], "little"), 8
    if count > _MAX_MESSAGES:
        raise UnreadableError(f"a container of {count} messages")
    for _ in range(count):
        inner_id = int.from_bytes(body[at : at + 8], "little")
        inner_seq = int.from_bytes(body[at + 8 : at + 12], "little")
        length = int.from_bytes(body[at + 12 : at + 16], "little")
        yield ClientMessage(inner_id, inner_seq, read_object(_unzip(body[at + 16 : at + 16 + length])))
        at += 16 + length


def read_object(body: bytes) -> Any:
    """One TL object; raises UnreadableError."""
    try:
        return TLObject.read(BytesIO(body + b"\0"))
    except (KeyError, ValueError, IndexError, TypeError, AttributeError, EOFError) as e:
        raise UnreadableError(f"constructor {body[:4][::-1].hex()} cannot be read: {type(e).__name__}") from e


def _unzip(body: bytes) -> bytes:
    if int.from_bytes(body[:4], "little") != GzipPacked.ID:
        return body
    try:
        return decompress(Bytes.read(BytesIO(body[4:])))
    except (OSError, EOFError) as e:
        raise UnreadableError("a gzip that is none") from e
