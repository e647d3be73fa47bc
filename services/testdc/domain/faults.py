"""Misbehaviour on command: which fault applies to whom, and what it does to a call.

A fault is a fact with a scope. Deciding is pure; carrying out (waiting, closing, keeping silent) is the
data centre's business.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from math import ceil
from random import Random

from services.testdc.domain.errors import TelegramError, flood_wait


class FaultKind(Enum):
    """What goes wrong. The first group answers calls with an error, the second troubles the link."""

    RPC_ERROR = "rpc_error"
    """`code` and `error` to matching calls."""
    FLOOD_WAIT = "flood_wait"
    """420 FLOOD_WAIT_X: a wait of `seconds` begins at the first matching call; calls inside get the rest."""
    SESSION_REVOKED = "session_revoked"
    """401 SESSION_REVOKED to every call."""
    AUTH_KEY_UNREGISTERED = "auth_key_unregistered"
    """401 AUTH_KEY_UNREGISTERED to every call that needs a login; help.getConfig still works."""
    BANNED = "banned"
    """401 USER_DEACTIVATED_BAN to every call."""
    FROZEN = "frozen"
    """420 FROZEN_METHOD_INVALID to updates.getState and to all that changes something; reading works."""
    SILENT = "silent"
    """Packets are taken and nothing is answered, pings included."""
    HALF_OPEN = "half_open"
    """Neither reads nor writes; the socket stays open."""
    KEY_UNKNOWN = "key_unknown"
    """Transport error -404 instead of any answer; links that live now get it at once."""
    SLOW = "slow"
    """A call is carried out and answered `delay` seconds late, if the link still lives then."""
    LATE_EFFECT = "late_effect"
    """A call is carried out `delay` seconds late even if the link is gone by then."""
    LOST_ANSWER = "lost_answer"
    """A call is carried out at once and never answered."""
    DROP_BEFORE = "drop_before"
    """The link is closed instead of carrying out a call."""
    DROP_AFTER = "drop_after"
    """The link is closed after carrying out a call, without an answer."""
    DROP_LATE = "drop_late"
    """The link is closed at once, and the call carried out `delay` seconds later."""
    BAD_MSG = "bad_msg"
    """A bad_msg_notification with `code` instead of carrying out a call."""
    BAD_MSG_AFTER = "bad_msg_after"
    """The same after carrying it out: what the client cannot know."""
    WRONG_CLOCK = "wrong_clock"
    """The server's clock, as its message ids show it, is `delay` seconds ahead (negative: behind)."""


_DELAYED = {FaultKind.SLOW, FaultKind.LATE_EFFECT, FaultKind.DROP_LATE}
_LINK_KINDS = {FaultKind.SILENT, FaultKind.HALF_OPEN, FaultKind.KEY_UNKNOWN, FaultKind.WRONG_CLOCK}

_OPEN_METHODS = ("help.", "auth.", "langpack.")
"""What a key without a login may call (https://core.telegram.org/api/errors, AUTH_KEY_UNREGISTERED)."""

_FROZEN_READS = ("get", "search", "resolve", "check")
"""Verbs that a frozen account keeps. That updates.getState is refused too is ours, so that a frozen account
shows at the start; what Telegram refuses exactly is [U]."""


@dataclass(slots=True)
class Fault:
    """One thing that goes wrong, for whom, and how often."""

    kind: FaultKind
    fault_id: int = 0
    user_id: int = 0
    """The account it applies to; 0: any."""
    auth_key_id: str = ""
    """The key it applies to; empty: any."""
    connection_id: int = 0
    """The connection it applies to; 0: any."""
    methods: tuple[str, ...] = ()
    """Methods it applies to, wrappers such as initConnection included; empty: all that make sense."""
    code: int = 0
    error: str = ""
    seconds: int = 0
    delay: float = 0.0
    remaining: int = 0
    """How many more calls it hits; 0: no end."""
    skip: int = 0
    """So many matching calls pass before it hits."""
    share: float = 1.0
    """Chance that it hits a matching call."""
    seed: int = 0
    """Decides which calls those are."""
    asked: int = 0
    """Matching calls that were weighed so far."""
    spent: bool = False
    until: float = 0.0
    """End of a flood wait that has begun, on the caller's clock."""


