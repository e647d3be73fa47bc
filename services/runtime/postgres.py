"""PostgreSQL's side of a database: time limits on everything, and one writer at a time over all processes.

Writers take an advisory lock as they begin. So what they read is still true when they write, as on SQLite,
and revisions are committed in the order in which they were counted, without gaps. A process that is frozen
with the lock loses it after `_IDLE_MS`, when the server ends its transaction. Readers take no lock; they see
one snapshot.
"""

import hashlib
from collections.abc import Callable, Coroutine
from typing import Any

import asyncpg
from sqlalchemy import event
from sqlalchemy.engine import Connection
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from services.runtime.errors import SettingsError
from services.runtime.sqlite import WRITES

_POOL = 5
_DIAL_SECONDS = 3.0
_POOL_SECONDS = 5.0
_STATEMENT_MS = 8000
_LOCK_MS = 6000
_IDLE_MS = 4000
_MARGIN_SECONDS = 1.0
"""The server ends a long statement itself; a server that is frozen is given up this much later."""

_SERVER_SETTINGS = {
    "timezone": "UTC",
    # A machine that went away holds nothing for long.
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
}

_REFUSED = (
    asyncpg.InvalidAuthorizationSpecificationError,  # and its child, a wrong password
    asyncpg.InvalidCatalogNameError,
    asyncpg.InsufficientPrivilegeError,
)


def open_engine(url: str, service: str, setting: str, *, patient: bool = False) -> AsyncEngine:
    """An engine for the server; connects when it is first used. `patient` is for migrations, which may take
    as long as they need and keep no connection."""
    limits = {
        "idle_in_transaction_session_timeout": str(_IDLE_MS),
        "statement_timeout": "0" if patient else str(_STATEMENT_MS),
        "lock_timeout": "0" if patient else str(_LOCK_MS),
    }
    dial = _dialler(
        url, setting, patient=patient, settings={"application_name": f"tgfleet-{service}"} | limits
    )
    pool: dict[str, Any] = (
        {"poolclass": NullPool}
        if patient
        else {"pool_size": _POOL, "max_overflow": 0, "pool_timeout": _POOL_SECONDS, "pool_pre_ping": True}
    )
    engine = create_async_engine("postgresql+asyncpg://", async_creator=dial, hide_parameters=True, **pool)
    key = int.from_bytes(hashlib.sha256(f"tgfleet/{service}".encode()).digest()[:8], "big", signed=True)

    def on_begin(connection: Connection) -> None:
        if connection.get_execution_options().get(WRITES, True):
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({key})")

    event.listen(engine.sync_engine, "begin", on_begin)
    return engine


def _dialler(
    url: str, setting: str, *, patient: bool, settings: dict[str, str]
) -> Callable[[], Coroutine[Any, Any, Any]]:
    """asyncpg itself reads the URL: it knows what libpq knows (sslmode, passfile, several hosts)."""
    dsn = "postgresql://" + url.split("://", 1)[1]

    async def dial() -> Any:
        try:
            return await asyncpg.connect(
                dsn,
                timeout=_DIAL_SECONDS,
                command_timeout=None if patient else _STATEMENT_MS / 1000 + _MARGIN_SECONDS,
                server_settings=_SERVER_SETTINGS | settings,
            )
        except _REFUSED as error:
            raise SettingsError(
                f"{setting}: PostgreSQL refuses it ({type(error).__name__}); look at user, password, "
                "database and the server's pg_hba.conf",
                reason="DATABASE_REFUSED",
            ) from error
        except (ValueError, asyncpg.ClientConfigurationError):
            # Not chained: what asyncpg says may repeat the password.
            raise SettingsError(
                f"{setting} cannot be read; write postgresql://user:password@host/database"
            ) from None

    return dial
