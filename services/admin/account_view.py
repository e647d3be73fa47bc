"""How accounts look: a table of many, a page of one."""

from collections.abc import Sequence
from datetime import datetime

from rich.table import Table

from services.admin.humanise import LOCATIONS, REASONS, labels_text, moment, printable, word
from services.admin.screen import cell, table
from tgfleet.gateway.v1 import account_pb2


def account_table(accounts: Sequence[account_pb2.Account]) -> Table:
    """One row each."""
    rows = table("Account", "Id", "State", "Session", "Home worker", "Labels")
    for account in accounts:
        state, style = _state(account)
        rows.add_row(
            cell(account.name, "bold"),
            cell(account.account_id, "bright_black"),
            cell(state, style),
            cell(word(LOCATIONS, account.session_location)),
            cell(account.home_worker),
            cell(labels_text(account.labels)),
        )
    return rows


def account_view(account: account_pb2.Account, now: datetime) -> Table:
    """Everything about one account, a line for each thing that is known."""
    page = Table.grid(padding=(0, 2))
    page.add_column(style="bright_black")
    page.add_column(overflow="fold")
    for title, text in _facts(account, now):
        if text:
            page.add_row(title, cell(text, "bold" if title == "Name" else ""))
    return page


def _facts(account: account_pb2.Account, now: datetime) -> list[tuple[str, str]]:
    policy = account.chat_policy
    return [
        ("Name", account.name),
        ("Id", account.account_id),
        ("State", _state(account)[0]),
        ("Why", account.block_detail),
        ("Next try", moment(account.block_retry_time, now) if account.HasField("block_retry_time") else ""),
        ("Wanted", _wanted(account)),
        ("Labels", labels_text(account.labels)),
        ("Priority", str(account.priority) if account.priority else ""),
        ("Telegram user", str(account.user_id) if account.user_id else "not known yet"),
        ("Session", word(LOCATIONS, account.session_location)),
        ("Auth key", account.auth_key_id),
        ("Home worker", account.home_worker),
        ("Session file", account.session_file),
        ("Proxy", account.proxy),
        ("Api id", str(account.api_id) if account.api_id else ""),
        ("Time zone", account.time_zone),
        ("Daily cap", f"{account.transfer_policy.daily_cap:,}" if account.transfer_policy.daily_cap else ""),
        ("Transfer hours", ", ".join(account.transfer_policy.allowed_hours)),
        ("Answers in chats", ", ".join(map(str, policy.chat_ids)) or "none"),
        ("Answers users", ", ".join(map(str, policy.user_ids)) or "none"),
        ("Answers contacts", "yes" if policy.contacts else "no"),
        *(("Waits", f"{printable(w.method)} until {moment(w.until_time, now)}") for w in account.flood_waits),
        ("Added", moment(account.create_time, now) if account.HasField("create_time") else ""),
        ("Changed", moment(account.update_time, now) if account.HasField("update_time") else ""),
    ]


def _state(account: account_pb2.Account) -> tuple[str, str]:
    if not account.enabled:
        return "disabled", "bright_black"
    if account.block_reason:
        return word(REASONS, account.block_reason).removeprefix("it ").removeprefix("is "), "red"
    return "enabled", "green"


def _wanted(account: account_pb2.Account) -> str:
    if not account.wanted_running:
        return "stopped"
    return "running and chatting" if account.wanted_chatting else "running"
