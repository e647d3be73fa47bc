"""What must never be readable in a log, an error or an event, as pure text functions.

Works without knowing where a text came from, so it goes by shape: session strings are long base64 runs, api
hashes are 32 hex digits, our tokens start with `tgf_`, proxy addresses carry `user:password@`. What operators
need stays readable: auth_key_id (16 hex digits), UUIDs, account ids, ports, user ids, durations. Login codes
have no shape of their own (five digits) and therefore must simply never be handed to anything that prints.

Use `mask_phone` and `mask_name` wherever a phone number or an account's name is shown; `redact_text` and
`redact_value` for whole texts and structures.
"""

import re
from collections.abc import Mapping
from typing import Any

MASK = "•••"
_MAX_DEPTH = 6

# Keys whose value is hidden whatever it looks like, compared in lower case by their end.
_SECRET_KEY = re.compile(
    r"(?:passw(?:or)?d|passphrase|secret|token|tokens|api_?hash|session_?string|session_?data|auth_?key|"
    r"phone_?code|phone_?code_?hash|login_?code|master_?key|private_?key|authorization|cookie|credential|credentials)$"
)
_PUBLIC_KEYS = frozenset({"lease_token", "fencing_token", "page_token", "next_page_token"})
_NAME_KEY = re.compile(r"(?:^|_)(?:phone|phone_number|name|names|account|accounts)$")

_PHONE_SHAPE = re.compile(r"\+?\(?\d(?:[ ().-]{0,2}\d){6,14}")
_HASH32 = re.compile(r"(?<![0-9A-Fa-f])[0-9A-Fa-f]{32}(?![0-9A-Fa-f])")
_SHORTEST_RUN = 32
_LONG_SEGMENT = 64
_LONG_RUN = 200
_BINARY_ESCAPES = 8

# `redact_text` looks for a character that each needs before it tries: most texts have none and cost nothing.
_BYTES = re.compile(r"""\bb(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")""")
_URL_PASSWORD = re.compile(r"""(://[^\s/:@'"]*):[^\s'"]*@""")
_BEARER = re.compile(r"""([Bb]earer\s+)[^\s'"]+""")
_ASSIGNED = re.compile(
    r"""((?<!lease_)(?<!page_)(?<!fencing_)(?:password|passwd|passphrase|secret|token|api_?hash|"""
    r"""session_?string|auth_?key|phone_?code|phone_?code_?hash|login_?code|master_?key|private_?key)"""
    r"""["']?\s*[=:]\s*)"""
    r"""(?:b?"(?:[^"\\]|\\.)*"|b?'(?:[^'\\]|\\.)*'|[^\s"',;&)\]}]+)""",
    re.IGNORECASE,
)
_NUMBER_NAME = re.compile(r"""((?:phone|phone_number|name)["']?\s*[=:]\s*["']?)(\+?\d{7,15})\b""")
_OWN_TOKEN = re.compile(r"tgf_[A-Za-z0-9_-]+")
_RUN = re.compile(r"[A-Za-z0-9_+/-]{32,}={0,2}")
_PHONE = re.compile(r"(?<![\w+])\+\d(?:[ ().-]{0,2}\d){6,14}(?!\d)")


def mask_phone(text: str) -> str:
    """`+9996621234` -> `+99•••••34`; the number of bullets does not tell the length."""
    digits = re.sub(r"\D", "", text)
    plus = "+" if text.lstrip().startswith("+") else ""
    return f"{plus}{digits[:2]}•••••{digits[-2:]}"


def mask_name(name: str) -> str:
    """The name as it is, unless it is a phone number: then masked as one."""
    return mask_phone(name) if _PHONE_SHAPE.fullmatch(name.strip()) else name


def is_secret_key(key: str) -> bool:
    """Whether a value under this key is hidden without looking at it."""
    lowered = key.lower()
    return lowered not in _PUBLIC_KEYS and _SECRET_KEY.search(lowered) is not None


def redact_text(text: str) -> str:
    """The text with everything that has the shape of a secret or a phone number masked."""
    if "\\x" in text:
        text = _BYTES.sub(_mask_bytes, text)
    if "://" in text:
        text = _URL_PASSWORD.sub(rf"\1:{MASK}@", text)
    if "earer" in text:
        text = _BEARER.sub(rf"\1{MASK}", text)
    if "=" in text or ":" in text:
        text = _ASSIGNED.sub(rf"\1{MASK}", text)
        text = _NUMBER_NAME.sub(lambda match: match[1] + mask_phone(match[2]), text)
    if "tgf_" in text:
        text = _OWN_TOKEN.sub(f"tgf_{MASK}", text)
    if len(text) >= _SHORTEST_RUN:
        text = _RUN.sub(lambda match: _mask_run(match[0]), text)
    if "+" in text:
        text = _PHONE.sub(lambda match: mask_phone(match[0]), text)
    return text


def redact_value(value: Any, key: str = "", depth: int = 0) -> Any:
    """The value for a log line: same structure, secrets masked, unknown objects as redacted repr."""
    if key and is_secret_key(key) and value is not None and not isinstance(value, bool):
        return MASK
    if isinstance(value, str):
        return mask_name(redact_text(value)) if key and _NAME_KEY.search(key.lower()) else redact_text(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        return f"<{len(value)} bytes>"
    if depth >= _MAX_DEPTH:
        return "<nested too deep>"
    if isinstance(value, Mapping):
        return {redact_text(str(k)): redact_value(v, str(k), depth + 1) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [redact_value(item, key, depth + 1) for item in value]
    return redact_text(repr(value) if isinstance(value, BaseException) else str(value))


def _mask_bytes(match: re.Match[str]) -> str:
    """The repr of a bytes object is hidden when it is binary: keys are."""
    return f"<{MASK} bytes>" if match[0].count("\\x") >= _BINARY_ESCAPES else match[0]


def _mask_run(run: str) -> str:
    """A long run without spaces: a session string or key is hidden, a path or an identifier is not."""
    if len(run) >= _LONG_RUN or any(_looks_random(part) for part in run.split("/")):
        return MASK
    return _HASH32.sub(MASK, run)


def _looks_random(part: str) -> bool:
    mixed = re.search(r"[a-z]", part) and re.search(r"[A-Z]", part) and re.search(r"\d", part)
    return len(part) >= _LONG_SEGMENT and mixed is not None
