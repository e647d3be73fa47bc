"""`tgfleet events`: what happens in the fleet, as it happens."""

from contextlib import aclosing
from datetime import UTC

import typer
from rich.text import Text

from services.admin.client import Gateway
from services.admin.event_words import event_words
from services.admin.failures import EXIT_FAILED
from services.admin.humanise import printable
from services.admin.options import AsJson, Labels, Names, read_labels
from services.admin.plain_json import dumps, plain
from services.admin.running import run
from services.admin.screen import complain, emit, output, say
from tgfleet.gateway.v1 import event_pb2, fleet_pb2

app = typer.Typer()

_STYLES = {
    "message_received": "cyan",
    "message_answered": "green",
    "flood_wait": "yellow",
    "disconnected": "yellow",
    "worker_changed": "magenta",
    "events_lost": "red",
}


@app.command("events")
def events(
    context: typer.Context, names: Names = None, label: Labels = None, as_json: AsJson = False
) -> None:
    """Show what happens from now on, until Ctrl-C."""
    labels = read_labels(label)
    if names and labels:
        raise typer.BadParameter("name accounts or choose them by label, not both.")
    request = fleet_pb2.WatchEventsRequest(account_ids=names or [], match_labels=labels)

    async def work(gateway: Gateway) -> int:
        console = output()
        stream = gateway.stream(gateway.fleet.WatchEvents, request, seconds=None)
        async with aclosing(stream) as messages:
            async for message in messages:
                if not message.events:
                    say("Watching; Ctrl-C stops it.", "bright_black")
                for event in message.events:
                    if as_json:
                        emit(dumps(plain(event)))
                    else:
                        console.print(event_line(event), soft_wrap=not console.is_terminal)
        complain("The gateway ended the watch.", "Run the command again to go on.")
        return EXIT_FAILED

    run(context, work, interrupted="You stopped watching; the fleet goes on.")


def event_line(event: event_pb2.Event) -> Text:
    """`14:03:22  alice  sentence: the message's text`"""
    kind = event.WhichOneof("kind") or ""
    when = event.time.ToDatetime(tzinfo=UTC).astimezone()
    who = printable(event.name or event.account_id or event.worker_id)
    line = Text.assemble(
        (f"{when:%H:%M:%S}", "bright_black"),
        "  ",
        (who, "bold"),
        "  " if who else "",
        printable(event_words(event)),
    )
    line.stylize(_STYLES.get(kind, ""), len(f"{when:%H:%M:%S}  {who}"))
    if kind in {"message_received", "message_answered"}:
        text = printable(getattr(event, kind).text)
        if text:
            line.append(f" “{text}”", style="default")
    return line
