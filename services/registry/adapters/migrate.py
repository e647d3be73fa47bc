"""Brings the database to the newest schema at start. Knows nothing of what the tables mean."""

from pathlib import Path

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.util.exc import CommandError
from sqlalchemy.engine import Connection

from services.registry.adapters.database import SETTING, Database
from services.registry.adapters.models import METADATA
from services.runtime.errors import SettingsError, Unavailable

_FOLDER = Path(__file__).resolve().parent.parent / "migrations"


async def upgrade(database: Database) -> None:
    """Runs every migration that the database has not seen, in one transaction.

    The lock on the file (SQLite) keeps a second process from doing the same at once. Raises SettingsError
    for a file that is none of ours.
    """
    try:
        async with database.write() as opened:
            await opened.run_sync(_upgrade)
    except Unavailable as error:
        raise SettingsError(f"{SETTING}: the file is damaged or no SQLite database") from error
    except CommandError as error:
        raise SettingsError(f"{SETTING}: the database was written by a newer version of tgfleet") from error


async def differences(database: Database) -> list[object]:
    """What the models have that the migrated database has not, or the other way round. For the test that both
    agree."""
    async with database.read() as opened:
        return await opened.run_sync(_compare)


def config(connection: Connection | None = None) -> Config:
    """Alembic's configuration, for the command line `alembic` as well as for the start."""
    made = Config()
    made.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    made.attributes["connection"] = connection
    return made


def _upgrade(connection: Connection) -> None:
    command.upgrade(config(connection), "head")


def _compare(connection: Connection) -> list[object]:
    context = MigrationContext.configure(connection, opts={"compare_type": True})
    return list(compare_metadata(context, METADATA))
