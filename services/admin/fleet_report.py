"""Shows the results of a fleet call as they come: as table rows above a counter on a terminal, as plain lines
into a pipe, as JSON lines for programs."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.status import Status
from rich.table import Table
from rich.text import Text

from services.admin.humanise import (
    OUTCOMES,
    REASONS,
    count,
    moment,
    outcome_words,
    printable,
    span,
    word,
)
from services.admin.plain_json import dumps, plain
from services.admin.screen import emit, output
from tgfleet.gateway.v1 import result_pb2

_GOOD = frozenset(
    {
        result_pb2.OUTCOME_STARTED,
        result_pb2.OUTCOME_ALREADY_RUNNING,
        result_pb2.OUTCOME_STOPPED,
        result_pb2.OUTCOME_ALREADY_STOPPED,
        result_pb2.OUTCOME_CHAT_STARTED,
        result_pb2.OUTCOME_ALREADY_CHATTING,
        result_pb2.OUTCOME_CHAT_STOPPED,
        result_pb2.OUTCOME_NOT_CHATTING,
    }
)
_NARROW = 60
_OUTCOME_WIDTH = 16


class Report(Protocol):
    """Takes the messages of a fleet call in."""

    shown: int

    def results(self, results: Sequence[result_pb2.AccountResult]) -> None: ...
    def summary(self, summary: result_pb2.FleetSummary) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def make_report(*, as_json: bool) -> Report:
    """The report that suits where stdout goes."""
    if as_json:
        return JsonReport()
    console = output()
    return LiveReport(console) if console.is_terminal else LineReport()


class JsonReport:
    """`{"result": {...}}` for each account and `{"summary": {...}}` at the end, one to a line."""

    def __init__(self) -> None:
        self.shown = 0

    def results(self, results: Sequence[result_pb2.AccountResult]) -> None:
        for result in results:
            emit(dumps({"result": plain(result)}))
        self.shown += len(results)

    def summary(self, summary: result_pb2.FleetSummary) -> None:
        emit(dumps({"summary": plain(summary)}))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to close."""


class LineReport(JsonReport):
    """One line for each account: name, outcome, and the rest in a sentence."""

    def results(self, results: Sequence[result_pb2.AccountResult]) -> None:
        for result in results:
            parts = [_name(result), word(OUTCOMES, result.outcome), " ".join(_sentences(result))]
            emit("\t".join(part for part in parts if part))
        self.shown += len(results)

    def summary(self, summary: result_pb2.FleetSummary) -> None:
        emit(summary_sentence(summary))


class LiveReport:
    """Rows that stay, above a line that counts."""

    def __init__(self, console: Console) -> None:
        self.shown = 0
        self._console = console
        self._by_outcome: Counter[int] = Counter()
        self._status = Status("Asking the fleet ...", console=console, spinner="dots")

    def results(self, results: Sequence[result_pb2.AccountResult]) -> None:
        for result in results:
            self._by_outcome[result.outcome] += 1
            self._console.print(result_row(result, self._console.width))
        self.shown += len(results)
        counts = ", ".join(f"{n:,} {word(OUTCOMES, outcome)}" for outcome, n in self._by_outcome.items())
        line = f"{count(self.shown, 'account')} so far: {counts}"
        self._status.update(Text(line, no_wrap=True, overflow="ellipsis"))

    def summary(self, summary: result_pb2.FleetSummary) -> None:
        self._status.stop()
        self._console.print()
        self._console.print(Text(summary_sentence(summary), style="bold"))

    def __enter__(self) -> Self:
        self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._status.stop()


def result_row(result: result_pb2.AccountResult, width: int) -> RenderableType:
    """One account at a terminal of that width: mark, name, outcome, sentences; stacked when it is narrow."""
    mark, style = _mark(result.outcome)
    outcome = Text(word(OUTCOMES, result.outcome), style=style)
    remarks = _remarks(result)
    if width < _NARROW:
        head = Text.assemble((f"{mark} ", style), (_name(result), "bold"), "  ", outcome)
        return Group(head, Padding(remarks, (0, 0, 0, 2), expand=False)) if remarks.plain else head
    row = Table.grid(padding=(0, 1))
    row.add_column(width=1)
    row.add_column(width=_name_width(width), overflow="fold")
    row.add_column(width=_OUTCOME_WIDTH)
    row.add_column(ratio=1, overflow="fold")
    row.expand = True
    row.add_row(Text(mark, style=style), Text(_name(result), style="bold"), outcome, remarks)
    return row


def summary_sentence(summary: result_pb2.FleetSummary) -> str:
    """`12 accounts in 3.4 s: 5 started, 2 waiting, 5 failed.`"""
    order = sorted(summary.by_outcome.items(), key=lambda item: (-item[1], item[0]))
    counts = ", ".join(f"{number:,} {outcome_words(name)}" for name, number in order)
    return f"{count(summary.total, 'account')} in {span(summary.elapsed)}" + (
        f": {counts}." if counts else "."
    )


def _name_width(width: int) -> int:
    return min(max(width // 5, 14), 28)


def _mark(outcome: int) -> tuple[str, str]:
    if outcome in _GOOD:
        return "✓", "green"
    if outcome == result_pb2.OUTCOME_FAILED:
        return "✗", "red"
    return ("…", "yellow") if outcome == result_pb2.OUTCOME_WAITING else ("–", "bright_black")


def _name(result: result_pb2.AccountResult) -> str:
    return printable(result.name or result.account_id)


def _why(result: result_pb2.AccountResult) -> str:
    """The sentence that came, else the words for the reason."""
    if result.detail:
        return printable(result.detail)
    words = word(REASONS, result.reason)
    return f"{words[0].upper()}{words[1:]}." if words else ""


def _sentences(result: result_pb2.AccountResult) -> list[str]:
    parts = [_why(result)]
    if result.HasField("retry_time"):
        parts.append(f"Next try {moment(result.retry_time, datetime.now(UTC))}.")
    if result.action:
        parts.append(f"→ {printable(result.action)}")
    return [part for part in parts if part]


def _remarks(result: result_pb2.AccountResult) -> Text:
    why = _why(result) or (f"on {printable(result.worker_id)}" if result.worker_id else "")
    remarks = Text(why, style="" if _why(result) else "bright_black")
    if result.HasField("retry_time"):
        remarks.append(f" Next try {moment(result.retry_time, datetime.now(UTC))}.", style="bright_black")
    if result.action:
        remarks.append(f"\n→ {printable(result.action)}", style="cyan")
    return remarks
