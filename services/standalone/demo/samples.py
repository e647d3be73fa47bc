"""The sample accounts: one for each thing that can happen to an account at its start. Pure data.

What is expected of each is written down here once; the tour compares the fleet's word and the test data
centre's journal with it.
"""

from dataclasses import dataclass, field
from enum import Enum

from tgfleet.gateway.v1 import result_pb2
from tgfleet.testdc.v1 import control_pb2


class Source(Enum):
    """What an account is imported from."""

    PYROGRAM = "a Pyrogram session string"
    TELETHON = "a Telethon session string"
    NONE = "no session"
    GARBAGE_FILE = "a file on worker-1 that is no session"
    MISSING_FILE = "a file that is not on worker-1"


class Trace(Enum):
    """What the data centre's journal must show of the account's key once StartAll is over."""

    ANSWERED = "answered for the user"
    UNTOUCHED = "never saw the key"
    REFUSED = "answered with an error"
    SILENT = "took the calls and kept silent"


HOME = "worker-1"
NOBODY = "worker-9"
"""The name of a worker that is never there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One account, what is the matter with it, and what must come of it."""

    name: str
    story: str
    outcome: int = result_pb2.OUTCOME_FAILED
    reason: int = result_pb2.REASON_UNSPECIFIED
    source: Source = Source.PYROGRAM
    trace: Trace = Trace.REFUSED
    error: str = ""
    """Name of the error that the journal shows; a prefix will do."""
    password: str = ""
    faults: tuple[control_pb2.Fault, ...] = field(default=())
    disabled: bool = False
    home_worker: str = ""
    shared: bool = False
    """Whether another program uses the session, too."""

    @property
    def runs(self) -> bool:
        """Whether it is expected to run after StartAll."""
        return self.outcome == result_pb2.OUTCOME_STARTED


def _fine(name: str, story: str, **more: object) -> Sample:
    return Sample(name=name, story=story, outcome=result_pb2.OUTCOME_STARTED, trace=Trace.ANSWERED, **more)  # type: ignore[arg-type]


def _fault(kind: control_pb2.FaultKind.ValueType, **more: object) -> tuple[control_pb2.Fault, ...]:
    return (control_pb2.Fault(kind=kind, **more),)  # type: ignore[arg-type]


FLOOD_SECONDS = 300
_SLOW = control_pb2.Fault(kind=control_pb2.FAULT_KIND_SLOW)
_SLOW.delay.FromMilliseconds(500)
"""Stretches the start of the shared account, so that the other program's next call falls into it."""

SAMPLES: tuple[Sample, ...] = (
    _fine("alice", "a good session; answers chats"),
    _fine("boris", "a good session, imported from Telethon", source=Source.TELETHON),
    _fine("carla", "a good session"),
    _fine("dmitri", "a good session with two-step verification", password="correct horse"),  # noqa: S106 - nobody's
    Sample(
        name="elena",
        story="disabled by the operator",
        outcome=result_pb2.OUTCOME_SKIPPED,
        reason=result_pb2.REASON_DISABLED,
        trace=Trace.UNTOUCHED,
        disabled=True,
    ),
    Sample(
        name="farid",
        story="has no login yet",
        outcome=result_pb2.OUTCOME_SKIPPED,
        reason=result_pb2.REASON_NEEDS_LOGIN,
        source=Source.NONE,
        trace=Trace.UNTOUCHED,
    ),
    Sample(
        name="greta",
        story=f"its session file on {HOME} is no session",
        reason=result_pb2.REASON_SESSION_INVALID,
        source=Source.GARBAGE_FILE,
        trace=Trace.UNTOUCHED,
    ),
    Sample(
        name="henri",
        story="logged out from another device",
        reason=result_pb2.REASON_SESSION_REVOKED,
        error="SESSION_REVOKED",
        faults=_fault(control_pb2.FAULT_KIND_SESSION_REVOKED),
    ),
    Sample(
        name="irina",
        story=f"its session file is not on {HOME}",
        reason=result_pb2.REASON_SESSION_MISSING,
        source=Source.MISSING_FILE,
        trace=Trace.UNTOUCHED,
    ),
    Sample(
        name="jonas",
        story=f"must run on {NOBODY}, which is offline",
        outcome=result_pb2.OUTCOME_WAITING,
        reason=result_pb2.REASON_HOME_WORKER_OFFLINE,
        trace=Trace.UNTOUCHED,
        home_worker=NOBODY,
    ),
    Sample(
        name="kirsten",
        story="its session is in use by another program",
        reason=result_pb2.REASON_AUTH_KEY_DUPLICATED,
        error="AUTH_KEY_DUPLICATED",
        faults=(_SLOW,),
        shared=True,
    ),
    Sample(
        name="luis",
        story="Telegram makes it wait before it may connect",
        outcome=result_pb2.OUTCOME_WAITING,
        reason=result_pb2.REASON_FLOOD_WAIT,
        error="FLOOD_WAIT",
        faults=_fault(control_pb2.FAULT_KIND_FLOOD_WAIT, seconds=FLOOD_SECONDS),
    ),
    Sample(
        name="mona",
        story="banned",
        reason=result_pb2.REASON_ACCOUNT_BANNED,
        error="USER_DEACTIVATED_BAN",
        faults=_fault(control_pb2.FAULT_KIND_BANNED),
    ),
    Sample(
        name="nils",
        story="frozen",
        reason=result_pb2.REASON_ACCOUNT_FROZEN,
        error="FROZEN_METHOD_INVALID",
        faults=_fault(control_pb2.FAULT_KIND_FROZEN),
    ),
    Sample(
        name="olga",
        story="its data centre keeps silent",
        reason=result_pb2.REASON_CONNECT_TIMEOUT,
        trace=Trace.SILENT,
        faults=_fault(control_pb2.FAULT_KIND_SILENT),
    ),
)

GUEST = "Guest"
"""A virtual person who writes to the first sample."""
QUESTION, ANSWER = "ping", "pong"
"""What the guest says, and what the chat rules make of it."""
