"""Reads the session strings of Pyrogram and kurigram, Telethon and GramJS. Imports none of them.

The first character tells them apart: Pyrogram's strings are bare base64 and begin with the data centre's
number (1 to 5), so with `A` or `B`; Telethon and GramJS put their version `1` in front.

* Pyrogram, kurigram: url-safe base64 without padding of `>B?256sI?` (351 characters), `>B?256sQ?` (356) or,
  since 2.0, `>BI?256sQ?` (362) (pyrogram/storage/storage.py).
* Telethon: `1`, url-safe base64 of `>B4sH256s` or with IPv6 `>B16sH256s` (telethon/sessions/string.py).
* GramJS: `1`, plain base64 of data centre (1 byte), length of the address (2 bytes), address as text, port
  (2), key (gramjs/sessions/StringSession.ts; newer versions also read Telethon's).
"""

import base64
import binascii
import ipaddress
import re
import struct

from services.registry.domain.errors import NotASessionError
from services.registry.domain.session import AUTH_KEY_BYTES, Session, make_session

MAX_STRING = 4096
"""Characters. The longest real one, GramJS with a long host name, stays below 700."""

_ALPHABET = re.compile(r"[A-Za-z0-9+/_-]+={0,2}")
_HOST = re.compile(r"[A-Za-z0-9.:-]{1,253}")

_PYROGRAM_32 = struct.Struct(">B?256sI?")
_PYROGRAM_64 = struct.Struct(">B?256sQ?")
_PYROGRAM_API = struct.Struct(">BI?256sQ?")
_TELETHON_4 = struct.Struct(">B4sH256s")
_TELETHON_6 = struct.Struct(">B16sH256s")
_GRAMJS_HEAD = struct.Struct(">BH")
_PORT_BYTES = 2

_KNOWN = "It is no session string of Pyrogram, kurigram, Telethon or GramJS"


def decode_session_string(text: str) -> Session:
    """The session in a string of any known kind; blanks around it are ignored. Raises NotASessionError, whose
    sentence never holds any of the text."""
    text = text.strip()
    if not text:
        raise NotASessionError("The session string is empty.")
    if len(text) > MAX_STRING:
        raise NotASessionError(f"The session string is longer than {MAX_STRING} characters.")
    if not _ALPHABET.fullmatch(text):
        raise NotASessionError(f"{_KNOWN}: it holds characters that none of them uses.")
    if text[0] == "1":
        return _decode_versioned(_decode_base64(text[1:]))
    return _decode_pyrogram(_decode_base64(text))


def _decode_base64(text: str) -> bytes:
    bare = text.rstrip("=").replace("+", "-").replace("/", "_")
    try:
        return base64.urlsafe_b64decode(bare + "=" * (-len(bare) % 4))
    except (binascii.Error, ValueError) as error:
        raise NotASessionError(f"{_KNOWN}: it is not base64. Was it copied whole?") from error


def _decode_pyrogram(data: bytes) -> Session:
    api_id = 0
    if len(data) == _PYROGRAM_32.size:
        dc_id, test_mode, key, user_id, is_bot = _PYROGRAM_32.unpack(data)
    elif len(data) == _PYROGRAM_64.size:
        dc_id, test_mode, key, user_id, is_bot = _PYROGRAM_64.unpack(data)
    elif len(data) == _PYROGRAM_API.size:
        dc_id, api_id, test_mode, key, user_id, is_bot = _PYROGRAM_API.unpack(data)
    else:
        raise NotASessionError(f"{_KNOWN}: it has the wrong length. Was it copied whole?")
    refuse_bot(is_bot)
    return make_session("pyrogram", dc_id, key, test_mode=test_mode, user_id=user_id, api_id=api_id)


def refuse_bot(is_bot: object) -> None:
    """Raises NotASessionError for a bot's session: the fleet's accounts are users."""
    if is_bot:
        raise NotASessionError("This is the session of a bot; tgfleet runs user accounts.")


def _decode_versioned(data: bytes) -> Session:
    gramjs = _try_gramjs(data)
    if gramjs is not None:
        return gramjs
    if len(data) == _TELETHON_4.size:
        dc_id, _, _, key = _TELETHON_4.unpack(data)
    elif len(data) == _TELETHON_6.size:
        dc_id, _, _, key = _TELETHON_6.unpack(data)
    else:
        raise NotASessionError(f"{_KNOWN}: it has the wrong length. Was it copied whole?")
    return make_session("telethon", dc_id, key)


def _try_gramjs(data: bytes) -> Session | None:
    """GramJS with an address of 14 characters is as long as Telethon with IPv6, so the address has to make
    sense."""
    if len(data) < _GRAMJS_HEAD.size:
        return None
    dc_id, length = _GRAMJS_HEAD.unpack_from(data)
    start = _GRAMJS_HEAD.size
    if len(data) != start + length + _PORT_BYTES + AUTH_KEY_BYTES:
        return None
    if not _is_address(data[start : start + length]):
        return None
    return make_session("gramjs", dc_id, data[-AUTH_KEY_BYTES:])


def _is_address(data: bytes) -> bool:
    try:
        text = data.decode("ascii")
    except UnicodeDecodeError:
        return False
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return _HOST.fullmatch(text) is not None and "." in text
    return True
