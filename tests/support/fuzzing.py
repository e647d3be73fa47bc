"""Requests nobody would send, made from descriptors: random fields, numbers at their limits, broken bytes.

Knows no service: it is given a message's descriptor and a pool of words that mean something to the server, so
that some requests get past the first check. Everything comes from one seeded `random.Random`.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Sequence
from typing import Any

from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

_DEPTH = 5
_INTEGERS = {
    FieldDescriptor.CPPTYPE_INT32: (0, 1, -1, 2, 1000, 2**31 - 1, -(2**31)),
    FieldDescriptor.CPPTYPE_INT64: (0, 1, -1, 60, 86_400, 315_576_000_000, 2**63 - 1, -(2**63), 2**53),
    FieldDescriptor.CPPTYPE_UINT32: (0, 1, 2**31, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 1, 2**63, 2**64 - 1),
}
_FLOATS = (0.0, -1.0, 1e308, float("inf"), float("-inf"), float("nan"), 5e-324)
_TEXTS = (
    "",
    " ",
    "\x00",
    "a\nb",
    "' OR 1=1 --",
    "%s%n{0}",
    "../../etc/passwd",
    "\u202e\u0301😀",
    "acc_aaaaaaaaaaaa",
    "+15550000000",
    "Europe/Vienna",
    "socks5://u:p@127.0.0.1:1",
    "a" * 64,
    "a" * 65,
    "*",
    "-1",
    "9" * 40,
)
_BLOBS = (b"", b"\x00", b"SQLite format 3\x00" + b"\xff" * 4096, b"\xff" * 300)


class Fuzzer:
    """An endless source of requests; the same seed and words give the same ones."""

    def __init__(self, rng: random.Random, words: Sequence[str]) -> None:
        """`words` are texts the server knows: names, ids, tokens' names."""
        self._rng, self._words = rng, list(words)
        self._sense = 0.5

    def request(self, of: Descriptor) -> bytes:
        """The bytes of one request: mostly a message of this kind, sometimes a spoiled one."""
        self._sense = self._rng.choice((0.3, 0.6, 0.99))  # one bad word is enough to be refused at the door
        whole = self._serialized(of)
        kind = self._rng.random()
        if kind < 0.70:
            return whole
        if kind < 0.80:
            return whole + self._unknown_field()
        if kind < 0.88:
            return whole + self._serialized(of)  # every field may be there twice
        if kind < 0.92:
            return whole[: self._rng.randrange(len(whole) + 1)]
        if kind < 0.96:
            return self._flipped(whole)
        return self._rng.randbytes(self._rng.choice((1, 2, 7, 64, 1000)))

    def _serialized(self, of: Descriptor) -> bytes:
        return self._message(of, _DEPTH).SerializeToString()

    def _message(self, of: Descriptor, depth: int) -> Message:
        made = message_factory.GetMessageClass(of)()
        likely = self._rng.choice((0.15, 0.5, 0.9))
        for field in of.fields:
            if self._rng.random() < likely:
                self._fill(made, field, depth)
        return made

    def _fill(self, made: Message, field: FieldDescriptor, depth: int) -> None:
        inner = field.message_type
        if inner is not None and inner.GetOptions().map_entry:
            self._fill_map(getattr(made, field.name), inner, depth)
        elif field.is_repeated:
            count = self._rng.choice((1, 1, 1, 2, 3)) if inner else self._rng.choice((1, 1, 2, 3, 60))
            values = [self._value(field, depth) for _ in range(count)]
            getattr(made, field.name).extend([value for value in values if value is not None])
        elif inner is not None:
            value = self._value(field, depth)
            if value is not None:
                getattr(made, field.name).CopyFrom(value)
        else:
            setattr(made, field.name, self._value(field, depth))

    def _fill_map(self, into: Any, entry: Descriptor, depth: int) -> None:
        key, value = entry.fields_by_name["key"], entry.fields_by_name["value"]
        for _ in range(self._rng.choice((1, 1, 2, 20))):
            if value.message_type is not None:
                into[self._value(key, depth)].CopyFrom(self._value(value, depth))
            else:
                into[self._value(key, depth)] = self._value(value, depth)

    def _value(self, field: FieldDescriptor, depth: int) -> Any:
        kind = field.cpp_type
        if kind == FieldDescriptor.CPPTYPE_MESSAGE:
            inner = field.message_type
            return self._message(inner, depth - 1) if inner is not None and depth else None
        if kind == FieldDescriptor.CPPTYPE_STRING:
            return self._blob() if field.type == FieldDescriptor.TYPE_BYTES else self._text()
        if field.enum_type is not None:
            known = [value.number for value in field.enum_type.values]
            return self._rng.choice(known if self._rng.random() < self._sense else [99, -1, 2**31 - 1])
        if kind == FieldDescriptor.CPPTYPE_BOOL:
            return self._rng.random() < 0.5
        if kind in _INTEGERS and self._rng.random() < self._sense:
            return self._rng.choice((0, 1, 2, 60))
        if kind in _INTEGERS:
            return self._rng.choice(_INTEGERS[kind])
        return self._rng.choice(_FLOATS) if kind == FieldDescriptor.CPPTYPE_DOUBLE else 1.5

    def _text(self) -> str:
        kind = self._rng.random()
        if kind < self._sense:
            return self._rng.choice(self._words)
        if kind < 0.97 + 0.03 * self._sense:
            return self._rng.choice(_TEXTS)
        return "é" * self._rng.choice((300, 5_000, 40_000))

    def _blob(self) -> bytes:
        return self._rng.choice((*_BLOBS, self._rng.randbytes(40)))

    def _unknown_field(self) -> bytes:
        """A field no message has: number 15,000, as varint, fixed or bytes."""
        tag = 15_000 << 3
        kinds = (
            _varint(tag) + _varint(7),
            _varint(tag | 1) + struct.pack("<q", -1),
            _varint(tag | 2) + b"\x01x",
        )
        return self._rng.choice(kinds)

    def _flipped(self, whole: bytes) -> bytes:
        spoiled = bytearray(whole or b"\x00")
        for _ in range(self._rng.randint(1, 4)):
            spoiled[self._rng.randrange(len(spoiled))] ^= 1 << self._rng.randrange(8)
        return bytes(spoiled)


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*encoded, number])
