"""What the registry reads from the environment."""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from services.runtime.addresses import Endpoints, HostPort
from services.runtime.settings import setting


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The registry's settings; those of every process are in services.runtime.process."""

    listen: HostPort = setting("127.0.0.1:7301", env="TGFLEET_REGISTRY_LISTEN")
    """Where the registry serves gRPC (host:port, port 0 for any free one)."""
    database_url: str = setting(env="TGFLEET_REGISTRY_DATABASE_URL")
    """The registry's own database: sqlite:///data/registry.db or postgresql://user:password@host/database."""
    etcd: Endpoints = setting("127.0.0.1:2379", env="TGFLEET_ETCD_ENDPOINTS")
    """Where etcd is (host:port, several separated by commas)."""
    etcd_tls_cert_file: Path | None = setting(None)
    """PEM file with the certificate that etcd is shown, which turns TLS on; read again when it changes."""
    etcd_tls_key_file: Path | None = setting(None)
    """PEM file with that certificate's private key."""
    etcd_tls_ca_file: Path | None = setting(None)
    """PEM file with the CA of etcd's certificates and of ours: one that signs for etcd alone."""
    master_key_file: Path = setting()
    """The keys that encrypt sessions: lines of key_id:base64 of 32 bytes, the first one encrypts."""
    bootstrap_token_file: Path | None = setting(None)
    """A file with the secret of the administrator's first token; only its hash is stored."""
    audit_keep: timedelta = setting(
        timedelta(days=90),
        minimum=timedelta(days=1),
        maximum=timedelta(days=3650),
        env="TGFLEET_AUDIT_KEEP",
    )
    """For how long entries of the audit trail are kept."""
    lease_ttl: timedelta = setting(
        timedelta(seconds=30), minimum=timedelta(seconds=1), maximum=timedelta(hours=1)
    )
    """T: for how long a worker holds sessions after it sent the last renewal that was acknowledged."""
    lease_settle: timedelta = setting(
        timedelta(seconds=30), minimum=timedelta(seconds=1), maximum=timedelta(hours=1)
    )
    """S: for how long a session then rests, so that Telegram notices that the old connection is gone."""
