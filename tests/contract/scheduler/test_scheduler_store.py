"""Terms and known workers in SQL, on SQLite and on PostgreSQL."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from services.runtime import migrations
from services.runtime.errors import Aborted, SettingsError, Unavailable
from services.scheduler.adapters.database import FOLDER, StillInUseError, open_database
from services.scheduler.adapters.models import METADATA
from services.scheduler.adapters.store import SqlStore
from services.scheduler.domain.model import KnownWorker
from tests.support.postgres import PostgresProcess


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresProcess]:
    with PostgresProcess() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return sqlite_url(tmp_path)
    server: PostgresProcess = request.getfixturevalue("postgres")
    return server.new_database()


@pytest.fixture
async def store(url: str) -> AsyncIterator[SqlStore]:
    opened = SqlStore(await open_database(url))
    yield opened
    await opened.close()


def sqlite_url(folder: Path) -> str:
    return f"sqlite+aiosqlite:///{folder}/scheduler.db"


async def test_every_term_is_higher_than_the_last_also_over_a_restart(url: str) -> None:
    store = SqlStore(await open_database(url))
    assert [await store.begin_term("one"), await store.begin_term("two")] == [1, 2]
    await store.close()
    again = SqlStore(await open_database(url))
    assert await again.begin_term("three") == 3
    await again.close()


async def test_known_workers_are_kept_and_replaced(store: SqlStore) -> None:
    term = await store.begin_term("one")
    first = KnownWorker("w1", "i1", 5, 1.5, lost=False)
    await store.remember(term, [first, KnownWorker("w2", "i1", 5, 1.0, lost=False)])
    later = KnownWorker("w2", "i2", 7, 2.0, lost=True)
    await store.remember(term, [later])
    await store.remember(term, [])
    assert sorted(await store.known_workers(), key=lambda w: w.worker_id) == [first, later]


async def test_a_commit_of_an_older_term_writes_nothing(store: SqlStore) -> None:
    old = await store.begin_term("frozen")
    await store.begin_term("newer")
    with pytest.raises(Aborted) as raised:
        await store.remember(old, [KnownWorker("w1", "i1", 5, 1.0, lost=False)])
    assert raised.value.reason == "TERM_LOST"
    assert await store.known_workers() == []


async def test_models_and_migrations_agree_and_go_down_and_up_with_data(url: str) -> None:
    database = await open_database(url)
    store = SqlStore(database)
    await store.remember(await store.begin_term("one"), [KnownWorker("w1", "i1", 5, 1.5, lost=False)])
    assert await migrations.differences(database, METADATA) == []
    await migrations.downgrade(database, FOLDER, "base")
    with pytest.raises(Unavailable):
        await store.known_workers()
    await migrations.upgrade(database, FOLDER)
    assert await store.known_workers() == []
    assert await store.begin_term("two") == 1
    await database.close()


async def test_on_postgresql_two_schedulers_open_it_at_once_and_only_one_has_each_term(
    postgres: PostgresProcess,
) -> None:
    url = postgres.new_database()
    first, second = [SqlStore(database) for database in await asyncio.gather(*map(open_database, [url] * 2))]
    terms = await asyncio.gather(*(store.begin_term("x") for store in (first, second) * 5))
    assert sorted(terms) == list(range(1, 11))
    await asyncio.gather(first.close(), second.close())


async def test_on_postgresql_a_leader_frozen_in_its_commit_does_not_keep_the_next_one_out(
    postgres: PostgresProcess,
) -> None:
    url = postgres.new_database()
    frozen, standby = await open_database(url), SqlStore(await open_database(url))

    async def freeze() -> None:
        async with frozen.write():  # it has the lock, and says nothing more
            assert await standby.begin_term("next") == 1

    with pytest.raises(Unavailable):
        await freeze()
    await asyncio.gather(frozen.close(), standby.close())


async def test_one_process_to_a_file_and_it_is_free_again_after_closing(tmp_path: Path) -> None:
    database = await open_database(sqlite_url(tmp_path))
    with pytest.raises(StillInUseError):
        await open_database(sqlite_url(tmp_path))
    await database.close()
    await (await open_database(sqlite_url(tmp_path))).close()


async def test_the_file_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    await (await open_database(sqlite_url(tmp_path))).close()
    assert (tmp_path / "scheduler.db").stat().st_mode & 0o077 == 0
    assert sqlite3.connect(tmp_path / "scheduler.db").execute("select * from leadership").fetchall() == []


@pytest.mark.parametrize(
    "bad", ["nonsense", "mysql://h/d", "sqlite://", "sqlite:///:memory:", "sqlite:////proc/no/such/x.db"]
)
async def test_a_url_that_cannot_be_used_is_one_clear_sentence(bad: str) -> None:
    with pytest.raises(SettingsError) as raised:
        await open_database(bad)
    assert "TGFLEET_SCHEDULER_DATABASE_URL" in raised.value.message
