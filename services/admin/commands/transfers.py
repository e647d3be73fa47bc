"""`tgfleet transfer`: list, show, explain, pause, resume, cancel, settle. Create and watch have files of
their own."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from services.admin.client import Gateway
from services.admin.commands.transfer_watch import TransferId
from services.admin.explain_view import explain_view
from services.admin.failures import EXIT_FAILED, EXIT_OK, EXIT_WAITING, WrongUsageError
from services.admin.humanise import printable, word
from services.admin.options import AsJson
from services.admin.plain_json import dumps, plain
from services.admin.running import run
from services.admin.screen import emit, say, show
from services.admin.transfer_spec import read_list
from services.admin.transfer_view import transfer_table, transfer_view
from services.admin.transfer_words import STATES, sentence, tally
from tgfleet.gateway.v1 import transfer_pb2 as tr

app = typer.Typer()

_PAGE = 1000
_WISH_SECONDS = 60.0
"""A pause waits for what is in flight."""
_NAMES = {name.removeprefix("TRANSFER_STATE_").lower(): n for name, n in tr.TransferState.items() if n}
_NOT_YET = frozenset(
    {
        tr.TRANSFER_STATE_PAUSING,
        tr.TRANSFER_STATE_CANCELLING,
        tr.TRANSFER_STATE_WAITING,
        tr.TRANSFER_STATE_UNDECIDED,
    }
)

States = Annotated[
    list[str] | None,
    typer.Option("--state", metavar="STATE[,STATE]", help=f"Only those in these: {', '.join(_NAMES)}."),
]
Limit = Annotated[int, typer.Option("--limit", metavar="N", min=1, help="The newest N at most.")]
Shard = Annotated[
    int | None, typer.Option("--shard", metavar="N", min=1, help="The part; when there are several.")
]
Batch = Annotated[
    int | None, typer.Option("--batch", metavar="N", min=1, help="The batch's number in its part.")
]
Sent = Annotated[
    bool | None,
    typer.Option("--sent/--not-sent", help="Whether the messages are in the target.", show_default=False),
]


@app.command("list")
def list_transfers(
    context: typer.Context, state: States = None, limit: Limit = 100, as_json: AsJson = False
) -> None:
    """Show transfers, the newest first."""
    states = [_state(name) for name in read_list(state)]

    async def work(gateway: Gateway) -> int:
        found = await _pages(gateway, states, limit)
        if as_json:
            emit(dumps([plain(transfer) for transfer in found], indent=2))
        elif found:
            show(transfer_table(found, datetime.now(UTC)))
        else:
            show("There are no such transfers." if states else "There are no transfers yet.")
        return EXIT_OK

    run(context, work)


@app.command("show")
def show_transfer(context: typer.Context, transfer: TransferId, as_json: AsJson = False) -> None:
    """Show everything about a transfer."""

    async def work(gateway: Gateway) -> int:
        found = await _get(gateway, transfer)
        emit(dumps(plain(found), indent=2)) if as_json else show(transfer_view(found, datetime.now(UTC)))
        return EXIT_OK

    run(context, work)


@app.command("explain")
def explain(context: typer.Context, transfer: TransferId, as_json: AsJson = False) -> None:
    """Say of each account why it is or is not chosen now."""

    async def work(gateway: Gateway) -> int:
        request = tr.ExplainTransferRequest(transfer_id=transfer)
        answer = await gateway.ask(gateway.transfers.ExplainTransfer, request)
        emit(dumps(plain(answer), indent=2)) if as_json else show(explain_view(answer, datetime.now(UTC)))
        return EXIT_OK

    run(context, work)


@app.command("pause")
def pause(context: typer.Context, transfer: TransferId, as_json: AsJson = False) -> None:
    """Send nothing more; what is in flight is settled first."""
    request = tr.PauseTransferRequest(transfer_id=transfer)
    _wish(context, lambda g: g.ask(g.transfers.PauseTransfer, request, _WISH_SECONDS), as_json=as_json)


@app.command("resume")
def resume(context: typer.Context, transfer: TransferId, as_json: AsJson = False) -> None:
    """Go on after a pause."""
    request = tr.ResumeTransferRequest(transfer_id=transfer)
    _wish(context, lambda g: g.ask(g.transfers.ResumeTransfer, request, _WISH_SECONDS), as_json=as_json)


@app.command("cancel")
def cancel(context: typer.Context, transfer: TransferId, as_json: AsJson = False) -> None:
    """End a transfer for good; what was sent stays sent."""
    request = tr.CancelTransferRequest(transfer_id=transfer)
    _wish(context, lambda g: g.ask(g.transfers.CancelTransfer, request, _WISH_SECONDS), as_json=as_json)


@app.command("settle")
def settle(
    context: typer.Context,
    transfer: TransferId,
    sent: Sent = None,
    shard: Shard = None,
    batch: Batch = None,
    as_json: AsJson = False,
) -> None:
    """Decide a batch of which nobody can tell whether it was sent; look into the target first."""
    if sent is None:
        raise typer.BadParameter("say --sent if the batch's messages are in the target, else --not-sent.")

    async def ask(gateway: Gateway) -> Any:
        chosen = _undecided(await _get(gateway, transfer), shard, batch)
        request = tr.SettleBatchRequest(transfer_id=transfer, shard=chosen[0], batch=chosen[1], sent=sent)
        return await gateway.ask(gateway.transfers.SettleBatch, request, _WISH_SECONDS)

    _wish(context, ask, as_json=as_json)


def _wish(context: typer.Context, ask: Callable[[Gateway], Awaitable[Any]], *, as_json: bool) -> None:
    """Asks, and says how the transfer stands then."""

    async def work(gateway: Gateway) -> int:
        found: tr.Transfer = (await ask(gateway)).transfer
        if as_json:
            emit(dumps(plain(found), indent=2))
        else:
            show(f"{printable(found.transfer_id)} is {word(STATES, found.state)}: {tally(found)}.")
            if found.detail:
                say(sentence(found))
            if found.action:
                say(f"→ {found.action}", "cyan")
        if found.state == tr.TRANSFER_STATE_FAILED:
            return EXIT_FAILED
        return EXIT_WAITING if found.state in _NOT_YET else EXIT_OK

    run(context, work, interrupted="You stopped waiting; what you asked for goes on.")


async def _get(gateway: Gateway, transfer_id: str) -> tr.Transfer:
    request = tr.GetTransferRequest(transfer_id=transfer_id)
    return (await gateway.ask(gateway.transfers.GetTransfer, request)).transfer


async def _pages(gateway: Gateway, states: list[int], limit: int) -> list[tr.Transfer]:
    """The newest, page by page."""
    found: list[tr.Transfer] = []
    request = tr.ListTransfersRequest(states=states)  # type: ignore[arg-type]  # numbers of the enum
    while True:
        request.page_size = min(_PAGE, limit - len(found))
        answer = await gateway.ask(gateway.transfers.ListTransfers, request)
        found.extend(answer.transfers)
        if not answer.next_page_token or len(found) >= limit:
            return found[:limit]
        request.page_token = answer.next_page_token


def _undecided(transfer: tr.Transfer, shard: int | None, batch: int | None) -> tuple[int, int]:
    """The one batch that is meant. Raises WrongUsageError."""
    if shard is not None and batch is not None:
        return shard, batch
    found = [
        (open_.shard, open_.batch)
        for open_ in transfer.undecided
        if shard in {None, open_.shard} and batch in {None, open_.batch}
    ]
    if len(found) == 1:
        return found[0]
    if not found:
        raise WrongUsageError(f"No batch of {transfer.transfer_id} needs a decision.")
    raise WrongUsageError(
        f"{len(found)} batches need a decision; name one with --shard and --batch. "
        f"`tgfleet transfer show {transfer.transfer_id}` lists them."
    )


def _state(name: str) -> int:
    if name.lower() not in _NAMES:
        raise typer.BadParameter(f"the states are {', '.join(_NAMES)}.", param_hint="--state")
    return _NAMES[name.lower()]
