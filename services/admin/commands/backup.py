"""`tgfleet backup` and `tgfleet restore`, for a fleet on one machine. They work on its data directory, not
through a gateway: a backup needs no running fleet, and a restore none at all."""

import os
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from services.admin import archive, restoring
from services.admin.connection import default_data_dir
from services.admin.failures import EXIT_OK, WrongUsageError
from services.admin.humanise import count
from services.admin.running import Options, guarded
from services.admin.screen import emit, say
from services.admin.settings import Settings
from services.runtime.settings import load

app = typer.Typer()

BackupFile = Annotated[Path, typer.Argument(metavar="FILE", help="The backup.")]


@app.command("backup")
def backup(
    context: typer.Context,
    file: BackupFile,
    with_master_key: Annotated[
        Path | None,
        typer.Option(
            "--with-master-key",
            metavar="KEY_FILE",
            help="Also put this master key file in. Who has such a backup has every session.",
        ),
    ] = None,
) -> None:
    """Copy a one-machine fleet's databases into one private file, also while it runs."""

    def work() -> int:
        folder, target = _folder(context), file.expanduser()
        with tempfile.TemporaryDirectory(dir=_parent(target), prefix=".backup-") as scratch:
            members = archive.make(folder, target, Path(scratch), with_master_key)
        emit(f"{target}: {', '.join(member.name for member in members)}")
        if with_master_key is None:
            say(
                "The master key is not in it. Keep a copy of it elsewhere: without it no session can be read."
            )
        return EXIT_OK

    raise typer.Exit(guarded(work, debug=_debug(context)))


@app.command("restore")
def restore(
    context: typer.Context,
    file: BackupFile,
    hold_starts: Annotated[
        bool,
        typer.Option("--hold-starts", help="Start no account until `tgfleet resume-starts`."),
    ] = False,
) -> None:
    """Put a backup in the place of a stopped fleet's databases. What was there is moved aside."""

    def work() -> int:
        folder, now = _folder(context), datetime.now(UTC)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (
            restoring.unused(folder),
            tempfile.TemporaryDirectory(dir=folder, prefix=".restore-") as scratch,
        ):
            members = archive.unpack(file.expanduser(), Path(scratch))
            restoring.mark(Path(scratch), now, hold_starts=hold_starts)
            done = restoring.put_in_place(Path(scratch), folder, members, now)
        emit(f"{folder}: restored {', '.join(member.name for member in members)}")
        if done.aside is not None:
            say(f"What was there is in {done.aside}.")
        if done.missing_keys:
            many = count(len(done.missing_keys), "master key")
            say(f"{many} missing in {folder / archive.MASTER_KEY}: {', '.join(done.missing_keys)}.", "yellow")
        say(
            "After the next start nothing is granted for T + S. Make sure that the fleet which the backup "
            "was taken of runs nowhere else: Telegram kills sessions that are used twice.",
            "yellow",
        )
        return EXIT_OK

    raise typer.Exit(guarded(work, debug=_debug(context)))


def _folder(context: typer.Context) -> Path:
    options: Options = context.find_root().obj or Options()
    named = options.data or load(Settings, os.environ).data
    return named.expanduser() if named is not None else default_data_dir(os.environ)


def _debug(context: typer.Context) -> bool:
    options: Options = context.find_root().obj or Options()
    return options.debug


def _parent(target: Path) -> Path:
    """The folder of the backup, where the copies are made: large, and as private as the backup."""
    parent = target.absolute().parent
    if not parent.is_dir():
        raise WrongUsageError(f"There is no folder {parent}.")
    return parent
