"""The terminal: results to stdout, everything said about them to stderr. The only file that makes rich
consoles.

Nothing here interprets markup: names and messages come from strangers.
"""

import sys

from rich import box
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from services.admin.humanise import printable

_PIPE_WIDTH = 100_000
"""Into a pipe tables take the room they need; nothing is cut or wrapped."""


def output() -> Console:
    """Where results go. Made anew for each use, so that it sees the terminal as it is now."""
    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console = Console(highlight=False, markup=False, emoji=False, width=_PIPE_WIDTH, no_color=True)
    return console


def show(what: RenderableType) -> None:
    """Prints a result."""
    console = output()
    if console.is_terminal:
        console.print(what)
        return
    with console.capture() as captured:
        console.print(what, soft_wrap=isinstance(what, str | Text))
    for line in captured.get().splitlines():
        sys.stdout.write(line.rstrip() + "\n")  # tables pad their last column
    sys.stdout.flush()


def emit(line: str) -> None:
    """Prints one line for a program and hands it on at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def say(sentence: str, style: str = "") -> None:
    """Tells a person something beside the result."""
    _tell(Text(printable(sentence), style=style))


def complain(sentence: str, advice: str = "") -> None:
    """Tells a person what went wrong, and on a second line what to do."""
    _tell(Text.assemble(("tgfleet: ", "bold red"), printable(sentence)))
    if advice:
        _tell(Text.assemble(("→ ", "cyan"), printable(advice)))


def table(*columns: str, right: tuple[str, ...] = ()) -> Table:
    """An empty table in the house style; `right` names the columns of numbers."""
    made = Table(
        box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold", padding=(0, 1, 0, 0)
    )
    for column in columns:
        made.add_column(
            column, justify="right" if column in right else "left", overflow="fold", no_wrap=column in right
        )
    return made


def cell(text: str, style: str = "") -> Text:
    """A cell that shows a stranger's text as it is, harmlessly."""
    return Text(printable(text), style=style)


def _tell(line: Text) -> None:
    console = Console(stderr=True, highlight=False, markup=False, emoji=False)
    console.print(line, soft_wrap=not console.is_terminal)  # a pipe gets whole lines
