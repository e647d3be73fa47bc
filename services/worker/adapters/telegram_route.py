"""Where connections to Telegram may go, decided before a socket is made (DESIGN section 8).

A client without an explicit data centre dials nothing unless the operator allowed the real Telegram, because
the client library falls through to it silently. Knows addresses only.
"""

from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from services.runtime.addresses import HostPort
from services.worker.domain.telegram import LinkCause, LinkDown

# https://core.telegram.org/api/datacenter; the same table as pyrogram/storage/sqlite_storage.py. 443 and 80
# as there.
_PRODUCTION = {
    1: "149.154.175.53",
    2: "149.154.167.51",
    3: "149.154.175.100",
    4: "149.154.167.91",
    5: "91.108.56.130",
}
_TEST = {1: "149.154.175.10", 2: "149.154.167.40", 3: "149.154.175.117"}
_PROXY_SCHEMES = {"socks5", "socks4", "http"}


@dataclass(frozen=True, slots=True)
class ProxyAddress:
    """A proxy to dial through."""

    scheme: str
    host: str
    port: int
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Route:
    """The operator's choice: `dc` is an explicit data centre, `live` allows the real ones."""

    dc: HostPort | None
    live: bool

    def main(self, dc_id: int, *, test_mode: bool) -> HostPort:
        """The address of a main connection. Raises LinkDown(NOT_ALLOWED) when nothing may be dialled."""
        if self.dc is not None:
            return self.dc
        if not self.live:
            raise LinkDown(
                LinkCause.NOT_ALLOWED,
                "No data centre is set (TGFLEET_TELEGRAM_DC), and the real Telegram is not allowed "
                "(TGFLEET_TELEGRAM_LIVE=1): nothing was dialled.",
            )
        host = (_TEST if test_mode else _PRODUCTION).get(dc_id)
        if host is None:
            raise LinkDown(LinkCause.NOT_ALLOWED, f"There is no data centre {dc_id}.")
        return HostPort(host, 80 if test_mode else 443)

    def media(self, dc_id: int, given: HostPort, *, test_mode: bool) -> HostPort:
        """The address of a media connection, which Telegram names itself: only followed on the explicit host,
        or live."""
        main = self.main(dc_id, test_mode=test_mode)
        return given if self.dc is None or given.host == self.dc.host else main


def parse_proxy(url: str) -> ProxyAddress | None:
    """The proxy of a URL, None for "". Raises LinkDown(PROXY_FAILED) without echoing the URL."""
    if not url:
        return None
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise LinkDown(LinkCause.PROXY_FAILED, "The proxy's URL cannot be read.") from None
    if parts.scheme not in _PROXY_SCHEMES or not host or not port:
        raise LinkDown(LinkCause.PROXY_FAILED, "The proxy's URL cannot be read.")
    user, password = parts.username, parts.password
    return ProxyAddress(
        parts.scheme, host, port, unquote(user) if user else None, unquote(password) if password else None
    )
