"""start-all, stop-all, start-chat, stop-chat and resume-starts."""

import uuid
from collections.abc import Callable
from contextlib import aclosing
from datetime import timedelta
from typing import Annotated, Any

import typer

from services.admin.client import Gateway
from services.admin.failures import EXIT_FAILED, EXIT_OK, EXIT_WAITING
from services.admin.fleet_report import make_report
from services.admin.options import AsJson, Labels, Names, read_duration, read_labels
from services.admin.running import run
from services.admin.screen import complain, emit, show
from services.runtime.errors import TgfleetError, Unavailable
from tgfleet.gateway.v1 import fleet_pb2, result_pb2

app = typer.Typer()

RequestId = Annotated[
    str, typer.Option("--request-id", metavar="TEXT", help="Join the running call that has this id.")
]
Timeout = Annotated[
    timedelta,
    typer.Option(
        "--timeout",
        metavar="DURATION",
        parser=read_duration,
        show_default="60s",
        help="How long to watch, such as 90s.",
    ),
]
WaitFor = Annotated[
    timedelta,
    typer.Option(
        "--wait-for",
        metavar="DURATION",
        parser=read_duration,
        show_default=False,
        help="How long an account that has to wait is waited for, such as 30s.",
    ),
]
_DEFAULT_TIMEOUT = timedelta(seconds=60)
_NOT_YET = (result_pb2.OUTCOME_WAITING, result_pb2.OUTCOME_NOT_RUNNING)


@app.command("start-all")
def start_all(
    context: typer.Context,
    names: Names = None,
    label: Labels = None,
    wait_for: WaitFor = timedelta(seconds=0),
    timeout: Timeout = _DEFAULT_TIMEOUT,
    request_id: RequestId = "",
    as_json: AsJson = False,
) -> None:
    """Start accounts and keep them running."""
    request = fleet_pb2.StartAllRequest(**_selection(names, label, request_id))
    request.wait_for.FromTimedelta(wait_for)
    _fleet_call(context, lambda g: g.fleet.StartAll, request, timeout + wait_for, as_json=as_json)


@app.command("stop-all")
def stop_all(
    context: typer.Context,
    names: Names = None,
    label: Labels = None,
    timeout: Timeout = _DEFAULT_TIMEOUT,
    request_id: RequestId = "",
    as_json: AsJson = False,
) -> None:
    """Stop accounts; whether they chat is remembered for the next start."""
    request = fleet_pb2.StopAllRequest(**_selection(names, label, request_id))
    _fleet_call(context, lambda g: g.fleet.StopAll, request, timeout, as_json=as_json)


@app.command("start-chat")
def start_chat(
    context: typer.Context,
    names: Names = None,
    label: Labels = None,
    timeout: Timeout = _DEFAULT_TIMEOUT,
    request_id: RequestId = "",
    as_json: AsJson = False,
) -> None:
    """Let running accounts answer chats; starts no account."""
    request = fleet_pb2.StartChatRequest(**_selection(names, label, request_id))
    _fleet_call(context, lambda g: g.fleet.StartChat, request, timeout, as_json=as_json)


@app.command("stop-chat")
def stop_chat(
    context: typer.Context,
    names: Names = None,
    label: Labels = None,
    timeout: Timeout = _DEFAULT_TIMEOUT,
    request_id: RequestId = "",
    as_json: AsJson = False,
) -> None:
    """Stop answering chats; the accounts go on running."""
    request = fleet_pb2.StopChatRequest(**_selection(names, label, request_id))
    _fleet_call(context, lambda g: g.fleet.StopChat, request, timeout, as_json=as_json)


@app.command("resume-starts")
def resume_starts(context: typer.Context, as_json: AsJson = False) -> None:
    """Let accounts start again after all starts were stopped."""

    async def work(gateway: Gateway) -> int:
        reply = await gateway.ask(gateway.fleet.ResumeStarts, fleet_pb2.ResumeStartsRequest())
        if as_json:
            emit('{"were_stopped": %s}' % ("true" if reply.were_stopped else "false"))
        else:
            show("Accounts may start again." if reply.were_stopped else "Starts were not stopped.")
        return EXIT_OK

    run(context, work)


def _selection(names: list[str] | None, label: list[str] | None, request_id: str) -> dict[str, Any]:
    labels = read_labels(label)
    if names and labels:
        raise typer.BadParameter("name accounts or choose them by label, not both.")
    return {
        "account_ids": names or [],
        "match_labels": labels,
        "request_id": request_id or uuid.uuid4().hex,
    }


def _fleet_call(
    context: typer.Context,
    method: Callable[[Gateway], Any],
    request: Any,
    timeout: timedelta,
    *,
    as_json: bool,
) -> None:
    seen: set[int] = set()

    async def work(gateway: Gateway) -> int:
        with make_report(as_json=as_json) as report:
            stream = gateway.stream(method(gateway), request, seconds=timeout.total_seconds())
            try:
                async with aclosing(stream) as messages:
                    async for message in messages:
                        seen.update(result.outcome for result in message.results)
                        report.results(message.results)
                        if message.HasField("summary"):
                            report.summary(message.summary)
                            return _exit_code(seen)
                raise Unavailable("The gateway ended the call without a summary.", reason="CALL_CUT")
            except TgfleetError:
                if not report.shown:
                    raise
        complain(
            f"The connection was lost after {report.shown:,} results; what was started goes on.",
            f"See `tgfleet status`, or watch again with --request-id {request.request_id}",
        )
        return EXIT_FAILED

    run(
        context,
        work,
        interrupted="You stopped watching; what you asked for goes on. `tgfleet status` shows it.",
    )


def _exit_code(outcomes: set[int]) -> int:
    """DESIGN section 10: any FAILED, then some WAITING or NOT_RUNNING, then all well or skipped."""
    if result_pb2.OUTCOME_FAILED in outcomes:
        return EXIT_FAILED
    return EXIT_WAITING if outcomes.intersection(_NOT_YET) else EXIT_OK
