"""`tgfleet transfer watch`: shows a transfer until it ends. Watching is not doing: it stops when the watcher
goes, and the transfer goes on."""

import asyncio
from contextlib import aclosing, suppress
from datetime import timedelta
from typing import Annotated

import typer

from services.admin.client import Gateway
from services.admin.failures import EXIT_FAILED, EXIT_OK, EXIT_WAITING
from services.admin.options import AsJson, read_duration
from services.admin.running import run
from services.admin.screen import say
from services.admin.transfer_progress import Progress, make_progress
from services.admin.transfer_words import ENDED
from services.runtime.errors import DeadlineExceeded, Internal, TgfleetError, Unavailable
from tgfleet.gateway.v1 import transfer_pb2 as tr

app = typer.Typer()

_RETRY_SECONDS = 1.0
_GIVE_UP_SECONDS = 120.0
"""How long a lost gateway is looked for."""

TransferId = Annotated[str, typer.Argument(metavar="TRANSFER", help="The transfer's id.")]
Timeout = Annotated[
    timedelta | None,
    typer.Option(
        "--timeout",
        metavar="DURATION",
        parser=read_duration,
        show_default=False,
        help="Stop watching after this time, such as 90s, with exit code 3.",
    ),
]


@app.command("watch")
def watch(
    context: typer.Context, transfer: TransferId, timeout: Timeout = None, as_json: AsJson = False
) -> None:
    """Show how a transfer gets on, until it ends or Ctrl-C."""

    async def work(gateway: Gateway) -> int:
        last = tr.Transfer()
        with make_progress(as_json=as_json) as progress, suppress(TimeoutError):
            async with asyncio.timeout(timeout.total_seconds() if timeout else None):
                await _follow(gateway, transfer, progress, last)
        if last.state not in ENDED:
            say("The time is over; the transfer goes on.")
            return EXIT_WAITING
        if len(last.skipped) and any(reason.isupper() and "_" in reason for reason in last.skipped):
            say(f"`tgfleet transfer show {last.transfer_id}` lists the messages that were refused.")
        return EXIT_OK if last.state == tr.TRANSFER_STATE_COMPLETED else EXIT_FAILED

    run(
        context,
        work,
        interrupted="You stopped watching; the transfer goes on. "
        f"`tgfleet transfer watch {transfer}` shows it again.",
    )


async def _follow(gateway: Gateway, transfer_id: str, progress: Progress, last: tr.Transfer) -> None:
    """Shows every state until an end state, over gateways that come and go; `last` is the latest."""
    loop = asyncio.get_running_loop()
    request, lost_at = tr.WatchTransferRequest(transfer_id=transfer_id), 0.0
    while True:
        lost: TgfleetError = Unavailable("The gateway ended the watch.", reason="CALL_CUT")
        try:
            stream = gateway.stream(gateway.transfers.WatchTransfer, request, seconds=None)
            async with aclosing(stream) as messages:
                async for message in messages:
                    lost_at = 0.0
                    progress.lost("")
                    last.CopyFrom(message.transfer)
                    progress.state(last)
        except (Unavailable, Internal, DeadlineExceeded) as error:
            lost = error
        if last.state in ENDED:
            return
        lost_at = lost_at or loop.time()
        if not last.transfer_id or loop.time() - lost_at > _GIVE_UP_SECONDS:  # never seen: an answer, no gap
            raise lost
        progress.lost("The connection is away; the transfer goes on. Trying again ...")
        await asyncio.sleep(_RETRY_SECONDS)
