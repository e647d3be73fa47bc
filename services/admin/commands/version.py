"""`tgfleet version`."""

from importlib.metadata import version as installed_version

import typer

from services.admin.screen import emit

app = typer.Typer()


@app.command("version")
def version() -> None:
    """Print the version of this command."""
    emit(f"tgfleet {installed_version('tgfleet')}")
