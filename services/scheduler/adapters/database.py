"""Opens the scheduler's database and brings it to the newest schema. The rest is the runtime's.

A standby that wins the election may find a SQLite file still in the hands of a leader that is being frozen or
killed; it then waits for it (`StillInUseError`), as two processes on one file are what SQLite must not have
(DESIGN section 2). On PostgreSQL nobody waits: the term, compared in every commit, keeps the old leader out.
"""

from pathlib import Path

from services.runtime import database as runtime
from services.runtime import migrations
from services.runtime.database import Database, Location
from services.runtime.errors import SettingsError

SETTING = "TGFLEET_SCHEDULER_DATABASE_URL"
FOLDER = Path(__file__).resolve().parent.parent / "migrations"


class StillInUseError(Exception):
    """Another scheduler process has the SQLite file open."""


def check_url(url: str) -> Location:
    """Raises SettingsError with a sentence when the URL cannot be used."""
    return runtime.locate(url, service="scheduler", setting=SETTING)


async def open_database(url: str) -> Database:
    """Opens the database, migrated. Waits for PostgreSQL. Raises SettingsError, StillInUseError."""
    try:
        database = runtime.open_database(check_url(url))
    except SettingsError as error:
        if error.reason == "DATABASE_LOCKED":
            raise StillInUseError(str(error)) from error
        raise
    try:
        await migrations.upgrade(database, FOLDER)
    except BaseException:
        await database.close()
        raise
    return database
