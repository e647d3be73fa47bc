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

A value `file:///path` is read from that file, so that a secret need not stand in the environment.
"""

import ast
import dataclasses
import difflib
import inspect
import itertools
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass
from pathlib import Path
from types import NoneType
from typing import Any, TypeVar, get_args, get_type_hints

from services.runtime.errors import SettingsError
from services.runtime.redact import redact_text
from services.runtime.setting_names import ALL_NAMES
from services.runtime.values import format_duration, format_value, is_secret, parse_duration, parse_value

S = TypeVar("S")

__all__ = [
    "SettingRow",
    "describe",
    "env_names",
    "format_duration",
    "load",
    "parse_duration",
    "refuse_unknown",
    "setting",
]

PREFIX = "TGFLEET_"
FROM_FILE = "file://"


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


def _fields(cls: type[Any]) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(cls)


def _env(field: dataclasses.Field[Any]) -> str:
    return field.metadata.get("env") or PREFIX + field.name.upper()


def _value(field: dataclasses.Field[Any], hint: Any, environ: Mapping[str, str]) -> Any:
    name = _env(field)
    text = environ.get(name, "").strip()
    from_file = text.startswith(FROM_FILE)
    if from_file:
        text = _read(Path(text.removeprefix(FROM_FILE)), name)
    if not text:
        return _default(field, hint, name)
    try:
        value = parse_value(hint, text)
        _check_bounds(field, value)
    except ValueError as error:
        shown = "" if from_file or is_secret(hint) else f" (it is {redact_text(text)[:80]!r})"
        raise SettingsError(f"{name} has a bad value: {error}{shown}", reason="BAD_SETTING") from None
    return value


def _read(path: Path, name: str) -> str:
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"{name} names the file {path}, which cannot be read", reason="BAD_SETTING"
        ) from error


def _default(field: dataclasses.Field[Any], hint: Any, name: str) -> Any:
    if field.default is not MISSING:
        is_text = isinstance(field.default, str)
        return parse_value(hint, field.default) if is_text and field.default else field.default
    if field.default_factory is not MISSING:
        return field.default_factory()
    if NoneType in get_args(hint):
        return None
    raise SettingsError(f"{name} is not set, and there is no default for it", reason="MISSING_SETTING")


def _check_bounds(field: dataclasses.Field[Any], value: Any) -> None:
    minimum, maximum = field.metadata.get("minimum"), field.metadata.get("maximum")
    if minimum is not None and value < minimum:
        raise ValueError(f"it must be at least {format_value(minimum)}")
    if maximum is not None and value > maximum:
        raise ValueError(f"it must be at most {format_value(maximum)}")


def _default_text(field: dataclasses.Field[Any]) -> str:
    if field.default is MISSING:
        return "" if field.default_factory is not MISSING else "required"
    return format_value(field.default)


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
