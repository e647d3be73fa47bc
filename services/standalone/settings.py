"""What `tgfleet up` reads from the environment. What it only hands on to one service is that service's to
check."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from services.runtime.addresses import Endpoints, HostPort
from services.runtime.errors import SettingsError
from services.runtime.secret import Secret
from services.runtime.settings import load, setting


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of the whole fleet on one machine. Arguments of the command go before them."""

    data: Path | None = setting(None)
    """The data directory; unset: ~/.local/share/tgfleet (or under XDG_DATA_HOME)."""
    gateway_listen: HostPort | None = setting(None)
    """Where the gateway listens; unset: 127.0.0.1:7443, or a free port if that one is taken."""
    lease_ttl: timedelta | None = setting(None, minimum=timedelta(seconds=1))
    """T, how long a worker holds a session without renewing; unset: 30s, with --demo 2s."""
    lease_settle: timedelta | None = setting(None, minimum=timedelta(0))
    """S, how long nobody uses a session after that; unset: 30s, with --demo 1s."""
    etcd_endpoints: Endpoints | None = setting(None)
    """An etcd to use instead of a child of our own. Not with --demo."""
    registry_database_url: str | None = setting(None)
    """A database to use instead of a SQLite file in the data directory. Not with --demo."""
    scheduler_database_url: str | None = setting(None)
    """A database to use instead of a SQLite file in the data directory. Not with --demo."""
    master_key_file: Path | None = setting(None)
    """The keys that encrypt sessions; unset: a file in the data directory, made at the first start."""
    telegram_live: bool = setting(default=False)
    """The same as --live: talk to Telegram itself."""
    telegram_api_id: int | None = setting(None, minimum=1)
    """The api id from my.telegram.org; needed for --live."""
    telegram_api_hash: Secret[str] | None = setting(None)
    """The api hash that belongs to it."""
    telegram_dc: HostPort | None = setting(None)
    """The data centre to dial instead of Telegram's own."""


@dataclass(frozen=True, kw_only=True)
class Userbot:
    """The one account of a person who comes from a single-account set-up."""

    api_id: int
    api_hash: Secret[str]
    session: Secret[str]


def load_settings(environ: Mapping[str, str]) -> Settings:
    """Raises SettingsError with one sentence, also for a TGFLEET_ name that nobody reads."""
    return load(Settings, environ)


def load_userbot(environ: Mapping[str, str]) -> Userbot | None:
    """The account that USERBOT_API_ID, USERBOT_API_HASH and USERBOT_SESSION describe; None unless all three
    are set.

    Raises SettingsError for an api id that is no number.
    """
    api_id, api_hash, session = (
        environ.get(f"USERBOT_{name}", "").strip() for name in ("API_ID", "API_HASH", "SESSION")
    )
    if not (api_id and api_hash and session):
        return None
    if not (api_id.isascii() and api_id.isdigit() and int(api_id) > 0):
        raise SettingsError(
            "USERBOT_API_ID has a bad value: it must be a positive number", reason="BAD_SETTING"
        )
    return Userbot(api_id=int(api_id), api_hash=Secret(api_hash), session=Secret(session))
