"""How the fleet's status looks: a headline, a table that fits 80 columns, and what needs somebody's
attention."""

from collections.abc import Sequence
from datetime import UTC, datetime

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from services.admin.humanise import REASONS, SESSION_STATES, count, moment, printable, span, word
from services.admin.screen import cell, table
from tgfleet.gateway.v1 import fleet_pb2

_STYLES = {
    fleet_pb2.SESSION_STATE_RUNNING: "green",
    fleet_pb2.SESSION_STATE_STARTING: "yellow",
    fleet_pb2.SESSION_STATE_RECONNECTING: "yellow",
    fleet_pb2.SESSION_STATE_STOPPING: "yellow",
    fleet_pb2.SESSION_STATE_FAILED: "red",
}


def status_view(status: fleet_pb2.GetFleetStatusResponse) -> RenderableType:
    """Everything, for one look."""
    now = datetime.now(UTC)
    parts: list[RenderableType] = [Text(headline(status), style="bold")]
    if status.starts_stopped:
        parts.append(
            Text(
                f"All starts are stopped: {printable(status.starts_stopped)}\n"
                "→ Find the other program, then: tgfleet resume-starts",
                style="bold red",
            )
        )
    if status.accounts:
        parts += [Text(), _table(status.accounts, now)]
    remarks = [_remark(account, now) for account in status.accounts if _needs_attention(account)]
    if remarks:
        parts += [Text("\nNeeds attention", style="bold"), *remarks]
    return Group(*parts)


def headline(status: fleet_pb2.GetFleetStatusResponse) -> str:
    """`12 accounts: 8 running, 4 not running.`"""
    total = sum(status.by_state.values()) or len(status.accounts)
    order = sorted(status.by_state.items(), key=lambda item: (-item[1], item[0]))
    states = ", ".join(f"{number:,} {name.lower().replace('_', ' ')}" for name, number in order)
    return f"{count(total, 'account')}: {states}." if states else f"{count(total, 'account')}."


def _table(accounts: Sequence[fleet_pb2.AccountStatus], now: datetime) -> Table:
    rows = table(
        "Account", "Wanted", "Now", "Since", "Worker", "Received", "Answered", right=("Received", "Answered")
    )
    for account in accounts:
        since = account.state_time.ToDatetime(tzinfo=UTC) if account.HasField("state_time") else None
        rows.add_row(
            cell(account.name or account.account_id, "bold"),
            cell(_wanted(account), "" if account.enabled else "bright_black"),
            cell(_now(account), _STYLES.get(account.state, "bright_black")),
            cell(" ".join(span(now - since).split()[:2]) if since else ""),
            cell(account.worker_id),
            f"{account.received_today:,}",
            f"{account.answered_today:,}",
        )
    return rows


def _wanted(account: fleet_pb2.AccountStatus) -> str:
    if not account.enabled:
        return "disabled"
    if not account.wanted_running:
        return "stopped"
    return "run, chat" if account.wanted_chatting else "run"


def _now(account: fleet_pb2.AccountStatus) -> str:
    words = word(SESSION_STATES, account.state)
    return f"{words}, chat" if account.chatting else words


def _needs_attention(account: fleet_pb2.AccountStatus) -> bool:
    return bool(account.reason or account.detail or account.flood_waits) and account.enabled


def _remark(account: fleet_pb2.AccountStatus, now: datetime) -> RenderableType:
    """What is the matter with one account, and what to do."""
    why = account.detail or word(REASONS, account.reason)
    head = Text.assemble((printable(account.name or account.account_id), "bold"))
    if why:
        head.append(f": {printable(why)}")
    if account.HasField("retry_time"):
        head.append(f" Next try {moment(account.retry_time, now)}.", style="bright_black")
    below = []
    for wait in account.flood_waits:
        what = "Connecting" if wait.method in {"*", ""} else printable(wait.method)
        where = f" in chat {wait.chat_id}" if wait.chat_id else ""
        below.append(Text(f"{what}{where} waits until {moment(wait.until_time, now)}", style="yellow"))
    if account.action:
        below.append(Text(f"→ {printable(account.action)}", style="cyan"))
    lines = Group(head, *(Padding(line, (0, 0, 0, 2), expand=False) for line in below))
    return Padding(lines, (0, 0, 0, 2), expand=False)
