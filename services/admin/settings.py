"""What the `tgfleet` command reads from the environment."""

from dataclasses import dataclass
from pathlib import Path

from services.runtime.addresses import HostPort
from services.runtime.secret import Secret
from services.runtime.settings import setting


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Where the fleet is and who asks. All may be absent while a local `tgfleet up` runs."""

    gateway: HostPort | None = setting(None, env="TGFLEET_GATEWAY")
    """The gateway to talk to, host:port; unset means the one that a local `tgfleet up` started."""
    token: Secret[str] | None = setting(None, env="TGFLEET_TOKEN")
    """The bearer token to present."""
    token_file: Path | None = setting(None, env="TGFLEET_TOKEN_FILE")
    """A file that holds the bearer token; used when TGFLEET_TOKEN is unset."""
    gateway_ca_file: Path | None = setting(None, env="TGFLEET_GATEWAY_CA_FILE")
    """Talk TLS to the gateway and trust the CAs in this PEM file; the word `system` for the usual public
    ones."""
    gateway_plaintext: bool = setting(False, env="TGFLEET_GATEWAY_PLAINTEXT")
    """Allows the token to travel unencrypted to a gateway on another machine."""
    data: Path | None = setting(None, env="TGFLEET_DATA")
    """The data directory of a local `tgfleet up`; unset means ~/.local/share/tgfleet (or under
    XDG_DATA_HOME)."""
