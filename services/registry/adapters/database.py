"""The registry's database: where it is, and one process per SQLite file. The rest is the runtime's."""

from services.runtime import database as runtime
from services.runtime.database import Database

SETTING = "TGFLEET_REGISTRY_DATABASE_URL"


def open_database(url: str) -> Database:
    """Opens `sqlite:///path` or `postgresql://user:password@host/database`. Raises SettingsError when the URL
    is wrong or another process has the file."""
    return runtime.open_database(runtime.locate(url, service="registry", setting=SETTING))
