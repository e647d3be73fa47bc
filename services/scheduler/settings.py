"""What can be set about the scheduler."""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from services.runtime.addresses import Endpoints, HostPort
from services.runtime.settings import setting


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Read from the environment by `services.runtime.process.run`."""

    scheduler_listen: HostPort = setting("127.0.0.1:7302")
    """Where the scheduler serves gRPC (host:port, port 0 for any free one)."""
    registry_endpoints: Endpoints = setting("127.0.0.1:7301")
    """Where the registry is reached: comma separated host:port, or one dns:///name:port."""
    etcd_endpoints: Endpoints = setting("127.0.0.1:2379")
    """Where etcd is reached: comma separated host:port."""
    etcd_tls_cert_file: Path | None = setting(None)
    """PEM file with the certificate that etcd is shown, which turns TLS on; read again when it changes."""
    etcd_tls_key_file: Path | None = setting(None)
    """PEM file with that certificate's private key."""
    etcd_tls_ca_file: Path | None = setting(None)
    """PEM file with the CA of etcd's certificates and of ours: one that signs for etcd alone."""
    scheduler_database_url: str = setting("sqlite:///scheduler.db")
    """The scheduler's own database: sqlite:///scheduler.db or postgresql://user:password@host/database."""
    leader_ttl: timedelta = setting(
        timedelta(seconds=5), minimum=timedelta(seconds=2), maximum=timedelta(seconds=60)
    )
    """How long a leading scheduler that fell silent keeps a standby from taking over; whole seconds."""
    start_rate: float = setting(50.0, minimum=0.0)
    """How many accounts a second the whole fleet may start; 0 for no limit."""
    start_burst: int = setting(100, minimum=1)
    """How many accounts may start at once after a quiet time."""
    crash_window: timedelta = setting(timedelta(minutes=10))
    """An account that ran for less than this on a worker that crashed counts as having been there at a
    crash."""
    transfer_max_per_hour: int = setting(5000, minimum=0)
    """Messages in any hour into one target over all accounts and transfers, unless a transfer names its own
    figure; 0 for no limit."""
    transfer_repeat_window: timedelta = setting(timedelta(minutes=10))
    """How long after its first transmission a batch of unknown outcome is repeated with the same random ids
    before anything is read; Telegram does not say for how long it recognises them."""
    transfer_takeover_delay: timedelta = setting(timedelta(seconds=60))
    """How long after the abort of a batch of unknown outcome another account may look for it, when its own
    is gone."""
    transfer_relook_delay: timedelta = setting(timedelta(seconds=30))
    """How long after that it looks again, before it believes that nothing was sent."""
    transfer_idle_release: timedelta = setting(timedelta(minutes=10))
    """How long an account that was started for a transfer runs on without work."""
    transfer_follow_interval: timedelta = setting(timedelta(seconds=10), minimum=timedelta(seconds=1))
    """How often a following transfer looks for new messages once it has caught up."""
    transfer_prediction: bool = setting(default=True)
    """Whether a transfer changes accounts before a flood wait is expected; off: only after one."""
    reflection: bool | None = setting(None)
    """Whether servers tell what they serve (gRPC reflection); unset means: only on a loopback address."""
