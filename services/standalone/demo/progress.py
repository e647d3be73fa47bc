"""The bar that shows a transfer while the demo watches it. Words and colours only."""

from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from tgfleet.gateway.v1 import transfer_pb2

_WIDTH = 40


class TransferBar:
    """Drawn a few times a second, so that the time to the next wake-up counts down; the last picture stays.
    Without a terminal there is a line for each new sentence of the fleet instead."""

    def __init__(self, terminal: Console) -> None:
        self._transfer = transfer_pb2.Transfer()
        self._said = ""
        self._terminal = terminal
        self._live = Live(console=terminal, get_renderable=self._picture, refresh_per_second=8)

    def show(self, transfer: transfer_pb2.Transfer) -> None:
        """The transfer as it is now."""
        self._transfer = transfer
        sentence = _sentence(transfer)
        worth = transfer.detail or transfer.state != transfer_pb2.TRANSFER_STATE_RUNNING
        if not self._terminal.is_terminal and worth and sentence != self._said:
            self._terminal.print(Text(f"    {_figures(transfer)}: {sentence}"), soft_wrap=True)
        self._said = sentence

    def __enter__(self) -> Self:
        if self._terminal.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._terminal.is_terminal:
            self._live.stop()

    def _picture(self) -> RenderableType:
        transfer = self._transfer
        dealt = transfer.done + sum(transfer.skipped.values())
        bar = ProgressBar(total=max(transfer.total, 1), completed=dealt, width=_WIDTH, complete_style="green")
        row = Table.grid(padding=(0, 1))
        row.add_row("   ", bar, Text(_figures(transfer)))
        return Group(row, Text(f"    {_sentence(transfer, counts_down=True)}"))


def _figures(transfer: transfer_pb2.Transfer) -> str:
    return f"{transfer.done:,} of {transfer.total:,} messages"


def _sentence(transfer: transfer_pb2.Transfer, *, counts_down: bool = False) -> str:
    """What the fleet says, who is at work, and when it goes on."""
    names = dict.fromkeys(shard.account_name for shard in transfer.shards if shard.account_name)
    if transfer.state == transfer_pb2.TRANSFER_STATE_COMPLETED:
        return "Completed."
    if transfer.state == transfer_pb2.TRANSFER_STATE_RUNNING and not transfer.detail:
        return f"{', '.join(names) or 'An account'} sends."
    said = transfer.detail or "Waiting."
    waits = transfer.state == transfer_pb2.TRANSFER_STATE_WAITING
    if counts_down and waits and transfer.HasField("next_wake_time"):
        left = (transfer.next_wake_time.ToDatetime(tzinfo=UTC) - datetime.now(UTC)).total_seconds()
        said += f" It goes on in {max(left, 0):.0f} s."
    return said
