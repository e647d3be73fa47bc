"""`tgfleet accounts`: list, show, enable, disable, delete, reset-waits. Import and set have files of their
own."""

import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Annotated

import typer

from services.admin.account_view import account_table, account_view
from services.admin.client import Gateway
from services.admin.failures import EXIT_OK, EXIT_USAGE
from services.admin.humanise import count, printable
from services.admin.options import AsJson, Labels, Names, read_labels
from services.admin.plain_json import dumps, plain
from services.admin.running import run
from services.admin.screen import complain, emit, say, show
from tgfleet.gateway.v1 import account_pb2

app = typer.Typer()

SomeNames = Annotated[list[str], typer.Argument(metavar="NAMES...", help="Accounts by name or id.")]
_PAGE = 1000


@app.command("list")
def list_accounts(
    context: typer.Context, names: Names = None, label: Labels = None, as_json: AsJson = False
) -> None:
    """Show the accounts."""
    labels = read_labels(label)
    if names and labels:
        raise typer.BadParameter("name accounts or choose them by label, not both.")

    async def work(gateway: Gateway) -> int:
        request = account_pb2.ListAccountsRequest(
            account_ids=names or [], match_labels=labels, page_size=_PAGE
        )
        accounts = await _all_accounts(gateway, request)
        if as_json:
            emit(dumps([plain(account) for account in accounts], indent=2))
        elif accounts:
            show(account_table(accounts))
        else:
            show("There are no accounts yet. `tgfleet accounts import` adds some.")
        return EXIT_OK

    run(context, work)


@app.command("show")
def show_accounts(context: typer.Context, names: SomeNames, as_json: AsJson = False) -> None:
    """Show everything about accounts, without secrets."""

    async def work(gateway: Gateway) -> int:
        found = []
        for name in names:
            request = account_pb2.GetAccountRequest(account_id=name)
            answer = await gateway.ask(gateway.accounts.GetAccount, request)
            found.append(answer.account)
        if as_json:
            emit(dumps([plain(account) for account in found], indent=2))
            return EXIT_OK
        for index, account in enumerate(found):
            if index:
                show("")
            show(account_view(account, datetime.now(UTC)))
        return EXIT_OK

    run(context, work)


@app.command("enable")
def enable(context: typer.Context, names: SomeNames) -> None:
    """Let accounts be started again; also ends a quarantine."""

    async def one(gateway: Gateway, name: str) -> str:
        request = account_pb2.EnableAccountRequest(account_id=name)
        await gateway.ask(gateway.accounts.EnableAccount, request)
        return f"{name} may be started."

    _for_each(context, names, one)


@app.command("disable")
def disable(context: typer.Context, names: SomeNames) -> None:
    """Keep accounts from being started, and stop those that run."""

    async def one(gateway: Gateway, name: str) -> str:
        request = account_pb2.DisableAccountRequest(account_id=name)
        await gateway.ask(gateway.accounts.DisableAccount, request)
        return f"{name} is disabled."

    _for_each(context, names, one)


@app.command("delete")
def delete(
    context: typer.Context,
    names: SomeNames,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Delete accounts and their sessions for good."""
    if not yes and not _confirmed(names):
        raise typer.Exit(EXIT_USAGE)

    async def one(gateway: Gateway, name: str) -> str:
        request = account_pb2.DeleteAccountRequest(account_id=name)
        await gateway.ask(gateway.accounts.DeleteAccount, request)
        return f"{name} is deleted."

    _for_each(context, names, one)


@app.command("reset-waits")
def reset_waits(context: typer.Context, names: SomeNames) -> None:
    """Forget the recorded waits of accounts, for waits that are known to be over."""

    async def one(gateway: Gateway, name: str) -> str:
        request = account_pb2.ResetFloodWaitsRequest(account_id=name)
        answer = await gateway.ask(gateway.accounts.ResetFloodWaits, request)
        return f"{name}: {count(answer.removed, 'wait')} forgotten."

    _for_each(context, names, one)


def _for_each(
    context: typer.Context, names: list[str], one: Callable[[Gateway, str], Awaitable[str]]
) -> None:
    """Does it for each account in turn and says so; the first failure ends it."""

    async def work(gateway: Gateway) -> int:
        for name in names:
            show(printable(await one(gateway, name)))
        return EXIT_OK

    run(context, work)


def _confirmed(names: list[str]) -> bool:
    if not sys.stdin.isatty():
        complain("Deleting is for good, and there is nobody to ask here.", "Add --yes if you are sure.")
        return False
    listed = printable(", ".join(names))
    if typer.confirm(f"Delete {count(len(names), 'account')} and their sessions for good ({listed})?"):
        return True
    say("Nothing was deleted.")
    return False


async def _all_accounts(
    gateway: Gateway, request: account_pb2.ListAccountsRequest
) -> list[account_pb2.Account]:
    accounts: list[account_pb2.Account] = []
    while True:
        answer = await gateway.ask(gateway.accounts.ListAccounts, request)
        accounts += answer.accounts
        if not answer.next_page_token:
            return accounts
        request.page_token = answer.next_page_token
