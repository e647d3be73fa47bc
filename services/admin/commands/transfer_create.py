"""`tgfleet transfer create`."""

import uuid
from enum import StrEnum
from typing import Annotated

import typer

from services.admin.client import Gateway
from services.admin.failures import EXIT_OK
from services.admin.options import AsJson, Labels, read_labels
from services.admin.plain_json import dumps, plain
from services.admin.running import run
from services.admin.screen import emit, say, show
from services.admin.transfer_spec import Asked, check_selection, read_list, read_media, read_range
from services.admin.transfer_view import created_view
from tgfleet.gateway.v1 import transfer_pb2

app = typer.Typer()

_SECONDS = 120.0
"""Each account is asked what it can do in both chats; one may have to be started for that."""


class Mode(StrEnum):
    """How messages are moved."""

    FORWARD = "forward"
    COPY = "copy"


_MODES = {Mode.FORWARD: transfer_pb2.TRANSFER_MODE_FORWARD, Mode.COPY: transfer_pb2.TRANSFER_MODE_COPY}

_CHAT = "@name, a t.me link, or Telegram's id (-100... for channels and supergroups)"
Source = Annotated[str, typer.Option("--from", metavar="CHAT", help=f"The chat to read: {_CHAT}.")]
Target = Annotated[str, typer.Option("--to", metavar="CHAT", help="The chat to write to, named alike.")]
Ids = Annotated[str | None, typer.Option("--ids", metavar="A-B", help="Messages by id, both ends included.")]
Since = Annotated[
    str | None,
    typer.Option("--since", metavar="TIME", help="From this time on, as in 2026-11-20T08:00+01:00."),
]
Until = Annotated[str | None, typer.Option("--until", metavar="TIME", help="Before this time.")]
Last = Annotated[int | None, typer.Option("--last", metavar="N", help="The newest N messages.")]
ModeOption = Annotated[Mode, typer.Option("--mode", help="A copy does not show where it comes from.")]
Media = Annotated[
    list[str] | None,
    typer.Option("--media", metavar="KIND[,KIND]", help="Only these kinds: text, photo, video, ..."),
]
Match = Annotated[
    str,
    typer.Option("--match", metavar="REGEX", help="Only messages whose text or caption has a match (RE2)."),
]
Accounts = Annotated[
    list[str] | None,
    typer.Option("--accounts", metavar="NAME[,NAME]", help="The accounts that may do it, by name or id."),
]
Parallel = Annotated[
    int,
    typer.Option(
        "--parallel", metavar="N", help="Parts at the same time, 1 to 16; more than 1 gives up order."
    ),
]
Topic = Annotated[int, typer.Option("--topic", metavar="ID", help="The topic of the target to post in.")]
Silent = Annotated[bool, typer.Option("--silent", help="Without notification.")]
DropCaptions = Annotated[bool, typer.Option("--drop-captions", help="Without captions; with --mode copy.")]
MaxPerHour = Annotated[
    int,
    typer.Option("--max-per-hour", metavar="N", help="Messages an hour into the target, over all accounts."),
]
Strict = Annotated[bool, typer.Option("--strict", help="Stop at the first message that Telegram refuses.")]
Follow = Annotated[bool, typer.Option("--follow", help="Go on with new messages of the source.")]
OnlyRunning = Annotated[bool, typer.Option("--only-running", help="Start no account for it.")]
RequestId = Annotated[
    str, typer.Option("--request-id", metavar="TEXT", help="The same id twice makes one transfer.")
]


@app.command("create")
def create(
    context: typer.Context,
    source: Source,
    target: Target,
    ids: Ids = None,
    since: Since = None,
    until: Until = None,
    last: Last = None,
    mode: ModeOption = Mode.FORWARD,
    media: Media = None,
    match: Match = "",
    label: Labels = None,
    accounts: Accounts = None,
    parallel: Parallel = 1,
    topic: Topic = 0,
    silent: Silent = False,
    drop_captions: DropCaptions = False,
    max_per_hour: MaxPerHour = 0,
    strict: Strict = False,
    follow: Follow = False,
    only_running: OnlyRunning = False,
    request_id: RequestId = "",
    as_json: AsJson = False,
) -> None:
    """Move messages from one chat to another; all there are unless you say which."""
    names, labels = read_list(accounts), read_labels(label)
    check_selection(names, labels)
    spec = transfer_pb2.TransferSpec(
        source=source,
        target=target,
        mode=_MODES[mode],
        media=read_media(media),  # type: ignore[arg-type]  # numbers of the enum
        match=match,
        account_ids=names,
        match_labels=labels,
        parallel=parallel,
        topic_id=topic,
        silent=silent,
        drop_captions=drop_captions,
        max_per_hour=max_per_hour,
        strict=strict,
        follow=follow,
        only_running=only_running,
    )
    read_range(Asked(ids=ids, since=since, until=until, last=last), spec)
    request = transfer_pb2.CreateTransferRequest(spec=spec, request_id=request_id or uuid.uuid4().hex)

    async def work(gateway: Gateway) -> int:
        answer = await gateway.ask(gateway.transfers.CreateTransfer, request, _SECONDS)
        if as_json:
            emit(dumps(plain(answer.transfer), indent=2))
            return EXIT_OK
        show(created_view(answer.transfer))
        say(f"→ Watch it: tgfleet transfer watch {answer.transfer.transfer_id}", "cyan")
        return EXIT_OK

    run(
        context,
        work,
        interrupted=f"You stopped waiting; the transfer may have been created. See `tgfleet transfer list`, "
        f"or ask again with --request-id {request.request_id}",
    )
