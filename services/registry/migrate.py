"""`python -m services.registry.migrate` brings the registry's database to the newest schema and ends.

For a Job before a rollout. It needs nothing but the database: no key, no etcd.
"""

import sys
from dataclasses import dataclass

from services.registry.adapters.database import open_database
from services.registry.adapters.migrate import upgrade
from services.runtime.process import Lifecycle, run
from services.runtime.settings import setting


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The one setting of the registry that a migration needs."""

    database_url: str = setting(env="TGFLEET_REGISTRY_DATABASE_URL")
    """The registry's own database."""


async def main(settings: Settings, life: Lifecycle) -> None:
    """Waits for PostgreSQL if it must. Raises SettingsError as the registry's start does."""
    database = open_database(settings.database_url)
    life.on_stop(database.close, name="database")
    await upgrade(database)


if __name__ == "__main__":
    sys.exit(run("registry.migrate", Settings, main))
