"""The database file: whose it is, who may read it, and what is refused."""

import stat
from pathlib import Path

import pytest
from sqlalchemy import text

from services.registry.adapters.database import open_database
from services.registry.adapters.migrate import upgrade
from services.runtime.errors import SettingsError


@pytest.mark.parametrize(
    "url", ["mysql://h/d", "postgresql", "sqlite://", "sqlite:///:memory:", "nonsense", ""]
)
def test_a_url_that_names_no_database_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="TGFLEET_REGISTRY_DATABASE_URL"):
        open_database(url)


async def test_one_process_has_the_file_and_gives_it_back(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/folder/registry.db"
    first = open_database(url)
    with pytest.raises(SettingsError, match="another process") as caught:
        open_database(url)
    assert caught.value.reason == "DATABASE_LOCKED"
    await first.close()
    second = open_database(url)
    await second.close()


async def test_only_its_owner_may_read_the_file(tmp_path: Path) -> None:
    database = open_database(f"sqlite+aiosqlite:///{tmp_path}/registry.db")
    await upgrade(database)
    for path in tmp_path.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    await database.close()


async def test_an_upgrade_of_a_new_database_changes_nothing(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/registry.db"
    for _ in range(2):
        database = open_database(url)
        await upgrade(database)
        await database.close()


async def test_a_database_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path}/registry.db")
    await upgrade(database)
    async with database.write() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(SettingsError, match="newer version"):
        await upgrade(database)
    await database.close()
