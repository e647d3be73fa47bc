"""`tgfleet workers`: list, drain, undrain."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from services.admin.client import Gateway
from services.admin.failures import EXIT_OK, EXIT_WAITING
from services.admin.fleet_report import result_row
from services.admin.humanise import WORKER_STATES, count, moment, word
from services.admin.options import AsJson, read_duration
from services.admin.plain_json import dumps, plain
from services.admin.running import run
from services.admin.screen import cell, emit, output, say, show, table
from tgfleet.gateway.v1 import fleet_pb2

app = typer.Typer()

Worker = Annotated[str, typer.Argument(metavar="WORKER", help="The worker's name.")]
_PAGE = 1000
_SLACK = 10.0
_STYLES = {fleet_pb2.WORKER_STATE_CONNECTED: "green", fleet_pb2.WORKER_STATE_DRAINING: "yellow"}


@app.command("list")
def list_workers(
    context: typer.Context,
    files: Annotated[bool, typer.Option("--files", help="Show the session files that they hold.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show the workers that are or were connected."""

    async def work(gateway: Gateway) -> int:
        workers = await _all_workers(gateway)
        if as_json:
            emit(dumps([plain(worker) for worker in workers], indent=2))
        elif files:
            _show_files(workers)
        else:
            _show_workers(workers)
        return EXIT_OK

    run(context, work)


@app.command("drain")
def drain(
    context: typer.Context,
    worker: Worker,
    timeout: Annotated[
        timedelta,
        typer.Option(
            "--timeout",
            metavar="DURATION",
            parser=read_duration,
            show_default="60s",
            help="How long to wait until it is empty.",
        ),
    ] = timedelta(seconds=60),
    as_json: AsJson = False,
) -> None:
    """Move all accounts off a worker, so that it can be stopped."""

    async def work(gateway: Gateway) -> int:
        request = fleet_pb2.DrainWorkerRequest(worker_id=worker)
        request.timeout.FromTimedelta(timeout)
        answer = await gateway.ask(
            gateway.fleet.DrainWorker,
            request,
            seconds=timeout.total_seconds() + _SLACK,
        )
        if as_json:
            emit(dumps(plain(answer), indent=2))
        else:
            _show_drained(worker, answer)
        return EXIT_WAITING if answer.remaining else EXIT_OK

    run(
        context,
        work,
        interrupted="You stopped watching; the drain goes on. `tgfleet workers undrain` ends it.",
    )


@app.command("undrain")
def undrain(context: typer.Context, worker: Worker) -> None:
    """Let a worker take accounts again."""

    async def work(gateway: Gateway) -> int:
        request = fleet_pb2.DrainWorkerRequest(worker_id=worker, undo=True)
        await gateway.ask(gateway.fleet.DrainWorker, request)
        show(f"{worker} takes accounts again.")
        return EXIT_OK

    run(context, work)


async def _all_workers(gateway: Gateway) -> list[fleet_pb2.Worker]:
    request = fleet_pb2.ListWorkersRequest(page_size=_PAGE)
    workers: list[fleet_pb2.Worker] = []
    while True:
        answer = await gateway.ask(gateway.fleet.ListWorkers, request)
        workers += answer.workers
        if not answer.next_page_token:
            return workers
        request.page_token = answer.next_page_token


def _show_workers(workers: list[fleet_pb2.Worker]) -> None:
    if not workers:
        show("No worker was ever connected.")
        return
    now = datetime.now(UTC)
    rows = table("Worker", "State", "Sessions", "Last heard of", "Session files", right=("Sessions",))
    for worker in workers:
        unused = sum(1 for file in worker.files if not file.account_id)
        files = count(len(worker.files), "file") if worker.files else ""
        rows.add_row(
            cell(worker.worker_id, "bold"),
            cell(word(WORKER_STATES, worker.state), _STYLES.get(worker.state, "red")),
            f"{worker.sessions:,} / {worker.capacity:,}",
            cell(moment(worker.last_seen_time, now) if worker.HasField("last_seen_time") else ""),
            cell(f"{files}, {unused} unused" if unused else files),
        )
    show(rows)


def _show_files(workers: list[fleet_pb2.Worker]) -> None:
    rows = table("Worker", "File", "User", "Auth key", "Account or problem")
    for worker in workers:
        for file in worker.files:
            remark = file.problem or file.account_id or "not imported"
            rows.add_row(
                cell(worker.worker_id, "bold"),
                cell(file.file_name),
                cell(str(file.user_id or "")),
                cell(file.auth_key_id),
                cell(remark, "red" if file.problem else "" if file.account_id else "yellow"),
            )
    if rows.row_count:
        show(rows)
        say("→ Import one: tgfleet accounts import --worker WORKER --file FILE", "cyan")
    else:
        show("No worker holds a session file.")


def _show_drained(worker: str, answer: fleet_pb2.DrainWorkerResponse) -> None:
    show(f"{count(answer.moved, 'account')} left {worker}.")
    if not answer.remaining:
        show("It is empty and can be stopped.")
        return
    show(f"{count(len(answer.remaining), 'account')} still on it:")
    console = output()
    for result in answer.remaining:
        console.print(result_row(result, min(console.width, 120)))
