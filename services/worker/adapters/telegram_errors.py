"""Translates the library's errors into ours, and stops it from writing files.

`Refused` carries Telegram's own words (`420 FLOOD_WAIT_X`, seconds), so that everything above decides by them
and not by a class of a library.
"""

import io
import re
from typing import Any

from pyrogram.errors import RPCError, rpc_error

from services.worker.domain.telegram import Refused

_UNLISTED = re.compile(r"\[(-?\d+) (.*)\]", re.DOTALL)
_WRAPPER_METHODS = {"InvokeWithLayer": "initConnection", "InitConnection": "initConnection"}


class _NoFile:
    """Stands for pathlib.Path where the library appends errors it does not know to `unknown_errors.txt` in
    the working directory: breaks on a read-only file system, and is nobody's log (TELEGRAM.md section 3,
    hazard 10)."""

    def __init__(self, _name: str) -> None:
        pass

    def open(self, *_how: Any, **_more: Any) -> io.StringIO:
        """Somewhere to write to that is forgotten."""
        return io.StringIO()


def keep_library_from_writing() -> None:
    """Patches the one name that the library writes through. Idempotent."""
    rpc_error.Path = _NoFile


def translate(error: RPCError, method: str) -> Refused:
    """The same error without the library."""
    code = int(error.CODE or 0)
    if error.ID is not None:
        number = error.value if isinstance(error.value, int) else None
        return Refused(code, str(error.ID), method, number)
    # What the library does not list, it puts into the value: `[420 SOME_NEW_WAIT]`.
    found = _UNLISTED.fullmatch(str(error.value or ""))
    return Refused(int(found[1]), found[2], method) if found else Refused(code, "UNKNOWN", method)


def method_name(query: Any) -> str:
    """Telegram's name of a call: `functions.help.GetConfig` is `help.getConfig`."""
    path = str(getattr(query, "QUALNAME", "unknown")).split(".")[1:]
    if not path:
        return "unknown"
    if path[-1] in _WRAPPER_METHODS:
        return _WRAPPER_METHODS[path[-1]]
    return ".".join([*path[:-1], path[-1][:1].lower() + path[-1][1:]])
