"""What the gateway reads from the environment."""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from services.runtime.addresses import Endpoints, HostPort
from services.runtime.settings import setting


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The gateway's settings."""

    listen: HostPort = setting("127.0.0.1:7443", env="TGFLEET_GATEWAY_LISTEN")
    """Where the gateway listens, host:port; port 0 takes a free one."""
    registry: Endpoints = setting("127.0.0.1:7301", env="TGFLEET_REGISTRY_ENDPOINTS")
    """Where the registries are: comma separated host:port, or one dns:///name:port."""
    scheduler: Endpoints = setting("127.0.0.1:7302", env="TGFLEET_SCHEDULER_ENDPOINTS")
    """Where the schedulers are, the leader and its standbys: comma separated host:port, or one
    dns:///name:port."""
    reflection: bool | None = setting(None, env="TGFLEET_REFLECTION")
    """Whether anybody may list the gateway's services by gRPC reflection; unset means only on a loopback
    address."""
    fleet_call_timeout: timedelta = setting(
        timedelta(seconds=60), minimum=timedelta(seconds=1), env="TGFLEET_FLEET_CALL_TIMEOUT"
    )
    """How long a fleet call may take, beside its wait_for, when the caller sets no deadline."""
    tls_cert_file: Path | None = setting(None, env="TGFLEET_GATEWAY_TLS_CERT_FILE")
    """PEM file with the certificate that the gateway shows its callers; read again when it changes."""
    tls_key_file: Path | None = setting(None, env="TGFLEET_GATEWAY_TLS_KEY_FILE")
    """PEM file with that certificate's private key."""