@dataclass(frozen=True, slots=True)
class Subject:
    """Who sends, as faults tell senders apart."""

    user_id: int
    auth_key_id: str
    connection_id: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done with one call."""

    error: TelegramError | None = None
    wait: int = 0
    """Seconds of the flood wait in `error`."""
    delay: float = 0.0
    late: bool = False
    """With a delay: carry out even without a link."""
    mute: bool = False
    drop_now: bool = False
    """With a delay: close the link at once."""
    drop_before: bool = False
    drop_after: bool = False
    bad_msg: int = 0
    """Code of a bad_msg_notification to answer with; the call is carried out only with `mute`."""


@dataclass
class FaultBook:
    """All faults in force."""

    faults: dict[int, Fault] = field(default_factory=dict)
    _last: int = 0

    def set(self, fault: Fault) -> Fault:
        """Put a fault in force under a new id."""
        self._last += 1
        fault.fault_id = self._last
        self.faults[fault.fault_id] = fault
        return fault

    def clear(self, *, user_id: int = 0, fault_id: int = 0) -> list[Fault]:
        """Lift one fault, those of one account, or all."""
        gone = [
            fault
            for fault in self.faults.values()
            if (not fault_id or fault.fault_id == fault_id) and (not user_id or fault.user_id == user_id)
        ]
        for fault in gone:
            del self.faults[fault.fault_id]
        return gone

    def on_link(self, subject: Subject, kind: FaultKind) -> Fault | None:
        """The fault of a link kind that applies to a sender."""
        if not self.faults:
            return None
        return next((f for f in self.faults.values() if f.kind is kind and _applies(f, subject)), None)

    def applies(self, subject: Subject, kind: FaultKind) -> bool:
        """Whether a fault of this kind is in force for a sender, whatever it calls."""
        return any(f.kind is kind and not f.spent and _applies(f, subject) for f in self.faults.values())

    def on_call(self, subject: Subject, names: tuple[str, ...], now: float) -> Plan:
        """What becomes of a call; `names` are its wrappers and, last, its method. Counts the hit."""
        for fault in list(self.faults.values()):
            if fault.kind in _LINK_KINDS or fault.spent or not _applies(fault, subject):
                continue
            if not _matches(fault, names):
                continue
            if not _hits(fault):
                continue
            plan = _plan(fault, now)
            if plan is None:
                continue
            self._count(fault)
            return plan
        return Plan()

    def _count(self, fault: Fault) -> None:
        if fault.remaining:
            fault.remaining -= 1
            fault.spent = fault.remaining == 0


def _hits(fault: Fault) -> bool:
    """Whether a matching call is one of those that are hit."""
    fault.asked += 1
    if fault.asked <= fault.skip:
        return False
    return fault.share >= 1 or Random(f"{fault.seed} {fault.asked}").random() < fault.share  # noqa: S311


def _applies(fault: Fault, subject: Subject) -> bool:
    return (
        (not fault.user_id or fault.user_id == subject.user_id)
        and (not fault.auth_key_id or fault.auth_key_id == subject.auth_key_id)
        and (not fault.connection_id or fault.connection_id == subject.connection_id)
    )


def _matches(fault: Fault, names: tuple[str, ...]) -> bool:
    if fault.methods:
        return any(name in fault.methods for name in names)
    method = names[-1]
    if fault.kind is FaultKind.AUTH_KEY_UNREGISTERED:
        return not may_call_without_login(method)
    if fault.kind is FaultKind.FROZEN:
        return method == "updates.getState" or not reads_only(method)
    return True


def may_call_without_login(method: str) -> bool:
    """Whether Telegram answers this to a key that nobody has logged in with."""
    return method.startswith(_OPEN_METHODS)


def reads_only(method: str) -> bool:
    """Whether a method changes nothing that matters."""
    room, _, verb = method.partition(".")
    return room in {"help", "updates"} or verb.startswith(_FROZEN_READS) or method == "account.updateStatus"


def _plan(fault: Fault, now: float) -> Plan | None:
    match fault.kind:
        case FaultKind.RPC_ERROR:
            return Plan(error=TelegramError(fault.code, fault.error))
        case FaultKind.FLOOD_WAIT:
            return _flood(fault, now)
        case FaultKind.SESSION_REVOKED:
            return Plan(error=TelegramError(401, "SESSION_REVOKED"))
        case FaultKind.AUTH_KEY_UNREGISTERED:
            return Plan(error=TelegramError(401, "AUTH_KEY_UNREGISTERED"))
        case FaultKind.BANNED:
            return Plan(error=TelegramError(401, "USER_DEACTIVATED_BAN"))
        case FaultKind.FROZEN:
            return Plan(error=TelegramError(420, "FROZEN_METHOD_INVALID"))
        case _:
            return _trouble(fault)


def _trouble(fault: Fault) -> Plan:
    return Plan(
        delay=fault.delay if fault.kind in _DELAYED else 0.0,
        late=fault.kind in {FaultKind.LATE_EFFECT, FaultKind.DROP_LATE},
        drop_now=fault.kind is FaultKind.DROP_LATE,
        mute=fault.kind in {FaultKind.LOST_ANSWER, FaultKind.BAD_MSG_AFTER},
        bad_msg=fault.code if fault.kind in {FaultKind.BAD_MSG, FaultKind.BAD_MSG_AFTER} else 0,
        drop_before=fault.kind is FaultKind.DROP_BEFORE,
        drop_after=fault.kind is FaultKind.DROP_AFTER,
    )


def _flood(fault: Fault, now: float) -> Plan | None:
    """One wait per fault; calls inside it are told what is left, calls after it pass."""
    if not fault.until or fault.until > now + fault.seconds:  # the clock starts anew with the machine
        fault.until = now + fault.seconds
    if now >= fault.until:
        fault.spent = True
        return None
    left = min(max(1, ceil(fault.until - now)), fault.seconds)  # (now + 600) - now may be a little above 600
    return Plan(error=flood_wait(left), wait=left)
