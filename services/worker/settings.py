"""The worker's settings. Names that are also in `runtime.setting_names`; meanings go into the README's
table."""

import platform
import re
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from services.runtime.addresses import Endpoints, HostPort
from services.runtime.errors import SettingsError
from services.runtime.secret import Secret
from services.runtime.settings import setting

_WORKER_ID = re.compile(r"[a-z0-9-]{1,63}")


def _host_name() -> str:
    """This machine's name in the alphabet of worker names."""
    return re.sub(r"[^a-z0-9-]+", "-", platform.node().lower()).strip("-")[:63] or "worker"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """See `services.runtime.settings`."""

    listen: HostPort = setting("127.0.0.1:0", env="TGFLEET_WORKER_LISTEN")
    """Where the worker serves health and reflection; it takes no commands there."""
    registry: Endpoints = setting("127.0.0.1:7301", env="TGFLEET_REGISTRY_ENDPOINTS")
    """The registries: comma separated host:port, or one dns:///name:port."""
    scheduler: Endpoints = setting("127.0.0.1:7302", env="TGFLEET_SCHEDULER_ENDPOINTS")
    """The schedulers; whichever leads is found by its health."""
    worker_id: str = setting("")
    """The worker's stable name: 1 to 63 of a-z, 0-9 and -. Empty: the machine's name."""
    worker_capacity: int = setting(500, minimum=1, maximum=100_000)
    """How many sessions the worker runs at most."""
    worker_sessions_dir: Path | None = setting(None)
    """Folder with `.session` files that are announced and can be run from here."""
    chat_rules_file: Path | None = setting(None)
    """YAML file that says how chats are answered; without it nothing is answered."""
    chat_answers_per_chat: int = setting(6, minimum=1)
    """Answers a minute that an account gives in one chat at most."""
    chat_answers_per_account: int = setting(20, minimum=1)
    """Answers a minute that an account gives altogether at most."""
    start_concurrency: int = setting(20, minimum=1, maximum=1000)
    """How many sessions connect at the same time; 500 at once are slower than 20 at a time."""
    connect_timeout: timedelta = setting(timedelta(seconds=30), minimum=timedelta(milliseconds=100))
    """How long a start may take from its first dial."""
    reconnect_rate: float = setting(50.0, minimum=0.0)
    """How many lost links the worker makes anew a second at most, so that none storms; 0 for no limit."""
    ping_interval: timedelta = setting(timedelta(seconds=30), minimum=timedelta(milliseconds=50))
    """How often a running link is asked for a sign of life; beyond 10s it asks by itself anyway."""
    probe_interval: timedelta = setting(timedelta(minutes=5), minimum=timedelta(milliseconds=100))
    """How often the worker makes an API call on a running session."""
    crash_window: timedelta = setting(timedelta(minutes=10), minimum=timedelta(seconds=1))
    """How long a session must run for earlier crashes of its worker to be forgotten."""
    telegram_api_id: int = setting(0, minimum=0)
    """The operator's own api id from my.telegram.org, for sessions that do not name theirs."""
    telegram_api_hash: Secret[str] = setting(Secret(""))
    """The hash that belongs to the api id."""
    telegram_dc: HostPort | None = setting(None)
    """The data centre to use instead of Telegram's own (host:port), as the test data centre."""
    telegram_rsa_key: Path | None = setting(None)
    """PEM file with that data centre's public RSA key."""
    telegram_live: bool = setting(False)  # noqa: FBT003 - a default
    """Allows connections to the real Telegram; without it and without a data centre nothing is dialled."""

    def __post_init__(self) -> None:
        if self.worker_id and not _WORKER_ID.fullmatch(self.worker_id):
            raise SettingsError(
                "TGFLEET_WORKER_ID has a bad value: use 1 to 63 of a-z, 0-9 and -", reason="BAD_SETTING"
            )

    @property
    def name(self) -> str:
        """The worker's name, chosen or found."""
        return self.worker_id or _host_name()
