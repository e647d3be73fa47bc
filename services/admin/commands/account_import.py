"""`tgfleet accounts import`: from session strings, session files, folders, and files on workers."""

import sys
import uuid
from collections.abc import Iterator, Sequence
from typing import Annotated

import typer

from services.admin.client import Gateway
from services.admin.failures import EXIT_FAILED, EXIT_OK, WrongUsageError
from services.admin.humanise import count
from services.admin.options import (
    AllowChat,
    AllowUser,
    AsJson,
    HomeWorker,
    NewLabels,
    Priority,
    TimeZone,
    read_labels,
)
from services.admin.plain_json import dumps, plain
from services.admin.running import run
from services.admin.screen import cell, emit, show, table
from services.admin.sources import STDIN, read_proxy, read_sources
from tgfleet.gateway.v1 import account_pb2

app = typer.Typer()

_ITEMS_IN_ONE_CALL = 500
_BYTES_IN_ONE_CALL = 8 * 1024 * 1024
_SECONDS = 120.0


Paths = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="PATHS",
        help="*.session files, folders of them, texts with NAME and SESSION STRING to a line; - is stdin.",
    ),
]
ItsName = Annotated[str, typer.Option("--name", help="The account's name, when there is only one.")]
OnWorker = Annotated[
    str, typer.Option("--worker", metavar="WORKER", help="Use a session file that stays on this worker.")
]
FileThere = Annotated[
    list[str] | None, typer.Option("--file", metavar="FILE", help="With --worker: the file's name there.")
]
NoSession = Annotated[
    bool, typer.Option("--without-session", help="Add an account that has yet to log in; needs --name.")
]
ApiId = Annotated[int, typer.Option("--api-id", help="The api id that the sessions were made with.")]
Contacts = Annotated[bool, typer.Option("--allow-contacts", help="Answer the accounts' contacts.")]
Disabled = Annotated[bool, typer.Option("--disabled", help="Add them disabled.")]
ProxyStdin = Annotated[bool, typer.Option("--proxy-stdin", help="Read a proxy URL from stdin.")]


@app.command("import")
def import_accounts(
    context: typer.Context,
    paths: Paths = None,
    name: ItsName = "",
    worker: OnWorker = "",
    file: FileThere = None,
    without_session: NoSession = False,
    label: NewLabels = None,
    priority: Priority = None,
    home_worker: HomeWorker = None,
    time_zone: TimeZone = None,
    api_id: ApiId = 0,
    allow_chat: AllowChat = None,
    allow_user: AllowUser = None,
    allow_contacts: Contacts = False,
    disabled: Disabled = False,
    proxy_stdin: ProxyStdin = False,
    as_json: AsJson = False,
) -> None:
    """Add accounts."""
    if proxy_stdin and STDIN in (paths or ()):
        raise typer.BadParameter("stdin can give the sessions or the proxy, not both.")
    policy = account_pb2.ChatPolicy(
        chat_ids=allow_chat or [], user_ids=allow_user or [], contacts=allow_contacts
    )
    common = account_pb2.ImportItem(
        labels=read_labels(label),
        priority=priority or 0,
        home_worker=home_worker or "",
        time_zone=time_zone or "",
        api_id=api_id,
        disabled=disabled,
        chat_policy=policy,
    )

    async def work(gateway: Gateway) -> int:
        items = _items(paths or [], name, worker, file or [], without_session=without_session)
        proxy = read_proxy(sys.stdin) if proxy_stdin else ""
        for item in items:
            item.MergeFrom(common)
            item.proxy = proxy
        results = [result for part in _parts(items) for result in await _import(gateway, part)]
        _show(results, as_json=as_json)
        return EXIT_FAILED if any(result.reason for result in results) else EXIT_OK

    run(context, work, interrupted="Stopped; `tgfleet accounts list` shows what was imported.")


def _items(
    paths: list[str], name: str, worker: str, files: list[str], *, without_session: bool
) -> list[account_pb2.ImportItem]:
    if bool(worker) != bool(files):
        raise WrongUsageError("Say both --worker and --file.")
    items = [
        account_pb2.ImportItem(
            name=name or file.removesuffix(".session"),
            worker_file=account_pb2.WorkerFile(worker_id=worker, file_name=file),
        )
        for file in files
    ]
    if without_session:
        if not name:
            raise WrongUsageError("Say --name NAME for an account without session.")
        items.append(account_pb2.ImportItem(name=name))
        items[-1].without_session.SetInParent()
    items += read_sources(paths, name, sys.stdin)
    if not items:
        raise WrongUsageError("Say what to import; `tgfleet accounts import --help` lists it.")
    if name and len(items) > 1:
        raise WrongUsageError(f"--name is for one account, and here are {len(items)}.")
    return items


def _parts(items: Sequence[account_pb2.ImportItem]) -> Iterator[list[account_pb2.ImportItem]]:
    """Calls that are small enough, in order."""
    part: list[account_pb2.ImportItem] = []
    size = 0
    for item in items:
        weight = item.ByteSize()
        if part and (len(part) >= _ITEMS_IN_ONE_CALL or size + weight > _BYTES_IN_ONE_CALL):
            yield part
            part, size = [], 0
        part.append(item)
        size += weight
    if part:
        yield part


async def _import(
    gateway: Gateway, items: list[account_pb2.ImportItem]
) -> Sequence[account_pb2.ImportResult]:
    request = account_pb2.ImportAccountsRequest(items=items, request_id=uuid.uuid4().hex)
    answer = await gateway.ask(gateway.accounts.ImportAccounts, request, seconds=_SECONDS)
    return answer.results


def _show(results: Sequence[account_pb2.ImportResult], *, as_json: bool) -> None:
    if as_json:
        emit(dumps([plain(result) for result in results], indent=2))
        return
    rows = table("Account", "Result", "Session", "Remark")
    for result in results:
        good = not result.reason
        rows.add_row(
            cell(result.name, "bold"),
            cell("imported" if good else "refused", "green" if good else "red"),
            cell(result.kind),
            cell(result.detail or result.reason),
        )
    show(rows)
    refused = sum(1 for result in results if result.reason)
    show(
        f"{count(len(results) - refused, 'account')} imported"
        + (f", {refused:,} refused." if refused else ".")
    )
