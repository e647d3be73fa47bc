"""Cuts the byte stream of a TCP link into MTProto packets and frames packets for it.

A client names its framing by its first bytes: 0xef abridged (kurigram), 0xeeeeeeee intermediate,
anything else full (Telethon's default). https://core.telegram.org/mtproto/mtproto-transports
Knows nothing of encryption or of what a packet holds.
"""

from __future__ import annotations

import zlib
from typing import Protocol

_WORD = 4
_LONG = 0x7F
"""Abridged: a length byte with this value says that three more follow."""
_FULL_OVERHEAD = 12
"""Full: length, sequence number and checksum."""
MAX_PACKET = 1 << 24
"""Longest packet a client may send, in bytes; Telegram's own limit is of this order (16 MiB)."""


class FramingError(Exception):
    """The peer does not speak the framing that it announced; the link is of no further use."""


class Framing(Protocol):
    """One direction-neutral framing of a link."""

    def cut(self, buffer: bytearray) -> bytes | None:
        """Take the first whole packet off `buffer`, or None; raises FramingError for nonsense."""

    def frame(self, packet: bytes) -> bytes:
        """The bytes to write for one packet."""


class Abridged:
    """One length byte in units of four bytes, or 0x7f and three of them."""

    def cut(self, buffer: bytearray) -> bytes | None:
        """See Framing."""
        if not buffer:
            return None
        head, words = 1, buffer[0] & 0x7F  # the top bit asks for a quick ack, which is optional
        if words == _LONG:
            if len(buffer) < _WORD:
                return None
            head, words = 4, int.from_bytes(buffer[1:4], "little")
        return _take(buffer, head, words * _WORD)

    def frame(self, packet: bytes) -> bytes:
        """See Framing."""
        words = len(packet) // _WORD
        head = bytes([words]) if words < _LONG else b"\x7f" + words.to_bytes(3, "little")
        return head + packet


class Intermediate:
    """Four length bytes."""

    def cut(self, buffer: bytearray) -> bytes | None:
        """See Framing."""
        if len(buffer) < _WORD:
            return None
        return _take(buffer, 4, int.from_bytes(buffer[:4], "little") & 0x7FFFFFFF)

    def frame(self, packet: bytes) -> bytes:
        """See Framing."""
        return len(packet).to_bytes(4, "little") + packet


class Full:
    """Length, sequence number, packet and CRC32 of it all."""

    def __init__(self) -> None:
        self._sent = 0

    def cut(self, buffer: bytearray) -> bytes | None:
        """See Framing."""
        if len(buffer) < _WORD:
            return None
        length = int.from_bytes(buffer[:4], "little")
        if length < _FULL_OVERHEAD:
            raise FramingError(f"a full packet of {length} bytes")
        whole = _take(buffer, 0, length)
        if whole is None:
            return None
        if zlib.crc32(whole[:-4]) != int.from_bytes(whole[-4:], "little"):
            raise FramingError("checksum of a full packet is wrong")
        return whole[8:-4]

    def frame(self, packet: bytes) -> bytes:
        """See Framing."""
        body = (
            (len(packet) + _FULL_OVERHEAD).to_bytes(4, "little") + self._sent.to_bytes(4, "little") + packet
        )
        self._sent += 1
        return body + zlib.crc32(body).to_bytes(4, "little")


def detect(buffer: bytearray) -> Framing | None:
    """The framing that the first bytes announce (it takes them off), or None while too few came."""
    if buffer[:1] == b"\xef":
        del buffer[:1]
        return Abridged()
    if len(buffer) < _WORD:
        return None
    if buffer[:4] == b"\xee\xee\xee\xee":
        del buffer[:4]
        return Intermediate()
    return Full()


def _take(buffer: bytearray, head: int, length: int) -> bytes | None:
    if length > MAX_PACKET:
        raise FramingError(f"a packet of {length} bytes")
    if len(buffer) < head + length:
        return None
    packet = bytes(buffer[head : head + length])
    del buffer[: head + length]
    return packet
