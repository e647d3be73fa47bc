"""Reads settings from the environment into frozen dataclasses, strictly and with clear sentences.

::

    @dataclass(frozen=True, kw_only=True)
    class Settings:
        lease_ttl: timedelta = setting(timedelta(seconds=30), minimum=timedelta(seconds=2))
        '''How long a worker holds a session without renewing. (TGFLEET_LEASE_TTL)'''
        master_key_file: Path = setting()          # no default: required
        '''Where the keys are that encrypt sessions.'''
        etcd: Endpoints = setting("127.0.0.1:2379", env="TGFLEET_ETCD_ENDPOINTS")   # text defaults are parsed
        '''...'''

    settings = load(Settings, os.environ)

Types: str, int, float, bool, Path, timedelta (`500ms`, `15s`, `30m`, `2h`, `1d`), HostPort, Endpoints, Enum,
Literal, `tuple[T, ...]` (comma separated), `T | None` (unset or empty is None), `Secret[str]`. The name is
TGFLEET_ and the field's, unless `env` says otherwise. `describe(cls)` gives the rows of the settings table.
"""

import ast
import dataclasses
import difflib
import inspect
import itertools
import re
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass
from datetime import timedelta
from enum import Enum
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from services.runtime.addresses import Endpoints, HostPort
from services.runtime.errors import SettingsError
from services.runtime.redact import redact_text
from services.runtime.secret import Secret
from services.runtime.setting_names import ALL_NAMES

S = TypeVar("S")

PREFIX = "TGFLEET_"
_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})


@dataclass(frozen=True, slots=True)
class SettingRow:
    """One row of the settings table. `default` is "" for none, "required" when there has to be a value."""

    env: str
    default: str
    meaning: str


def setting(
    default: Any = MISSING, *, env: str | None = None, minimum: Any = None, maximum: Any = None
) -> Any:
    """A dataclass field with its environment name and bounds (inclusive); required without a default."""
    metadata = {"env": env, "minimum": minimum, "maximum": maximum}
    if default is MISSING:
        return dataclasses.field(metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def load(cls: type[S], environ: Mapping[str, str], *, known: Iterable[str] = ALL_NAMES) -> S:
    """An instance of `cls` from the environment. Raises SettingsError, one sentence naming the variable."""
    refuse_unknown(environ, {*known, *env_names(cls)})
    hints = get_type_hints(cls)
    values = {f.name: _value(f, hints[f.name], environ) for f in _fields(cls)}
    return cls(**values)


def refuse_unknown(environ: Mapping[str, str], known: Iterable[str]) -> None:
    """Raises SettingsError for the first TGFLEET_ name that no service reads, and the likely name."""
    names = frozenset(known)
    for name in sorted(environ):
        if name.startswith(PREFIX) and name not in names:
            near = difflib.get_close_matches(name, names, n=1, cutoff=0.8)
            hint = f"; did you mean {near[0]}?" if near else "; the README lists all names"
            raise SettingsError(f"{name} is not a setting of tgfleet{hint}", reason="UNKNOWN_SETTING")


def env_names(cls: type[Any]) -> list[str]:
    """The environment names that a settings class reads, in order."""
    return [_env(field) for field in _fields(cls)]


def describe(cls: type[Any]) -> list[SettingRow]:
    """Name, default and meaning (the docstring under the field) of every setting of a class."""
    meanings = _field_docstrings(cls)
    return [SettingRow(_env(f), _default_text(f), meanings.get(f.name, "")) for f in _fields(cls)]


def parse_duration(text: str) -> timedelta:
    """`500ms`, `15s`, `30m`, `2h`, `1d`, or several in a row (`1h30m`). Raises ValueError."""
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError("write a duration such as 500ms, 15s, 30m or 2h")
    return timedelta(seconds=sum(float(number) * _UNITS[unit] for number, unit in parts))


def format_duration(duration: timedelta) -> str:
    """The shortest text that `parse_duration` reads back."""
    milliseconds = round(duration.total_seconds() * 1000)
    for unit in ("d", "h", "m", "s"):
        step = round(_UNITS[unit] * 1000)
        if milliseconds and milliseconds % step == 0:
            return f"{milliseconds // step}{unit}"
    return f"{milliseconds}ms"


def _fields(cls: type[Any]) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(cls)


def _env(field: dataclasses.Field[Any]) -> str:
    return field.metadata.get("env") or PREFIX + field.name.upper()


def _value(field: dataclasses.Field[Any], hint: Any, environ: Mapping[str, str]) -> Any:
    name = _env(field)
    text = environ.get(name, "").strip()
    if not text:
        return _default(field, hint, name)
    try:
        value = _parse(hint, text)
        _check_bounds(field, value)
    except ValueError as error:
        shown = "" if _is_secret(hint) else f" (it is {redact_text(text)[:80]!r})"
        raise SettingsError(f"{name} has a bad value: {error}{shown}", reason="BAD_SETTING") from None
    return value


def _default(field: dataclasses.Field[Any], hint: Any, name: str) -> Any:
    if field.default is not MISSING:
        is_text = isinstance(field.default, str)
        return _parse(hint, field.default) if is_text and field.default else field.default
    if field.default_factory is not MISSING:
        return field.default_factory()
    if NoneType in get_args(hint):
        return None
    raise SettingsError(f"{name} is not set, and there is no default for it", reason="MISSING_SETTING")


def _parse(hint: Any, text: str) -> Any:
    """The value of that type, or ValueError with the rest of a sentence."""
    origin, args = get_origin(hint), get_args(hint)
    if origin in {Union, UnionType}:
        return _parse_union([arg for arg in args if arg is not NoneType], text)
    if origin is tuple:
        return tuple(_parse(args[0], part.strip()) for part in text.split(",") if part.strip())
    if origin is Secret:
        return Secret(_parse(args[0], text))
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
    return _parse(next(kind for kind in kinds if kind not in literals), text)


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
        return float(text)
    except ValueError:
        raise ValueError("it must be a number") from None


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


def _check_bounds(field: dataclasses.Field[Any], value: Any) -> None:
    minimum, maximum = field.metadata.get("minimum"), field.metadata.get("maximum")
    if minimum is not None and value < minimum:
        raise ValueError(f"it must be at least {_text(minimum)}")
    if maximum is not None and value > maximum:
        raise ValueError(f"it must be at most {_text(maximum)}")


def _is_secret(hint: Any) -> bool:
    return get_origin(hint) is Secret or hint is Secret or any(_is_secret(arg) for arg in get_args(hint))


def _default_text(field: dataclasses.Field[Any]) -> str:
    if field.default is MISSING:
        return "" if field.default_factory is not MISSING else "required"
    return _text(field.default)


def _text(value: Any) -> str:
    if value is None or value == ():
        return ""
    if isinstance(value, timedelta):
        return format_duration(value)
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, Enum):
        return str(value.value)
    return ",".join(map(_text, value)) if isinstance(value, tuple) else str(value)


def _field_docstrings(cls: type[Any]) -> dict[str, str]:
    """The string under each field, from the source of the class and of its bases."""
    found: dict[str, str] = {}
    for owner in reversed(cls.__mro__):
        if not dataclasses.is_dataclass(owner):
            continue
        body = ast.parse(textwrap.dedent(inspect.getsource(owner))).body[0]
        if isinstance(body, ast.ClassDef):
            found |= _strings_under_fields(body.body)
    return found


def _strings_under_fields(statements: list[ast.stmt]) -> dict[str, str]:
    found = {}
    for field, below in itertools.pairwise(statements):
        if not (isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)):
            continue
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
            found[field.target.id] = " ".join(str(below.value.value).split())
    return found
