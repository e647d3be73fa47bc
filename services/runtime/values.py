"""Typed values from the text of an environment variable, and back. Pure; knows no environment and no names.

Raises ValueError with the second half of a sentence ("it must be a whole number") that never holds the text.
"""

import math
import re
from collections.abc import Mapping
from datetime import timedelta
from enum import Enum
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from services.runtime.addresses import Endpoints, HostPort
from services.runtime.secret import Secret

_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_LONGEST = 10_000 * 86_400
_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})


def parse_value(hint: Any, text: str) -> Any:
    """The value of that type, or ValueError with the rest of a sentence."""
    origin, args = get_origin(hint), get_args(hint)
    if origin in {Union, UnionType}:
        return _parse_union([arg for arg in args if arg is not NoneType], text)
    if origin is tuple:
        return tuple(parse_value(args[0], part.strip()) for part in text.split(",") if part.strip())
    if origin is Secret:
        return Secret(parse_value(args[0], text))
    if origin is Literal:
        return _one_of({str(arg): arg for arg in args}, text)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return _one_of({str(member.value).lower(): member for member in hint}, text.lower())
    parser = _PARSERS.get(hint)
    if parser is None:
        raise TypeError(f"no settings parser for {hint}")
    return parser(text)


def _parse_union(kinds: list[Any], text: str) -> Any:
    """A Literal among the kinds is tried first (`HostPort | Literal["off"]`)."""
    literals = [kind for kind in kinds if get_origin(kind) is Literal]
    for kind in literals:
        if text in get_args(kind):
            return text
    return parse_value(next(kind for kind in kinds if kind not in literals), text)


def _one_of(choices: Mapping[str, Any], text: str) -> Any:
    if text not in choices:
        raise ValueError(f"it must be one of {', '.join(choices)}")
    return choices[text]


def _parse_bool(text: str) -> bool:
    lowered = text.lower()
    if lowered not in _TRUE | _FALSE:
        raise ValueError("it must be 1 or 0 (also true/false, yes/no, on/off)")
    return lowered in _TRUE


def _parse_int(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError("it must be a whole number") from None


def _parse_float(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ValueError("it must be a number") from None
    if not math.isfinite(value):
        raise ValueError("it must be a finite number")
    return value


def parse_duration(text: str) -> timedelta:
    """`500ms`, `15s`, `30m`, `2h`, `1d`, or several in a row (`1h30m`). Raises ValueError."""
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError("write a duration such as 500ms, 15s, 30m or 2h")
    seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    if seconds > _LONGEST:
        raise ValueError("the longest duration is 10000 days")
    return timedelta(seconds=seconds)


def format_duration(duration: timedelta) -> str:
    """The shortest text that `parse_duration` reads back."""
    milliseconds = round(duration.total_seconds() * 1000)
    for unit in ("d", "h", "m", "s"):
        step = round(_UNITS[unit] * 1000)
        if milliseconds and milliseconds % step == 0:
            return f"{milliseconds // step}{unit}"
    return f"{milliseconds}ms"


_PARSERS: dict[Any, Any] = {
    str: str,
    int: _parse_int,
    float: _parse_float,
    bool: _parse_bool,
    Path: lambda text: Path(text).expanduser(),
    timedelta: parse_duration,
    HostPort: HostPort.parse,
    Endpoints: Endpoints.parse,
}


def is_secret(hint: Any) -> bool:
    """Whether a value of this type must not be shown."""
    return get_origin(hint) is Secret or hint is Secret or any(is_secret(arg) for arg in get_args(hint))


def format_value(value: Any) -> str:
    """The text that `parse_value` reads back."""
    if value is None or value == ():
        return ""
    if isinstance(value, timedelta):
        return format_duration(value)
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, Enum):
        return str(value.value)
    return ",".join(map(format_value, value)) if isinstance(value, tuple) else str(value)
