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
        for index, obstacle in enumerate(list(account.obstacles) or [None]):
            first = index == 0
            rows.add_row(
                cell(account.name or account.account_id, "bold") if first else "",
                _choice(account) if first else "",
                cell(_why(account, obstacle)),
                _until(obstacle, now) if obstacle else "",
                _today(account) if first else "",
                _predicted(account.predictions) if first else "",
            )
    return rows


def _choice(account: tr.AccountExplanation) -> Text:
    if account.chosen:
        return Text("chosen", style="green")
    if account.rank:
        return Text(f"place {account.rank}")
    passes = any(obstacle.HasField("until_time") for obstacle in account.obstacles)
    return Text("not now", style="yellow") if passes else Text("no", style="red")


def _why(account: tr.AccountExplanation, obstacle: tr.Obstacle | None) -> str:
    if obstacle is not None:
        return obstacle.detail or OBSTACLES.get(obstacle.reason, obstacle.reason)
    return "It sends." if account.chosen else "It may be chosen."


def _until(obstacle: tr.Obstacle, now: datetime) -> str:
    """The time of day, and below it how far that is."""
    return moment(obstacle.until_time, now).replace(" (", "\n(") if obstacle.HasField("until_time") else ""


def _today(account: tr.AccountExplanation) -> str:
    return f"{account.sent_today:,}" + (f" of {account.daily_cap:,}" if account.daily_cap else "")


def _predicted(found: Sequence[tr.Prediction]) -> Text:
    """`320 of 400 left`, and below `+60/h, 5 waits`; below the method's bare name when there are several."""
    lines = []
    for one in found:
        lines += [one.method.rpartition(".")[2]] if len(found) > 1 else []
        lines.append(f"{one.budget_left:,.0f} of {one.budget:,.0f} left")
        lines.append(f"+{one.recovery_per_hour:,.0f}/h, {count(one.waits_seen, 'wait')}")
    return Text("\n".join(map(printable, lines)), no_wrap=True)
