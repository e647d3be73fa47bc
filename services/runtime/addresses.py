"""Network addresses as settings write them. Pure; resolves nothing.

`HostPort.parse("127.0.0.1:5001")`, `HostPort.parse("[::1]:0")`; `Endpoints.parse("a:1,b:2")` or
`"dns:///name:port"`. Both are understood by `services.runtime.settings` as field types.
"""

from dataclasses import dataclass
from ipaddress import ip_address
from typing import Self

_MAX_PORT = 65535


@dataclass(frozen=True, slots=True)
class HostPort:
    """One address. Port 0 means "any free one" where it is listened on."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises ValueError with a sentence for a person."""
        host, colon, port = text.strip().rpartition(":")
        bracketed = host.startswith("[") and host.endswith("]")
        if not colon or not host or (":" in host and not bracketed) or any(c in host for c in "/@ ,"):
            raise ValueError("write it as host:port, an IPv6 address in brackets")
        if not (port.isascii() and port.isdigit()) or int(port) > _MAX_PORT:
            raise ValueError(f"the port must be a number from 0 to {_MAX_PORT}")
        return cls(host[1:-1] if bracketed else host, int(port))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where a service is reached: fixed addresses, or one `dns:///` name that is looked up again."""

    addresses: tuple[HostPort, ...]
    dns: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Comma separated host:port, or one dns:///name:port. Raises ValueError with a sentence."""
        text = text.strip()
        if text.startswith("dns:///"):
            name = HostPort.parse(text.removeprefix("dns:///"))
            if name.port == 0:
                raise ValueError("port 0 cannot be dialled")
            return cls((), f"dns:///{name}")
        addresses = tuple(HostPort.parse(part) for part in text.split(","))
        if any(address.port == 0 for address in addresses):
            raise ValueError("port 0 cannot be dialled")
        return cls(addresses)

    def __str__(self) -> str:
        return self.dns or ",".join(map(str, self.addresses))
