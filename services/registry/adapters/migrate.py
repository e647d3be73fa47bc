"""Brings the registry's database to the newest schema at start."""

from pathlib import Path

from services.registry.adapters.models import METADATA
from services.runtime import migrations
from services.runtime.database import Database

FOLDER = Path(__file__).resolve().parent.parent / "migrations"


async def upgrade(database: Database) -> None:
    """Runs every migration that the database has not seen; see services.runtime.migrations."""
    await migrations.upgrade(database, FOLDER)


async def differences(database: Database) -> list[object]:
    """Where the models and the migrated database disagree."""
    return await migrations.differences(database, METADATA)
