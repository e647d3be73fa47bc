"""`tgfleet keys`: which master key seals how much, and sealing everything with the first one again."""

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from services.admin.client import Gateway
from services.admin.failures import EXIT_FAILED, EXIT_OK
from services.admin.humanise import count
from services.admin.options import AsJson
from services.admin.plain_json import dumps, plain
from services.admin.running import run
from services.admin.screen import cell, complain, emit, say, show, table
from tgfleet.gateway.v1 import key_pb2

app = typer.Typer()


@app.command("list")
def list_keys(context: typer.Context, as_json: AsJson = False) -> None:
    """Show how many secrets each master key seals. A key with none can be taken out of the key file."""

    async def work(gateway: Gateway) -> int:
        answer = await gateway.ask(gateway.keys.ListKeys, key_pb2.ListKeysRequest())
        if as_json:
            emit(dumps([plain(key) for key in answer.keys], indent=2))
            return EXIT_OK
        rows = table("Key", "Secrets", "", right=("Secrets",))
        for key in answer.keys:
            rows.add_row(cell(key.key_id, "bold"), f"{key.secrets:,}", cell(*_remark(key)))
        show(rows)
        return EXIT_OK

    run(context, work)


@app.command("rotate")
def rotate(context: typer.Context, as_json: AsJson = False) -> None:
    """Seal every secret with the first key of the key file again, while everything goes on."""

    async def work(gateway: Gateway) -> int:
        last = key_pb2.RotateKeysResponse()
        terminal = Console(stderr=True)
        with Progress(
            TextColumn("Sealing again"),
            BarColumn(),
            MofNCompleteColumn(),
            console=terminal,
            disable=not terminal.is_terminal,
            transient=True,
        ) as bar:
            task = bar.add_task("", total=None)
            stream = gateway.stream(gateway.keys.RotateKeys, key_pb2.RotateKeysRequest(), seconds=None)
            async for message in stream:
                last = message
                looked_at = last.resealed + last.unreadable
                bar.update(task, completed=looked_at, total=looked_at + last.remaining)
        return _tell(last, as_json)

    run(
        context,
        work,
        interrupted="Stopped. What was sealed again stays so; `tgfleet keys rotate` goes on with the rest.",
    )


def _remark(key: key_pb2.MasterKey) -> tuple[str, str]:
    if not key.present:
        return "not in the key file: these secrets cannot be read", "red"
    if key.active:
        return "seals new secrets", "green"
    return ("`tgfleet keys rotate` frees it", "yellow") if key.secrets else ("can be taken out", "")


def _tell(last: key_pb2.RotateKeysResponse, as_json: bool) -> int:
    if as_json:
        emit(dumps(plain(last), indent=2))
    else:
        show(f"{count(last.resealed, 'secret')} sealed again with {last.key_id}.")
    if not last.done:
        complain("The rotation ended early.", "Run `tgfleet keys rotate` again: it goes on with the rest.")
        return EXIT_FAILED
    if last.unreadable:
        shown = ", ".join(last.unreadable_account_ids)
        complain(
            f"{count(last.unreadable, 'secret')} could not be opened, of {shown}.",
            "Put their key back into the key file, or import those sessions again.",
        )
        return EXIT_FAILED
    if not as_json:
        say("Keys that seal nothing can be taken out of the key file: `tgfleet keys list`.")
    return EXIT_OK
