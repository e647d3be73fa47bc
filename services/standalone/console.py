"""What the supervisor says to the person at the terminal. Sentences and lines only; it decides and starts
nothing."""

import os
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console as Terminal
from rich.text import Text

from services.standalone.domain.mode import Times

_NAME_WIDTH = 10


class _PatientTerminal(Terminal):
    """Goes on without a word when nobody reads any more (`tgfleet up | head`, a closed window)."""

    def on_broken_pipe(self) -> None:
        """What Python still has buffered must go somewhere, or its own flush at the end makes the exit code
        120 (docs.python.org/3/library/signal.html#note-on-sigpipe)."""
        self.quiet = True
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


class Console:
    """Fulfils `ports.Observer` and says the rest of the story, too."""

    def __init__(self, terminal: Terminal | None = None, *, hints: bool = True) -> None:
        """`hints`: whether to print commands to paste."""
        self._hints = hints
        self._terminal = terminal or _PatientTerminal(highlight=False)
        self._launched: dict[str, tuple[int, float]] = {}

    def begin(self, data: Path, times: Times, children: Sequence[str]) -> None:
        """The first lines of a start."""
        self._print(Text.assemble(("tgfleet", "bold cyan"), f" starts in {data}"))
        lease = f"T = {times.ttl.total_seconds():g} s, S = {times.settle.total_seconds():g} s"
        self._print(Text(f"{lease}; one process each for {', '.join(children)}", style="dim"))

    def note(self, sentence: str) -> None:
        """Something that a person should know before it surprises them."""
        self._print(Text.assemble(("! ", "bold yellow"), sentence))

    def complain(self, sentence: str, lines: Sequence[str] = ()) -> None:
        """Why it does not go on."""
        self._print(Text.assemble(("tgfleet: ", "bold red"), sentence))
        self._quote(lines)

    def launched(self, name: str, pid: int) -> None:
        self._launched[name] = (pid, time.monotonic())

    def ready(self, name: str, info: Mapping[str, Any]) -> None:
        pid, since = self._launched[name]
        where = str(info.get("listen", ""))
        took = f"{time.monotonic() - since:.1f} s"
        facts = Text(f"{where:<22} pid {info.get('pid', pid):<8} ready in {took}", style="dim")
        self._print(Text.assemble(("  ✓ ", "green"), f"{name:<{_NAME_WIDTH}} ", facts))

    def died(self, name: str, how: str, delay: float, last_lines: Sequence[str]) -> None:
        again = f"starting again in {delay:.1f} s"
        self._print(Text.assemble(("  ✗ ", "red"), f"{name:<{_NAME_WIDTH}} {how}; {again}"))
        if last_lines:
            self._print(Text("    it dies again and again; its last log lines:"))
            self._quote(last_lines)

    def serving(self, gateway: str, token_file: Path, since_start: float) -> None:
        """The fleet is up: how to use and how to stop it."""
        self._print("")
        self._print(Text(f"Serving on {gateway} after {since_start:.1f} s.", style="bold green"))
        if not self._hints:
            return
        self._print("Paste into another terminal:\n")
        for line in paste_lines(gateway, token_file):
            self._print(Text(f"  {line}", style="cyan"), soft_wrap=True)  # to be pasted in one piece
        self._print("\nCtrl-C stops everything cleanly; a second one hurries.")

    def will_stop(self, reason: str) -> None:
        """The stop begins."""
        self._print("")
        self._print(Text(f"Stopping ({reason}) ...", style="bold"))

    def hurry(self) -> None:
        """It is told to hurry."""
        self._print("Hurrying.")

    def stopping(self, name: str) -> None:
        """Nothing: that it is gone is worth a line, that it was asked is not."""

    def stopped(self, name: str, *, killed: bool) -> None:
        if killed:
            self._print(
                Text.assemble(("  ✗ ", "red"), f"{name:<{_NAME_WIDTH}} did not stop in time and was killed")
            )
        else:
            self._print(Text.assemble(("  ✓ ", "green"), Text(f"{name:<{_NAME_WIDTH}} stopped", style="dim")))

    def end(self) -> None:
        """Everything is gone."""
        self._print("Stopped.")

    def _quote(self, lines: Sequence[str]) -> None:
        for line in lines:
            self._print(Text(f"    | {line}", style="dim"), soft_wrap=True)

    def _print(self, what: Text | str, *, soft_wrap: bool = False) -> None:
        in_one_line = soft_wrap or not self._terminal.is_terminal
        try:
            self._terminal.print(what, markup=False, soft_wrap=in_one_line)
        except OSError:
            self._terminal.quiet = True  # the terminal is gone; the fleet is not


def paste_lines(gateway: str, token_file: Path) -> list[str]:
    """Commands that work as they stand, with the token read from its file rather than written out."""
    file = shlex.quote(str(token_file))
    tgfleet = shlex.quote(str(Path(sys.executable).parent / "tgfleet"))
    call = "tgfleet.gateway.v1.FleetService/StartAll"
    return [
        f"TGFLEET_GATEWAY={gateway} TGFLEET_TOKEN_FILE={file} {tgfleet} status",
        f'grpcurl -plaintext -H "authorization: Bearer $(cat {file})" {gateway} {call}',
    ]
