"""`tgfleet audit`: who changed what, the newest first."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated

import typer

from services.admin.client import Gateway
from services.admin.failures import EXIT_OK
from services.admin.humanise import ROLES, moment, word
from services.admin.options import AsJson
from services.admin.plain_json import dumps, plain
from services.admin.running import run
from services.admin.screen import cell, emit, show, table
from tgfleet.gateway.v1 import audit_pb2

app = typer.Typer()

_PAGE = 1000
_OUTCOMES = {
    audit_pb2.AUDIT_OUTCOME_DONE: ("done", "green"),
    audit_pb2.AUDIT_OUTCOME_REFUSED: ("refused", "red"),
    audit_pb2.AUDIT_OUTCOME_FAILED: ("failed", "yellow"),
}


@app.command("audit")
def audit(
    context: typer.Context,
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many entries, the newest first.")] = 50,
    everything: Annotated[bool, typer.Option("--all", help="All entries that are kept.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show who called what that may change something, from where, and how it ended. For administrators."""

    async def work(gateway: Gateway) -> int:
        entries = _entries(gateway, None if everything else limit)
        if as_json:
            async for entry in entries:
                emit(dumps(plain(entry)))
            return EXIT_OK
        now, rows = datetime.now(UTC), table("When", "Who", "From", "What", "About", "Outcome")
        async for entry in entries:
            name, style = _OUTCOMES.get(entry.outcome, ("", ""))
            role = word(ROLES, entry.role)
            rows.add_row(
                cell(moment(entry.time, now)),
                cell(f"{entry.token_name} ({role})" if entry.token_name else "no valid token"),
                cell(entry.peer),
                cell(entry.method, "bold"),
                cell(", ".join(entry.targets)),
                cell(" ".join(filter(None, (name, entry.reason, entry.detail))), style),
            )
        show(rows if rows.row_count else "Nobody has changed anything yet.")
        return EXIT_OK

    run(context, work)


async def _entries(gateway: Gateway, limit: int | None) -> AsyncIterator[audit_pb2.AuditEntry]:
    request = audit_pb2.ListAuditEntriesRequest()
    while limit is None or limit > 0:
        request.page_size = _PAGE if limit is None else min(limit, _PAGE)
        answer = await gateway.ask(gateway.audit.ListAuditEntries, request)
        for entry in answer.entries:
            yield entry
        if not answer.next_page_token:
            return
        request.page_token = answer.next_page_token
        limit = None if limit is None else limit - len(answer.entries)
