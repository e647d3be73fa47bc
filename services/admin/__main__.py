"""The `tgfleet` command: puts the groups of commands together. The only place that wires."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from services.admin.commands import (
    account_import,
    account_set,
    accounts,
    audit,
    backup,
    certs,
    events,
    fleet,
    keys,
    status,
    tokens,
    transfer_create,
    transfer_watch,
    transfers,
    up,
    version,
    workers,
)
from services.admin.running import Options, guarded

app = typer.Typer(
    name="tgfleet",
    help="Runs a fleet of your own Telegram accounts.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
accounts.app.add_typer(account_import.app)
accounts.app.add_typer(account_set.app)
transfers.app.add_typer(transfer_create.app)
transfers.app.add_typer(transfer_watch.app)
for part in (up.app, fleet.app, status.app, events.app, audit.app, backup.app):
    app.add_typer(part)
app.add_typer(accounts.app, name="accounts", help="Import, show and change accounts.", no_args_is_help=True)
app.add_typer(accounts.app, name="account", hidden=True)  # what people type as well
app.add_typer(
    transfers.app, name="transfer", help="Move messages from one chat to another.", no_args_is_help=True
)
app.add_typer(workers.app, name="workers", help="Show, drain and undrain workers.", no_args_is_help=True)
app.add_typer(tokens.app, name="tokens", help="Make and revoke the tokens of callers.", no_args_is_help=True)
app.add_typer(keys.app, name="keys", help="Show and rotate the master keys.", no_args_is_help=True)
app.add_typer(certs.app, name="certs", help="Certificates for development.", no_args_is_help=True)
app.add_typer(version.app)


@app.callback()
def options(
    context: typer.Context,
    data: Annotated[
        Path | None, typer.Option("--data", metavar="DIR", help="The data directory of a local `tgfleet up`.")
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show where this command itself failed.")] = False,
) -> None:
    """Where the fleet is: TGFLEET_GATEWAY with TGFLEET_TOKEN_FILE or TGFLEET_TOKEN; else a local `tgfleet
    up`."""
    context.obj = Options(data=data, debug=debug)


def main() -> None:
    """The entry point of the installed command. Ends the process with the exit code of DESIGN section 10."""
    sys.exit(guarded(lambda: int(app(standalone_mode=True) or 0)))


if __name__ == "__main__":
    main()
