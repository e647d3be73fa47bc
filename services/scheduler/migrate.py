"""`python -m services.scheduler.migrate` brings the scheduler's database to the newest schema and ends.

For a Job before a rollout; a scheduler that becomes leader does the same.
"""

import sys
from dataclasses import dataclass

from services.runtime.process import Lifecycle, run
from services.runtime.settings import setting
from services.scheduler.adapters.database import open_database


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The one setting of the scheduler that a migration needs."""

    scheduler_database_url: str = setting()
    """The scheduler's own database."""


async def main(settings: Settings, life: Lifecycle) -> None:
    """Waits for PostgreSQL if it must. Raises SettingsError as the scheduler's start does."""
    database = await open_database(settings.scheduler_database_url)
    life.on_stop(database.close, name="database")


if __name__ == "__main__":
    sys.exit(run("scheduler.migrate", Settings, main))
