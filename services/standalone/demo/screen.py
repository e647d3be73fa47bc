"""What the demo shows on the terminal. Words and colours only."""

from collections.abc import Iterable, Sequence

from rich.console import Console as Terminal
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from services.standalone.demo.checks import outcome_name
from services.standalone.demo.progress import TransferBar
from services.standalone.demo.samples import Sample
from tgfleet.gateway.v1 import result_pb2

_COLOURS = {
    result_pb2.OUTCOME_SKIPPED: "yellow",
    result_pb2.OUTCOME_WAITING: "yellow",
    result_pb2.OUTCOME_NOT_RUNNING: "yellow",
    result_pb2.OUTCOME_FAILED: "red",
}
_NAME, _OUTCOME = 8, 28


class Screen:
    """A terminal that the demo talks to."""

    def __init__(self, terminal: Terminal | None = None) -> None:
        self._terminal = terminal or Terminal(highlight=False)
        self._last = ("", "")
        self._chapter = 0

    @property
    def environ(self) -> dict[str, str]:
        """What makes a child write for this terminal although it writes into a pipe."""
        if not self._terminal.is_terminal:
            return {}
        return {"FORCE_COLOR": "1", "COLUMNS": str(self._terminal.width)}

    def relay(self, line: str) -> None:
        """A line that somebody else wrote, colours and all; above the bar if there is one."""
        self._terminal.print(Text.from_ansi(line.rstrip("\n")), soft_wrap=True)

    def title(self, sentence: str) -> None:
        """The first line."""
        self._terminal.print(Text(sentence, style="bold cyan"))

    def chapter(self, title: str, explanation: str = "") -> None:
        """Begins a part of the tour."""
        self._chapter += 1
        self._last = ("", "")
        self._terminal.print()
        self._terminal.rule(Text(f"{self._chapter}. {title}", style="bold"), align="left", style="cyan")
        if explanation:
            self._terminal.print(Text(explanation, style="dim"))

    def cast(self, samples: Iterable[Sample]) -> None:
        """Who plays."""
        for sample in samples:
            self._row(Text("·", style="cyan"), sample.name, Text(sample.story))

    def result(self, result: result_pb2.AccountResult, *, expected: bool) -> None:
        """One account's result: outcome, reason in plain words, what to do."""
        outcome = Text(
            outcome_name(result.outcome, result.reason), style=_COLOURS.get(result.outcome, "green")
        )
        words = Text()
        said = (result.detail, result.action)
        if result.worker_id and not result.detail:
            elapsed = result.elapsed.ToMilliseconds() / 1000
            words.append(f"on {result.worker_id}, {elapsed:.1f} s", style="dim")
        elif said == self._last:
            words.append("the same", style="dim")
        else:
            words.append(result.detail)
            if result.action:
                words.append(f"\n→ {result.action}", style="dim")
        self._last = said
        self._row(_mark(expected), result.name, outcome, words)

    def counts(self, results: Sequence[result_pb2.AccountResult]) -> None:
        """How many of each outcome."""
        totals: dict[str, int] = {}
        for result in results:
            name = outcome_name(result.outcome, result_pb2.REASON_UNSPECIFIED)
            totals[name] = totals.get(name, 0) + 1
        text = ", ".join(f"{count} {name}" for name, count in totals.items())
        self._terminal.print(Text(f"  {len(results)} results: {text}", style="bold"))

    def line(self, sentence: str, *, good: bool | None = None) -> None:
        """Something that happened; with a mark when it was good or bad."""
        mark = Text("·", style="cyan") if good is None else _mark(good)
        grid = Table.grid(padding=(0, 1))
        grid.add_column(width=1)
        grid.add_column(ratio=1)
        grid.add_row(mark, Text(sentence))
        self._terminal.print(Padding(grid, (0, 0, 0, 2)))

    def progress(self) -> TransferBar:
        """A bar for a transfer, to be used as `with`; lines appear above it."""
        return TransferBar(self._terminal)

    def end(self, problems: Sequence[str], seconds: float) -> None:
        """The last word."""
        self._terminal.print()
        if problems:
            self._terminal.print(Text(f"Not everything was as expected ({len(problems)}):", style="bold red"))
            for problem in problems:
                self.line(problem, good=False)
            return
        self._terminal.print(
            Text(f"Every outcome was the expected one. The tour took {seconds:.0f} s.", style="bold green")
        )
        self._terminal.print(
            Text("`make up` keeps such a fleet running; the README shows how to add your own accounts.")
        )

    def _row(self, mark: Text, name: str, *cells: Text) -> None:
        grid = Table.grid(padding=(0, 1), expand=True)
        grid.add_column(width=1)
        grid.add_column(width=_NAME, no_wrap=True)
        for _ in cells[:-1]:
            grid.add_column(width=_OUTCOME)
        grid.add_column(ratio=1)
        grid.add_row(mark, Text(name, style="bold"), *cells)
        self._terminal.print(Padding(grid, (0, 0, 0, 2)))


def _mark(good: bool) -> Text:  # noqa: FBT001 - there is nothing else to say
    return Text("✓", style="green") if good else Text("✗", style="bold red")
