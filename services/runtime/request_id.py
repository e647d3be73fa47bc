"""The id that follows one call through all services, in logs and metadata (`x-request-id`).

A context variable: whatever runs for a call (its task and the tasks it makes) sees the same id.
"""

import itertools
import uuid
from collections.abc import Iterable
from contextvars import ContextVar

HEADER = "x-request-id"
_MAX_LENGTH = 128

_PROCESS = uuid.uuid4().hex[:8]
_count = itertools.count(1)


class _Call:
    """The id of one call: the caller's, or one that is made when somebody first asks for it."""

    __slots__ = ("given", "made")

    def __init__(self, given: str) -> None:
        self.given = given
        self.made = ""


_current: ContextVar[_Call | None] = ContextVar("tgfleet_request_id", default=None)


def enter_call(metadata: Iterable[tuple[str, str | bytes]] | None) -> None:
    """A call begins in this task. Its id is the caller's if that is 1-128 printable ASCII characters without
    spaces, else a fresh one."""
    given = ""
    for key, value in metadata or ():
        if key == HEADER and isinstance(value, str) and _is_valid(value):
            given = value
            break
    _current.set(_Call(given))


def current_request_id() -> str:
    """The id of the call being served, or "" outside of one."""
    call = _current.get()
    if call is None:
        return ""
    if call.given:
        return call.given
    if not call.made:
        call.made = new_request_id()
    return call.made


def given_request_id() -> str:
    """The id that the caller sent; "" when it sent none that can be used."""
    call = _current.get()
    return "" if call is None else call.given


def set_request_id(request_id: str) -> None:
    """Makes it the current one for this task and those it starts; "" for none."""
    _current.set(_Call(request_id) if request_id else None)


def new_request_id() -> str:
    """A fresh one: 16 hex digits, the process's random 8 and a count.

    Asking the system for random bytes each time lets go of the interpreter lock: dear for every call.
    """
    return f"{_PROCESS}{next(_count) & 0xFFFFFFFF:08x}"


def call_metadata(*extra: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    """Metadata for a call to another service: the request id (a fresh one outside of a call), and `extra`."""
    return ((HEADER, current_request_id() or new_request_id()), *extra)


def _is_valid(value: str) -> bool:
    return 0 < len(value) <= _MAX_LENGTH and value.isascii() and value.isprintable() and " " not in value
