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

_current: ContextVar[str] = ContextVar("tgfleet_request_id", default="")


def current_request_id() -> str:
    """The id of the call being served, or "" outside of one."""
    return _current.get()


def set_request_id(request_id: str) -> None:
    """Makes it the current one for this task and those it starts."""
    _current.set(request_id)


def new_request_id() -> str:
    """A fresh one: 16 hex digits, the process's random 8 and a count.

    Asking the system for random bytes each time lets go of the interpreter lock: dear for every call.
    """
    return f"{_PROCESS}{next(_count) & 0xFFFFFFFF:08x}"


def made_here(request_id: str) -> bool:
    """Whether this process made it up, so that the caller does not know it."""
    return request_id.startswith(_PROCESS)


def accept_request_id(metadata: Iterable[tuple[str, str | bytes]] | None) -> str:
    """The caller's id if it is 1-128 printable ASCII characters without spaces, else a fresh one."""
    for key, value in metadata or ():
        if key == HEADER and isinstance(value, str) and _is_valid(value):
            return value
    return new_request_id()


def call_metadata(*extra: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    """Metadata for a call to another service: the request id (a fresh one outside of a call), and `extra`."""
    return ((HEADER, current_request_id() or new_request_id()), *extra)


def _is_valid(value: str) -> bool:
    return 0 < len(value) <= _MAX_LENGTH and value.isascii() and value.isprintable() and " " not in value
