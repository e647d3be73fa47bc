"""Shows a transfer as it goes on: a bar that moves on a terminal, a line at each change into a pipe, JSON
lines for programs."""

import time
from datetime import UTC, datetime
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from services.admin.humanise import moment, printable, word
from services.admin.plain_json import dumps, plain
from services.admin.screen import emit, output
from services.admin.transfer_view import closing_sentence, route
from services.admin.transfer_words import (
    ENDED,
    STATES,
    STYLES,
    accounts_in_use,
    progress,
    sentence,
    tally,
)
from tgfleet.gateway.v1 import transfer_pb2 as tr

_LINE_SECONDS = 5.0
"""A pipe gets a line at least this often while something moves."""
_REFRESH = 4
"""Times a second that the bar is drawn again: the time to the next wake-up counts down."""
_BAR = 40


class Progress(Protocol):
    """Takes in the states of a transfer."""

    def state(self, transfer: tr.Transfer) -> None: ...
    def lost(self, sentence: str) -> None:
        """The connection is away for a while; empty when it is back."""
        ...

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def make_progress(*, as_json: bool) -> Progress:
    """What suits where stdout goes."""
    if as_json:
        return JsonProgress()
    console = output()
    return LiveProgress(console) if console.is_terminal else LineProgress()


class JsonProgress:
    """The transfer as one JSON object to a line, at each change."""

    def state(self, transfer: tr.Transfer) -> None:
        emit(dumps(plain(transfer)))

    def lost(self, sentence: str) -> None:
        """Nothing that a program could use."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to close."""


class LineProgress(JsonProgress):
    """A line whenever the state changes, and now and then while messages move."""

    def __init__(self) -> None:
        self._shown: tuple[object, ...] = ()
        self._at = 0.0

    def state(self, transfer: tr.Transfer) -> None:
        key = (transfer.state, transfer.detail, *accounts_in_use(transfer))
        if transfer.state in ENDED:
            emit(printable(closing_sentence(transfer)))
            if transfer.detail:
                emit(printable(transfer.detail))
        elif key != self._shown or time.monotonic() - self._at > _LINE_SECONDS:
            self._shown, self._at = key, time.monotonic()
            emit("\t".join((_figures(transfer), word(STATES, transfer.state), printable(_now(transfer)))))


class LiveProgress:
    """A bar with what a person wants to know under it; the end stays on the screen."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._transfer: tr.Transfer | None = None
        self._lost = ""
        self._live = Live(
            console=console,
            get_renderable=self._picture,
            refresh_per_second=_REFRESH,
            transient=True,
            vertical_overflow="ellipsis",
        )

    def state(self, transfer: tr.Transfer) -> None:
        self._transfer = transfer

    def lost(self, sentence: str) -> None:
        self._lost = sentence

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()
        if self._transfer is not None:
            self._console.print(transfer_picture(self._transfer, self._console.width))

    def _picture(self) -> RenderableType:
        if self._transfer is None:
            return Text("Asking the fleet ...")
        return transfer_picture(self._transfer, self._console.width, self._lost)


def transfer_picture(transfer: tr.Transfer, width: int, lost: str = "") -> RenderableType:
    """A few lines that say all, for a terminal of that width."""
    style = STYLES.get(transfer.state, "")
    head = Text.assemble((transfer.transfer_id, "bold"), f"  {printable(route(transfer))}")
    lines: list[RenderableType] = [head, _bar(transfer, width)]
    if transfer.state in ENDED:
        lines.append(Text(printable(closing_sentence(transfer)), style=style))
        lines += [Text(printable(transfer.detail))] if transfer.detail else []
    else:
        lines += [Text(printable(_now(transfer)), style=style), Text(f"{tally(transfer)}.")]
    if transfer.action:
        lines.append(Text(f"→ {printable(transfer.action)}", style="cyan"))
    if lost:
        lines.append(Text(printable(lost), style="yellow"))
    return Group(*lines)


def _bar(transfer: tr.Transfer, width: int) -> RenderableType:
    dealt, there = progress(transfer)
    row = Table.grid(padding=(0, 1))
    bar = ProgressBar(
        total=max(there, 1),
        completed=dealt if there else (1 if transfer.state in ENDED else 0),
        width=min(_BAR, max(width - 30, 10)),
        complete_style="green",
        finished_style="green",
    )
    row.add_row(bar, Text(_figures(transfer)))
    return row


def _figures(transfer: tr.Transfer) -> str:
    """`43 %  430 of 1,000`, or what was moved so far when there is no end."""
    dealt, there = progress(transfer)
    share = f"{100 * dealt // there} %  " if there else ""
    return f"{share}{dealt:,} of {there:,}"


def _now(transfer: tr.Transfer) -> str:
    """State, accounts, rate and next wake-up in plain words."""
    said = sentence(transfer)
    parts = [said]
    names = accounts_in_use(transfer)
    if names and not any(name in said for name in names):
        parts.append(f"At work: {', '.join(names)}.")
    if transfer.rate and transfer.state == tr.TRANSFER_STATE_RUNNING:
        parts.append(f"{transfer.rate:,.0f} messages a minute.")
    if transfer.HasField("next_wake_time"):
        parts.append(f"Goes on at {moment(transfer.next_wake_time, datetime.now(UTC))}.")
    return " ".join(part for part in parts if part)
