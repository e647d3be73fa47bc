"""Reads requests so that bytes which are no message become an InvalidArgument that names the field.

The protobuf parser does not say which text is not UTF-8, so `field_that_is_not_text` walks the wire format
(protobuf.dev/programming-guides/encoding) with the message's descriptor, only after parsing has failed.
"""

from collections.abc import Callable, Iterator
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError

from services.runtime.errors import InvalidArgument

_LENGTH_DELIMITED = 2
_FIXED = {1: 8, 5: 4}
_MAX_VARINT_BYTES = 10
_MAX_DEPTH = 32


class Malformed:
    """Stands in for a unary request whose bytes are no message of its type."""

    def __init__(self, error: InvalidArgument) -> None:
        self.error = error


def lenient(parse: Callable[[bytes], Any] | None) -> Callable[[bytes], Any] | None:
    """A parser whose failure the guard reports: unary requests are parsed before it runs."""
    if parse is None:
        return None

    def lenient(data: bytes) -> Any:
        try:
            return parse(data)
        except (DecodeError, ValueError):
            return Malformed(_malformed_request(data, parse))

    return lenient


def strict(parse: Callable[[bytes], Any] | None) -> Callable[[bytes], Any] | None:
    """A parser that raises our error: streamed requests are parsed while the handler reads them."""
    if parse is None:
        return None

    def strict(data: bytes) -> Any:
        try:
            return parse(data)
        except (DecodeError, ValueError) as error:
            raise _malformed_request(data, parse) from error

    return strict


def _malformed_request(data: bytes, parse: Callable[[bytes], Any]) -> InvalidArgument:
    """The error for bytes that `parse`, usually a message class's FromString, refused."""
    descriptor = getattr(getattr(parse, "__self__", None), "DESCRIPTOR", None)
    field = field_that_is_not_text(data, descriptor) if descriptor is not None else None
    if field is not None:
        return InvalidArgument(f"{field} is not valid UTF-8 text.", field=field, reason="NOT_UTF8")
    return InvalidArgument(
        "The request is no valid message of this method's type.", field="request", reason="MALFORMED_REQUEST"
    )


def field_that_is_not_text(data: bytes, descriptor: Descriptor, depth: int = 0) -> str | None:
    """The path of the first string field that is not UTF-8 (`accounts[2].name`); None for other faults."""
    seen: dict[int, int] = {}
    try:
        for number, value in _length_delimited(data):
            field = descriptor.fields_by_number.get(number)
            if field is None:
                continue
            index = seen[number] = seen.get(number, -1) + 1
            path = f"{field.name}[{index}]" if field.is_repeated else field.name
            if field.type == FieldDescriptor.TYPE_STRING and not _is_text(value):
                return path
            if field.message_type is not None and depth < _MAX_DEPTH:
                inner = field_that_is_not_text(value, field.message_type, depth + 1)
                if inner is not None:
                    return f"{path}.{inner}"
    except (IndexError, ValueError):
        return None  # cut short or no protobuf at all
    return None


def _length_delimited(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Number and content of every field of wire type 2. Raises IndexError or ValueError for broken data."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, wire_type = tag >> 3, tag & 7
        if wire_type == 0:
            _, at = _varint(data, at)
        elif wire_type == _LENGTH_DELIMITED:
            length, at = _varint(data, at)
            if at + length > len(data):
                raise ValueError("cut short")
            yield number, data[at : at + length]
            at += length
        elif wire_type in _FIXED:
            at += _FIXED[wire_type]
        else:
            raise ValueError("unknown wire type")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for i in range(_MAX_VARINT_BYTES):
        byte = data[at + i]
        value |= (byte & 0x7F) << (7 * i)
        if byte < 0x80:  # noqa: PLR2004 - the continuation bit
            return value, at + i + 1
    raise ValueError("varint too long")


def _is_text(value: bytes) -> bool:
    try:
        value.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
