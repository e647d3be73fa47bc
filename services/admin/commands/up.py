"""`tgfleet up`: becomes the process that runs everything on this machine. It knows nothing of how that is
done."""

import os
import sys

import typer

app = typer.Typer()

_PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True}


@app.command(
    "up",
    add_help_option=False,
    context_settings=_PASS_ON,
    help="Start a whole fleet on this machine; `tgfleet up --help` shows its options.",
)
def up(context: typer.Context) -> None:
    """Replaces this process, so that signals and the exit code are those of the fleet."""
    arguments = list(context.args)
    root = context.find_root().obj
    if root is not None and root.data is not None and "--data" not in arguments:
        arguments += ["--data", str(root.data)]
    os.execv(sys.executable, [sys.executable, "-m", "services.standalone", *arguments])  # noqa: S606 - on purpose
