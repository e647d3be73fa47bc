"""How the reasons for and against each account of a transfer look."""

from collections.abc import Sequence
from datetime import datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from services.admin.humanise import count, moment, printable
from services.admin.screen import cell, table
from services.admin.transfer_words import OBSTACLES
from tgfleet.gateway.v1 import transfer_pb2 as tr


def explain_view(answer: tr.ExplainTransferResponse, now: datetime) -> RenderableType:
    """The whole in a sentence, then a row for each account in the order of choice."""
    parts: list[RenderableType] = []
    if answer.detail:
        parts += [Text(printable(answer.detail), style="bold"), Text()]
    return Group(*parts, _table(answer.accounts, now))


def _table(accounts: Sequence[tr.AccountExplanation], now: datetime) -> Table:
    rows = table("Account", "Choice", "Why", "Until", "Today", "Predicted", right=("Today",))
    for account in accounts:
        obstacles = list(account.obstacles) or [tr.Obstacle()]
        for index, obstacle in enumerate(obstacles):
            first = index == 0
            rows.add_row(
                cell(account.name or account.account_id, "bold") if first else "",
                _choice(account) if first else "",
                cell(obstacle.detail or OBSTACLES.get(obstacle.reason, obstacle.reason)),
                cell(moment(obstacle.until_time, now) if obstacle.HasField("until_time") else ""),
                _today(account) if first else "",
                cell("; ".join(map(_prediction, account.predictions))) if first else "",
            )
    return rows


def _choice(account: tr.AccountExplanation) -> Text:
    if account.chosen:
        return Text("chosen", style="green")
    return Text(f"{account.rank}." if account.rank else "refused", style="" if account.rank else "yellow")


def _today(account: tr.AccountExplanation) -> str:
    return f"{account.sent_today:,}" + (f" / {account.daily_cap:,}" if account.daily_cap else "")


def _prediction(found: tr.Prediction) -> str:
    """`ForwardMessages: 320 of 400 left, +60 an hour (5 waits seen)`."""
    method = found.method.rpartition(".")[2]
    return (
        f"{method}: {found.budget_left:,.0f} of {found.budget:,.0f} left, "
        f"+{found.recovery_per_hour:,.0f} an hour ({count(found.waits_seen, 'wait')} seen)"
    )
