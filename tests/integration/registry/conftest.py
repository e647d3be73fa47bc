"""The registry's use cases over a real database, SQLite and PostgreSQL, and the lease store in memory."""

import asyncio
import base64
import secrets
import struct
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from services.registry.adapters.database import open_database
from services.registry.adapters.memory_leases import InMemoryLeaseStore
from services.registry.adapters.migrate import upgrade
from services.registry.adapters.sql_store import SqlStore
from services.registry.adapters.vault import AesGcmVault
from services.registry.domain.account import ChatPolicy
from services.registry.domain.importing import Item, Source, StringSource
from services.registry.handlers.accounts import Accounts
from services.registry.handlers.audit import Audit
from services.registry.handlers.candidates import Candidates
from services.registry.handlers.changes import AccountWatch, ChangeSignal
from services.registry.handlers.generations import Generations
from services.registry.handlers.imports import Imports
from services.registry.handlers.keys import Keys
from services.registry.handlers.observations import Observations
from services.registry.handlers.sessions import Sessions
from services.registry.handlers.tokens import Tokens
from services.runtime.clock import ManualClock
from services.runtime.database import Database
from tests.support.postgres import PostgresProcess

LEASE_TTL = timedelta(seconds=2)
SETTLE = timedelta(seconds=1)


@dataclass
class Parts:
    """One registry without its server. `again()` makes another one over the same database and lease store."""

    clock: ManualClock
    database: Database
    store: SqlStore
    leases: InMemoryLeaseStore
    vault: AesGcmVault

    def __post_init__(self) -> None:
        signal = ChangeSignal()
        self.generations = Generations(
            self.store, self.leases, self.clock, lease_ttl=LEASE_TTL, settle=SETTLE
        )
        self.accounts = Accounts(self.store, self.leases, self.vault, self.clock, signal)
        self.imports = Imports(self.store, self.vault, self.clock, signal)
        self.observations = Observations(self.store, self.clock, signal)
        self.watch = AccountWatch(self.store, self.clock, signal)
        self.tokens = Tokens(self.store, self.clock)
        self.keys = Keys(self.store, self.vault)
        self.audit = Audit(self.store, self.clock, timedelta(days=90))
        self.sessions = Sessions(
            self.store,
            self.leases,
            Candidates(self.store, self.vault, signal),
            self.generations,
            clock=self.clock,
            settle=SETTLE,
        )

    def again(self) -> "Parts":
        return Parts(self.clock, self.database, self.store, self.leases, self.vault)

    async def add(self, *names: str, **changes: object) -> list[str]:
        """Imports accounts with fresh sessions and returns their ids."""
        results, _ = await self.imports.run([item(name, **changes) for name in names], "")
        assert all(result.account_id for result in results), results
        return [result.account_id for result in results]


@pytest.fixture(scope="package")
def postgres() -> Iterator[PostgresProcess]:
    """A server with a migrated database `migrated` to copy."""
    with PostgresProcess() as server:
        server.sql("CREATE DATABASE migrated")

        async def migrate() -> None:
            database = open_database(server.url("migrated"))
            await upgrade(database)
            await database.close()

        asyncio.run(migrate())
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A fresh database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/registry.db"
    server: PostgresProcess = request.getfixturevalue("postgres")
    return server.copy_of("migrated")


@pytest.fixture
async def parts(database_url: str) -> AsyncIterator[Parts]:
    clock = ManualClock()
    database = open_database(database_url)
    await upgrade(database)
    vault = AesGcmVault({"k1": secrets.token_bytes(32)})
    made = Parts(clock, database, SqlStore(database), InMemoryLeaseStore(clock, LEASE_TTL), vault)
    await made.generations.current()
    yield made
    await database.close()


def session_string(key: bytes | None = None) -> str:
    """A kurigram session string."""
    packed = struct.pack(">BI?256sQ?", 2, 12_345, 0, key or secrets.token_bytes(256), 4711, 0)
    return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def item(name: str, source: Source | None = None, **changes: object) -> Item:
    """An item to import, with a fresh session when none is given."""
    values: dict[str, object] = {
        "labels": {},
        "priority": 0,
        "home_worker": "",
        "proxy": "",
        "api_id": 0,
        "chat_policy": ChatPolicy(),
        "disabled": False,
        "time_zone": "",
    }
    return Item(name=name, source=source or StringSource(session_string()), **(values | changes))  # type: ignore[arg-type]
