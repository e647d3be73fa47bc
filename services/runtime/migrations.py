"""Brings a service's database to its newest schema at start. Knows nothing of what the tables mean.

Several processes may start at once: migrations run in a writing transaction, of which there is one at a time
(on PostgreSQL by an advisory lock), and the later ones find nothing to do.
"""

import asyncio
from pathlib import Path

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.util.exc import CommandError
from sqlalchemy import MetaData
from sqlalchemy.engine import Connection

from services.runtime.database import Database
from services.runtime.errors import SettingsError, Unavailable
from services.runtime.logs import get_logger

_log = get_logger("database")

_RETRY_SECONDS = 0.5


async def upgrade(database: Database, folder: Path, revision: str = "head") -> None:
    """Runs every migration in the folder that the database has not seen, in one transaction. Waits for a
    PostgreSQL that is not there yet.

    Raises SettingsError for a file that is none of ours, for a newer schema, and for a refused password.
    """
    where = database.location
    while True:
        try:
            async with database.migrate() as opened:
                await opened.run_sync(lambda c: command.upgrade(_config(database, folder, c), revision))
        except Unavailable as error:
            if where.path is not None:
                raise SettingsError(f"{where.setting}: the file is damaged or no SQLite database") from error
            _log.warning("waiting for PostgreSQL", setting=where.setting)
            await asyncio.sleep(_RETRY_SECONDS)
        except CommandError as error:
            raise SettingsError(
                f"{where.setting}: the database was written by a newer version of tgfleet"
            ) from error
        else:
            return


async def downgrade(database: Database, folder: Path, revision: str) -> None:
    """Undoes migrations down to a revision; `base` for all. Raises Unavailable."""
    async with database.migrate() as opened:
        await opened.run_sync(lambda c: command.downgrade(_config(database, folder, c), revision))


async def differences(database: Database, models: MetaData) -> list[object]:
    """What the models have that the migrated database has not, or the other way round. For the test that both
    agree."""

    def compare(connection: Connection) -> list[object]:
        options = {"compare_type": True, "version_table": _version_table(database)}
        return list(compare_metadata(MigrationContext.configure(connection, opts=options), models))

    async with database.read() as opened:
        return await opened.run_sync(compare)


def _version_table(database: Database) -> str:
    """Where Alembic keeps the schema's revision; on PostgreSQL two services may share one database."""
    return "alembic_version" if database.location.path is not None else f"{database.location.service}_version"


def _config(database: Database, folder: Path, connection: Connection) -> Config:
    made = Config()
    made.set_main_option("script_location", str(folder).replace("%", "%%"))
    made.attributes["connection"] = connection
    made.attributes["version_table"] = _version_table(database)
    return made
