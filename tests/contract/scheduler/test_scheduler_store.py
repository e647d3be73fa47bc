"""Terms and known workers in SQL."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy.engine import Connection

from services.runtime.errors import Aborted, SettingsError
from services.scheduler.adapters.database import StillInUseError, open_database
from services.scheduler.adapters.models import METADATA
from services.scheduler.adapters.store import SqlStore
from services.scheduler.domain.model import KnownWorker


def url(folder: Path) -> str:
    return f"sqlite+aiosqlite:///{folder}/scheduler.db"


async def test_every_term_is_higher_than_the_last_also_over_a_restart(tmp_path: Path) -> None:
    store = SqlStore(await open_database(url(tmp_path)))
    assert [await store.begin_term("one"), await store.begin_term("two")] == [1, 2]
    await store.close()
    again = SqlStore(await open_database(url(tmp_path)))
    assert await again.begin_term("three") == 3
    await again.close()


async def test_known_workers_are_kept_and_replaced(tmp_path: Path) -> None:
    store = SqlStore(await open_database(url(tmp_path)))
    term = await store.begin_term("one")
    first = KnownWorker("w1", "i1", 5, 1.5, lost=False)
    await store.remember(term, [first, KnownWorker("w2", "i1", 5, 1.0, lost=False)])
    later = KnownWorker("w2", "i2", 7, 2.0, lost=True)
    await store.remember(term, [later])
    assert sorted(await store.known_workers(), key=lambda w: w.worker_id) == [first, later]
    await store.close()


async def test_a_commit_of_an_older_term_writes_nothing(tmp_path: Path) -> None:
    store = SqlStore(await open_database(url(tmp_path)))
    old = await store.begin_term("frozen")
    await store.begin_term("newer")
    with pytest.raises(Aborted) as raised:
        await store.remember(old, [KnownWorker("w1", "i1", 5, 1.0, lost=False)])
    assert raised.value.reason == "TERM_LOST"
    assert await store.known_workers() == []
    await store.close()


async def test_one_process_to_a_file_and_it_is_free_again_after_closing(tmp_path: Path) -> None:
    database = await open_database(url(tmp_path))
    with pytest.raises(StillInUseError):
        await open_database(url(tmp_path))
    await database.close()
    await (await open_database(url(tmp_path))).close()


async def test_models_and_migrations_agree(tmp_path: Path) -> None:
    def compare(connection: Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(connection), METADATA))

    database = await open_database(url(tmp_path))
    async with database.transaction() as connection:
        assert await connection.run_sync(compare) == []
    await database.close()


async def test_the_file_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    await (await open_database(url(tmp_path))).close()
    assert (tmp_path / "scheduler.db").stat().st_mode & 0o077 == 0
    assert sqlite3.connect(tmp_path / "scheduler.db").execute("select * from leadership").fetchall() == []


@pytest.mark.parametrize(
    "bad", ["nonsense", "mysql://h/d", "sqlite://", "sqlite:///:memory:", "sqlite:////proc/no/such/x.db"]
)
async def test_a_url_that_cannot_be_used_is_one_clear_sentence(bad: str) -> None:
    with pytest.raises(SettingsError) as raised:
        await open_database(bad)
    assert "TGFLEET_SCHEDULER_DATABASE_URL" in raised.value.message
