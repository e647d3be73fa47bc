"""`tgfleet status`: what is wanted of each account and what is really running."""

import asyncio
from datetime import timedelta
from typing import Annotated

import typer
from rich.live import Live

from services.admin.client import Gateway
from services.admin.failures import EXIT_OK
from services.admin.options import AsJson, Labels, Names, read_duration, read_labels
from services.admin.plain_json import dumps, plain
from services.admin.running import run
from services.admin.screen import emit, output, show
from services.admin.status_view import status_view
from tgfleet.gateway.v1 import fleet_pb2

app = typer.Typer()

_PAGE = 5000


@app.command("status")
def status(
    context: typer.Context,
    names: Names = None,
    label: Labels = None,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Show it again and again until Ctrl-C.")
    ] = False,
    every: Annotated[
        timedelta,
        typer.Option(
            "--every",
            metavar="DURATION",
            parser=read_duration,
            show_default="2s",
            help="How often, with --watch.",
        ),
    ] = timedelta(seconds=2),
    as_json: AsJson = False,
) -> None:
    """Show the fleet: wanted and running, messages of today, waits."""
    labels = read_labels(label)
    if names and labels:
        raise typer.BadParameter("name accounts or choose them by label, not both.")
    request = fleet_pb2.GetFleetStatusRequest(account_ids=names or [], match_labels=labels, page_size=_PAGE)

    async def work(gateway: Gateway) -> int:
        if not watch:
            state = await _fetch(gateway, request)
            emit(dumps(plain(state), indent=2)) if as_json else show(status_view(state))
            return EXIT_OK
        return await _watch(gateway, request, every.total_seconds(), as_json=as_json)

    run(context, work, interrupted="You stopped watching; the fleet goes on.")


async def _fetch(
    gateway: Gateway, request: fleet_pb2.GetFleetStatusRequest
) -> fleet_pb2.GetFleetStatusResponse:
    """All pages as one."""
    page = fleet_pb2.GetFleetStatusRequest()
    page.CopyFrom(request)
    whole: fleet_pb2.GetFleetStatusResponse | None = None
    while True:
        answer = await gateway.ask(gateway.fleet.GetFleetStatus, page)
        if whole is None:
            whole = answer
        else:
            whole.accounts.extend(answer.accounts)
        if not answer.next_page_token:
            whole.next_page_token = ""
            return whole
        page.page_token = answer.next_page_token


async def _watch(
    gateway: Gateway, request: fleet_pb2.GetFleetStatusRequest, seconds: float, *, as_json: bool
) -> int:
    console = output()
    if as_json or not console.is_terminal:
        while True:
            state = await _fetch(gateway, request)
            emit(dumps(plain(state))) if as_json else show(status_view(state))
            await asyncio.sleep(seconds)
    with Live(console=console, auto_refresh=False, screen=True, vertical_overflow="crop") as live:
        while True:
            live.update(status_view(await _fetch(gateway, request)), refresh=True)
            await asyncio.sleep(seconds)
