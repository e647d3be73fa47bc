"""`tgfleet certs`: a CA and certificates for development, in files. It needs no running fleet."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from services.admin.development_ca import SERVICES, issue, make_ca
from services.admin.screen import emit

app = typer.Typer()

Days = Annotated[float, typer.Option("--days", min=0.0, help="For how many days it is valid.")]
Directory = Annotated[Path, typer.Argument(metavar="DIR", help="The CA's folder.")]


@app.command("ca")
def ca(directory: Directory, days: Days = 365.0) -> None:
    """Make a CA for development: DIR/ca.crt and DIR/ca.key."""
    emit(f"made {make_ca(directory.expanduser(), timedelta(days=days))}")


@app.command("issue")
def issue_one(
    directory: Directory,
    service: Annotated[str, typer.Argument(help=f"One of {', '.join(SERVICES)}.")],
    name: Annotated[str, typer.Argument(help="Which one; for a worker its TGFLEET_WORKER_ID.")],
    host: Annotated[
        list[str] | None, typer.Option("--host", help="A name or address that callers use (gateway, etcd).")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder to write to; default DIR.")] = None,
    days: Days = 90.0,
) -> None:
    """Issue a certificate for one service. Issue it again to rotate it: running processes take it up."""
    folder = out.expanduser() if out is not None else None
    path = issue(
        directory.expanduser(), service, name, valid=timedelta(days=days), hosts=host or (), out=folder
    )
    emit(f"made {path} and {path.with_suffix('.key').name}")
