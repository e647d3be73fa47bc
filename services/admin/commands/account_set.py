"""`tgfleet accounts set`: changes what was asked for and nothing else."""

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

import typer

from services.admin.client import Gateway
from services.admin.failures import EXIT_OK
from services.admin.humanise import printable
from services.admin.options import (
    AllowChat,
    AllowUser,
    AsJson,
    HomeWorker,
    Name,
    NewLabels,
    Priority,
    TimeZone,
    read_labels,
)
from services.admin.plain_json import dumps, plain
from services.admin.running import run
from services.admin.screen import emit, show
from services.admin.sources import read_proxy
from tgfleet.gateway.v1 import account_pb2

app = typer.Typer()


NewName = Annotated[str | None, typer.Option("--name", help="A new name.")]
RemoveLabel = Annotated[
    list[str] | None, typer.Option("--remove-label", metavar="K", help="Take a label away.")
]
ForbidChat = Annotated[
    list[int] | None, typer.Option("--forbid-chat", metavar="ID", help="No longer answer in this group.")
]
ForbidUser = Annotated[
    list[int] | None, typer.Option("--forbid-user", metavar="ID", help="No longer answer this user.")
]
Contacts = Annotated[
    bool | None, typer.Option("--allow-contacts/--forbid-contacts", help="Answer the account's contacts.")
]
ProxyStdin = Annotated[
    bool, typer.Option("--proxy-stdin", help="Read a proxy URL from stdin; an empty line removes it.")
]


@dataclass(frozen=True, kw_only=True)
class _Changes:
    """What was asked for."""

    values: dict[str, str | int]
    labels: dict[str, str]
    remove_labels: list[str]
    chats: tuple[list[int], list[int]]
    """Allowed and forbidden ones; users alike."""
    users: tuple[list[int], list[int]]
    contacts: bool | None
    proxy: str | None = None

    @property
    def changes_labels(self) -> bool:
        return bool(self.labels or self.remove_labels)

    @property
    def changes_policy(self) -> bool:
        return any((*self.chats, *self.users)) or self.contacts is not None

    def __bool__(self) -> bool:
        return bool(self.values or self.changes_labels or self.changes_policy or self.proxy is not None)


@app.command("set")
def set_account(
    context: typer.Context,
    account: Name,
    name: NewName = None,
    label: NewLabels = None,
    remove_label: RemoveLabel = None,
    priority: Priority = None,
    home_worker: HomeWorker = None,
    time_zone: TimeZone = None,
    allow_chat: AllowChat = None,
    forbid_chat: ForbidChat = None,
    allow_user: AllowUser = None,
    forbid_user: ForbidUser = None,
    allow_contacts: Contacts = None,
    proxy_stdin: ProxyStdin = False,
    as_json: AsJson = False,
) -> None:
    """Change an account."""
    given = {"name": name, "priority": priority, "home_worker": home_worker, "time_zone": time_zone}
    changes = _Changes(
        values={field: value for field, value in given.items() if value is not None},
        labels=read_labels(label),
        remove_labels=remove_label or [],
        chats=(allow_chat or [], forbid_chat or []),
        users=(allow_user or [], forbid_user or []),
        contacts=allow_contacts,
        proxy=read_proxy(sys.stdin) if proxy_stdin else None,
    )
    if not changes:
        raise typer.BadParameter("say what to change; `tgfleet accounts set --help` lists it.")

    async def work(gateway: Gateway) -> int:
        needs_old = changes.changes_labels or changes.changes_policy
        old = await _get(gateway, account) if needs_old else account_pb2.Account()
        answer = await gateway.ask(gateway.accounts.UpdateAccount, _update(account, changes, old))
        if as_json:
            emit(dumps(plain(answer.account), indent=2))
        else:
            show(f"{printable(answer.account.name or account)} is changed.")
        return EXIT_OK

    run(context, work)


def _update(account: str, changes: _Changes, old: account_pb2.Account) -> account_pb2.UpdateAccountRequest:
    """The request for the changes; lists and labels are changed from what they are now."""
    request = account_pb2.UpdateAccountRequest(account=account_pb2.Account(account_id=account))
    for field, value in changes.values.items():
        setattr(request.account, field, value)
        request.update_mask.paths.append(field)
    if changes.changes_labels:
        request.update_mask.paths.append("labels")
        request.account.labels.update({**old.labels, **changes.labels})
        for key in changes.remove_labels:
            request.account.labels.pop(key, None)
    if changes.changes_policy:
        request.update_mask.paths.append("chat_policy")
        new, before = request.account.chat_policy, old.chat_policy
        new.chat_ids.extend(_changed(before.chat_ids, *changes.chats))
        new.user_ids.extend(_changed(before.user_ids, *changes.users))
        new.contacts = before.contacts if changes.contacts is None else changes.contacts
    if changes.proxy is not None:
        request.update_mask.paths.append("proxy")
        request.proxy = changes.proxy
    return request


async def _get(gateway: Gateway, account: str) -> account_pb2.Account:
    request = account_pb2.GetAccountRequest(account_id=account)
    return (await gateway.ask(gateway.accounts.GetAccount, request)).account


def _changed(old: Iterable[int], added: list[int], removed: list[int]) -> list[int]:
    """The list with the new ones at its end, each once, and without the removed ones."""
    return [number for number in dict.fromkeys((*old, *added)) if number not in removed]
