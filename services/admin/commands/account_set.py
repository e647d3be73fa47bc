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
from services.admin.transfer_spec import read_list
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
DailyCap = Annotated[
    int | None,
    typer.Option(
        "--daily-cap", metavar="N", help="Messages a day that transfers may send with it; 0 for no cap."
    ),
]
Hours = Annotated[
    list[str] | None,
    typer.Option(
        "--hours",
        metavar="HH:MM-HH:MM",
        help="When in its day transfers may use it, several with commas; '' for all day.",
    ),
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
    daily_cap: int | None = None
    hours: list[str] | None = None
    """None for as they are, empty for all day."""
    proxy: str | None = None

    @property
    def changes_labels(self) -> bool:
        return bool(self.labels or self.remove_labels)

    @property
    def changes_policy(self) -> bool:
        return any((*self.chats, *self.users)) or self.contacts is not None

    @property
    def changes_transfers(self) -> bool:
        return self.daily_cap is not None or self.hours is not None

    @property
    def needs_old(self) -> bool:
        """Lists and policies are written as a whole; what was not named stays."""
        return self.changes_labels or self.changes_policy or self.changes_transfers

    def __bool__(self) -> bool:
        return bool(self.values or self.needs_old or self.proxy is not None)


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
    daily_cap: DailyCap = None,
    hours: Hours = None,
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
        daily_cap=daily_cap,
        hours=None if hours is None else read_list(hours),
        proxy=read_proxy(sys.stdin) if proxy_stdin else None,
    )
    if not changes:
        raise typer.BadParameter("say what to change; `tgfleet accounts set --help` lists it.")

    async def work(gateway: Gateway) -> int:
        old = await _get(gateway, account) if changes.needs_old else account_pb2.Account()
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
    if changes.changes_transfers:
        request.update_mask.paths.append("transfer_policy")
        policy, kept = request.account.transfer_policy, old.transfer_policy
        policy.daily_cap = kept.daily_cap if changes.daily_cap is None else changes.daily_cap
        policy.allowed_hours.extend(kept.allowed_hours if changes.hours is None else changes.hours)
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
