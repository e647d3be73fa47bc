"""What must never be readable in a log, an error or an event, as pure text functions.

Works without knowing where a text came from, so it goes by shape: session strings are long base64 runs, api hashes
are 32 hex digits, our tokens start with `tgf_`, proxy addresses carry `user:password@`. What operators need stays
readable: auth_key_id (16 hex digits), UUIDs, account ids, ports, user ids, durations. Login codes have no shape of
their own (five digits) and therefore must simply never be handed to anything that prints.

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
_KEY_IN_TEXT = (
    r"[A-Za-z_.-]*(?:passw(?:or)?d|passphrase|secret|token|api_?hash|session_?string|auth_?key|phone_?code|"
    r"phone_?code_?hash|login_?code|master_?key|private_?key)"
)
_PATTERN = re.compile(
    rf"""
      (?P<bytes>\bb(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"))
    | (?P<url>\b[A-Za-z][A-Za-z0-9+.-]*://)(?P<user>[^\s/:@'"]*):(?P<urlpass>[^\s/'"]*)@
    | (?P<bearer>\b[Bb]earer\s+)(?P<bearer_value>[^\s'"]+)
    | (?P<key>(?i:{_KEY_IN_TEXT}))(?P<sep>["']?\s*[=:]\s*)(?P<value>"[^"]*"|'[^']*'|[^\s"',;&)\]}}]+)
    | (?P<namekey>\b(?:\w+_)?(?:phone|phone_number|name)["']?\s*[=:]\s*["']?)(?P<number>\+?\d{{7,15}})\b
    | (?P<own>\btgf_[A-Za-z0-9_-]+)
    | (?P<run>[A-Za-z0-9_+/-]{{32,}}={{0,2}})
    | (?P<phone>(?<![\w+])\+\d(?:[ ().-]{{0,2}}\d){{6,14}}(?![\d:]))
    """,
    re.VERBOSE,
)
_HASH32 = re.compile(r"(?<![0-9A-Fa-f])[0-9A-Fa-f]{32}(?![0-9A-Fa-f])")
_LONG_SEGMENT = 64
_LONG_RUN = 200
_BINARY_ESCAPES = 8


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
    return _PATTERN.sub(_replace, text)


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


def _replace(match: re.Match[str]) -> str:
    kind = match.lastgroup
    text = match.group()
    if kind == "bytes":
        return f"<{MASK} bytes>" if text.count("\\x") >= _BINARY_ESCAPES else text[0] + redact_text(text[1:])
    if kind == "urlpass":
        return f"{match['url']}{match['user']}:{MASK}@"
    if kind == "bearer_value":
        return f"{match['bearer']}{MASK}"
    if kind == "value":
        return _mask_assignment(match)
    if kind == "number":
        return f"{match['namekey']}{mask_phone(match['number'])}"
    if kind == "own":
        return f"tgf_{MASK}"
    if kind == "run":
        return _mask_run(text)
    return mask_phone(text)


def _mask_assignment(match: re.Match[str]) -> str:
    key = match["key"].strip("\"'")
    if not is_secret_key(key):
        return match.group()
    value = match["value"]
    quote = value[0] if value[0] in "\"'" else ""
    return f"{match['key']}{match['sep']}{quote}{MASK}{quote}"


def _mask_run(run: str) -> str:
    """A long run without spaces: a session string or key is hidden, a path or an identifier is not."""
    if len(run) >= _LONG_RUN or any(_looks_random(part) for part in run.split("/")):
        return MASK
    return _HASH32.sub(MASK, run)


def _looks_random(part: str) -> bool:
    mixed = re.search(r"[a-z]", part) and re.search(r"[A-Z]", part) and re.search(r"\d", part)
    return len(part) >= _LONG_SEGMENT and mixed is not None
