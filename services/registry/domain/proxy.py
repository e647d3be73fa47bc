"""A proxy URL: what is allowed, and what of it may be shown. Knows no network."""

import re
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from services.registry.domain.errors import BadValueError

SCHEMES = ("socks5", "socks4", "http")
MAX_URL = 512
_MAX_HOST = 253
_MAX_CREDENTIAL = 255  # RFC 1929: user and password of SOCKS5 have a length of one byte
_HOST = re.compile(r"[A-Za-z0-9._:-]+")


@dataclass(frozen=True, slots=True)
class Proxy:
    """A checked proxy: `url` with user and password, `public` without."""

    url: str = field(repr=False)
    public: str


def parse_proxy(text: str) -> Proxy | None:
    """None for an empty text. Raises BadValueError with field `proxy`, never repeating the text."""
    if not text:
        return None
    if len(text) > MAX_URL or not text.isprintable() or " " in text:
        raise BadValueError("proxy", f"A proxy URL has at most {MAX_URL} printable characters and no blanks.")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise BadValueError("proxy", "The proxy's host or port cannot be read.") from error
    if parts.scheme not in SCHEMES:
        raise BadValueError("proxy", "A proxy URL begins with socks5://, socks4:// or http://.")
    host = parts.hostname or ""
    if not host or len(host) > _MAX_HOST or not _HOST.fullmatch(host):
        raise BadValueError("proxy", "The proxy URL names no host.")
    if not port:
        raise BadValueError("proxy", "The proxy URL names no port from 1 to 65535.")
    if parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise BadValueError("proxy", "A proxy URL ends after the port.")
    _check_credentials(parts.username, parts.password)
    shown_host = f"[{host}]" if ":" in host else host
    return Proxy(url=text.removesuffix("/"), public=f"{parts.scheme}://{shown_host}:{port}")


def _check_credentials(user: str | None, password: str | None) -> None:
    for part in (user, password):
        if part is not None and len(unquote(part).encode()) > _MAX_CREDENTIAL:
            raise BadValueError(
                "proxy", f"User and password of a proxy have at most {_MAX_CREDENTIAL} bytes."
            )
    if password and not user:
        raise BadValueError("proxy", "The proxy URL has a password but no user.")
