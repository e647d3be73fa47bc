"""Protobuf messages as JSON for scripts, with stable field names: those of the contract.

Enums by name without their prefix (null when unspecified), times as RFC 3339, durations in seconds, 64-bit
numbers as numbers, absent times, durations and messages as null."""

import json
import re
from typing import Any

from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp


def plain(message: Message) -> dict[str, Any]:
    """Every field of the message, set or not."""
    fields: Any = message.DESCRIPTOR.fields  # of protobuf's C classes, which its stubs mix with Python's
    return {field.name: _field(message, field) for field in fields if _belongs(message, field)}


def dumps(value: Any, *, indent: int | None = None) -> str:
    """One JSON text. What could steer a terminal is escaped, other scripts' letters are not."""
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    return "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)


def _belongs(message: Message, field: FieldDescriptor) -> bool:
    """Of a oneof only the member that is set."""
    oneof = field.containing_oneof
    return oneof is None or message.WhichOneof(oneof.name) == field.name


def _field(message: Message, field: FieldDescriptor) -> Any:
    value: Any = getattr(message, field.name)
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        return {str(key): value[key] for key in sorted(value)}
    if field.is_repeated:
        return [_value(item, field) for item in value]
    if field.message_type is not None and not message.HasField(field.name):
        return None
    return _value(value, field)


def _value(value: Any, field: FieldDescriptor) -> Any:
    if field.enum_type is not None:
        return _enum_name(field.enum_type, value)
    if isinstance(value, Timestamp):
        return value.ToJsonString()
    if isinstance(value, Duration):
        return round(value.ToTimedelta().total_seconds(), 6)
    return plain(value) if isinstance(value, Message) else value


def _enum_name(enum: EnumDescriptor, number: int) -> str | None:
    known = enum.values_by_number.get(number)
    if known is None:
        return str(number)
    prefix = re.sub(r"(?<!^)(?=[A-Z])", "_", enum.name).upper() + "_"
    name = known.name.removeprefix(prefix)
    return None if name == "UNSPECIFIED" else name
