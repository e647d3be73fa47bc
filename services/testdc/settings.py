"""What the test data centre reads from the environment."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from services.runtime.addresses import HostPort
from services.runtime.settings import setting


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The test data centre's settings. Every address must be loopback."""

    listen: HostPort = setting("127.0.0.1:0", env="TGFLEET_TESTDC_LISTEN")
    """Where clients connect, host:port; port 0 takes a free one."""
    media_port: int = setting(0, env="TGFLEET_TESTDC_MEDIA_PORT", minimum=0, maximum=65535)
    """Port of media connections on the same host; 0 takes a free one."""
    control_listen: HostPort = setting("127.0.0.1:0", env="TGFLEET_TESTDC_CONTROL_LISTEN")
    """Where the control API (gRPC) is served."""
    rsa_key: Path | None = setting(None, env="TGFLEET_TESTDC_RSA_KEY")
    """File to write the public RSA key to (PEM), which clients need."""
    state_file: Path | None = setting(None, env="TGFLEET_TESTDC_STATE")
    """File that keeps the RSA key, accounts, chats and messages over a restart; unset: nothing is kept."""
    journal_file: Path | None = setting(None, env="TGFLEET_TESTDC_JOURNAL")
    """File to append the journal to as JSON lines; unset: it is kept in memory only."""
    journal_limit: int = setting(1_000_000, env="TGFLEET_TESTDC_JOURNAL_LIMIT", minimum=1_000)
    """How many journal records are kept in memory; the oldest go first."""
    ready_file: Path | None = setting(None, env="TGFLEET_TESTDC_READY_FILE")
    """File to write when all is serving: JSON with addresses (testdc, media, control) and rsa_key path."""
    dc_id: int = setting(2, env="TGFLEET_TESTDC_DC_ID", minimum=1, maximum=5)
    """Number of the data centre, as session strings name it."""
