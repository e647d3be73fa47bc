"""Command-line options that several commands share, and how their texts are read."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Annotated

import typer

from services.runtime.settings import parse_duration

Names = Annotated[
    list[str] | None, typer.Argument(metavar="NAMES", help="Accounts by name or id; none means all.")
]
Name = Annotated[str, typer.Argument(metavar="NAME", help="The account's name or id.")]
Labels = Annotated[
    list[str] | None,
    typer.Option("--label", "-l", metavar="K=V[,K2=V2]", help="Only accounts with all of these labels."),
]
NewLabels = Annotated[list[str] | None, typer.Option("--label", "-l", metavar="K=V", help="Set labels.")]
HomeWorker = Annotated[
    str | None,
    typer.Option("--home-worker", metavar="WORKER", help="The only worker that may run it; '' for any."),
]
TimeZone = Annotated[
    str | None, typer.Option("--time-zone", help="Where its day begins, as in Europe/Berlin.")
]
Priority = Annotated[int | None, typer.Option("--priority", help="Higher goes first.")]
AllowChat = Annotated[
    list[int] | None, typer.Option("--allow-chat", metavar="ID", help="Answer in this group.")
]
AllowUser = Annotated[
    list[int] | None, typer.Option("--allow-user", metavar="ID", help="Answer this user's private messages.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]


def read_duration(text: str | timedelta) -> timedelta:
    """For `parser=`: `500ms`, `15s`, `30m`, `2h`. Typer sends defaults through it as well."""
    if isinstance(text, timedelta):
        return text
    try:
        return parse_duration(text)
    except ValueError as error:
        raise typer.BadParameter(f"{error}.") from error


def read_labels(texts: Iterable[str] | None) -> dict[str, str]:
    """`k=v,k2=v2`, also given several times. Raises BadParameter."""
    labels: dict[str, str] = {}
    for pair in (part.strip() for text in texts or () for part in text.split(",")):
        key, equals, value = pair.partition("=")
        if not (key and equals and value):
            raise typer.BadParameter("write labels as key=value, several with commas.", param_hint="--label")
        labels[key] = value
    return labels
