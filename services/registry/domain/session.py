"""A Telegram login as every client library keeps it: a data centre and an auth key. Knows no library's
format.

The formats are read by `session_strings` and `session_files`; both end in `make_session`, so that what counts
as a session is decided in one place.
"""

import hashlib
from dataclasses import dataclass, field

from services.registry.domain.errors import NotASessionError

AUTH_KEY_BYTES = 256
"""Length of an MTProto 2.0 auth key (core.telegram.org/mtproto/description)."""

MAX_DC_ID = 5
"""Telegram's main data centres are numbered 1 to 5; others (203) serve only downloads."""

_MAX_ID = 2**63 - 1
_MAX_API_ID = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Session:
    """A login. `kind` is the format it came in, `user_id` and `api_id` are 0 when that format does not
    say."""

    kind: str
    dc_id: int
    auth_key: bytes = field(repr=False)
    test_mode: bool = False
    user_id: int = 0
    api_id: int = 0

    @property
    def auth_key_id(self) -> str:
        """See the function of the same name."""
        return auth_key_id(self.auth_key)


def auth_key_id(auth_key: bytes) -> str:
    """The key's 64-bit id as 16 hex digits: the lower 64 bits of its SHA-1, as MTProto defines
    `auth_key_id`."""
    return hashlib.sha1(auth_key, usedforsecurity=False).digest()[-8:].hex()


def make_session(
    kind: str,
    dc_id: object,
    auth_key: object,
    *,
    test_mode: object = 0,
    user_id: object = 0,
    api_id: object = 0,
) -> Session:
    """Checks what a format held. Raises NotASessionError."""
    if not isinstance(auth_key, bytes) or len(auth_key) == 0:
        raise NotASessionError("The session holds no auth key: nobody ever logged in with it.")
    if len(auth_key) != AUTH_KEY_BYTES:
        raise NotASessionError(f"The auth key is {len(auth_key)} bytes long instead of {AUTH_KEY_BYTES}.")
    if not any(auth_key):
        raise NotASessionError("The auth key is all zero: nobody ever logged in with this session.")
    if not isinstance(dc_id, int) or not 1 <= dc_id <= MAX_DC_ID:
        raise NotASessionError(f"The session names no data centre of Telegram (1 to {MAX_DC_ID}).")
    return Session(
        kind=kind,
        dc_id=dc_id,
        auth_key=auth_key,
        test_mode=bool(test_mode),
        user_id=_number(user_id, _MAX_ID, "user id"),
        api_id=_number(api_id, _MAX_API_ID, "api id"),
    )


def _number(value: object, maximum: int, what: str) -> int:
    if value is None:
        return 0
    if not isinstance(value, int) or not 0 <= value <= maximum:
        raise NotASessionError(f"The {what} in the session is no valid number.")
    return value
