"""The test data centre from a test's side: sample accounts, and what its journal says."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from google.protobuf import duration_pb2

from tgfleet.testdc.v1 import control_pb2, control_pb2_grpc

Control = control_pb2_grpc.ControlServiceStub

FORBIDDEN = {
    control_pb2.VIOLATION_KIND_DUPLICATED,
    control_pb2.VIOLATION_KIND_OVERLAP,
    control_pb2.VIOLATION_KIND_FLOODED,
    control_pb2.VIOLATION_KIND_LOST,
    control_pb2.VIOLATION_KIND_REPEATED,
}
"""What must never happen. STALE_OPEN is counted apart: a frozen process's socket stays open at the server
until the disconnect delay, which T = 2 s, S = 1 s are shorter than on purpose (DESIGN.md section 3)."""


@dataclass(frozen=True)
class Sample:
    """An account of the test data centre with a login."""

    session: str
    telethon: str
    user_id: int
    auth_key: bytes
    auth_key_id: str
    phone: str


@dataclass(frozen=True)
class Verdict:
    """What the judge found in the journal."""

    sentences: list[str]
    stale_open: int
    requests: int


async def new_account(control: Control, *faults: control_pb2.Fault) -> Sample:
    """Make one account with a login."""
    made = (await control.CreateAccount(control_pb2.CreateAccountRequest(faults=faults), timeout=10)).account
    return Sample(
        made.pyrogram_session,
        made.telethon_session,
        made.user_id,
        made.auth_key,
        made.auth_key_id,
        made.phone,
    )


async def new_accounts(
    control: Control, count: int, *, prefix: str = "acc", delay: timedelta | None = None
) -> dict[str, Sample]:
    """`count` accounts named prefix-1, prefix-2, ...; with `delay` their calls are answered that late."""
    faults = []
    if delay is not None:
        late = duration_pb2.Duration()
        late.FromTimedelta(delay)
        faults = [control_pb2.Fault(kind=control_pb2.FAULT_KIND_SLOW, delay=late)]
    return {f"{prefix}-{n}": await new_account(control, *faults) for n in range(1, count + 1)}


async def journal(control: Control) -> list[control_pb2.Record]:
    """The whole journal."""
    records: list[control_pb2.Record] = []
    while True:
        after = records[-1].seq if records else 0
        page = (await control.GetJournal(control_pb2.GetJournalRequest(after_seq=after), timeout=30)).records
        if not page:
            return records
        records += page


async def violations(control: Control) -> Verdict:
    """The judge's word on everything so far."""
    answer = await control.JudgeJournal(control_pb2.JudgeJournalRequest(), timeout=60)
    calls = sum(record.kind == control_pb2.RECORD_KIND_CALL for record in await journal(control))
    return Verdict(
        sentences=[v.sentence for v in answer.violations if v.kind in FORBIDDEN],
        stale_open=sum(v.kind == control_pb2.VIOLATION_KIND_STALE_OPEN for v in answer.violations),
        requests=calls,
    )


async def connected_keys(control: Control) -> set[str]:
    """Auth keys with an open main connection on which Telegram has answered for its user."""
    opened: dict[int, str] = {}
    answered: set[int] = set()
    for record in await journal(control):
        if record.media:
            continue
        if record.kind == control_pb2.RECORD_KIND_KEY_BOUND:
            opened[record.connection_id] = record.auth_key_id
        elif record.kind == control_pb2.RECORD_KIND_CONNECTION_CLOSED:
            opened.pop(record.connection_id, None)
        elif record.outcome == control_pb2.OUTCOME_OK and record.method in (
            "users.getUsers",
            "users.getFullUser",
        ):
            answered.add(record.connection_id)
    return {key for connection, key in opened.items() if connection in answered}
