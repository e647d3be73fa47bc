"""The part of the contract's outcomes and reasons that a worker reports. Names equal those of
`tgfleet.gateway.v1.Outcome` and `Reason` without their prefix; `wire.py` translates."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Outcome(StrEnum):
    """What became of a start."""

    SKIPPED = "SKIPPED"
    WAITING = "WAITING"
    FAILED = "FAILED"


class Reason(StrEnum):
    """Why."""

    UNSPECIFIED = "UNSPECIFIED"
    DISABLED = "DISABLED"
    NEEDS_LOGIN = "NEEDS_LOGIN"
    QUARANTINED = "QUARANTINED"
    SESSION_CONFLICT = "SESSION_CONFLICT"
    FLOOD_WAIT = "FLOOD_WAIT"
    LEASE_HELD = "LEASE_HELD"
    SETTLING = "SETTLING"
    HOME_WORKER_OFFLINE = "HOME_WORKER_OFFLINE"
    NO_WORKER_CAPACITY = "NO_WORKER_CAPACITY"
    STILL_STARTING = "STILL_STARTING"
    SESSION_MISSING = "SESSION_MISSING"
    SESSION_INVALID = "SESSION_INVALID"
    AUTH_KEY_UNREGISTERED = "AUTH_KEY_UNREGISTERED"
    AUTH_KEY_DUPLICATED = "AUTH_KEY_DUPLICATED"
    SESSION_REVOKED = "SESSION_REVOKED"
    ACCOUNT_BANNED = "ACCOUNT_BANNED"
    ACCOUNT_FROZEN = "ACCOUNT_FROZEN"
    CONNECT_TIMEOUT = "CONNECT_TIMEOUT"
    PROXY_ERROR = "PROXY_ERROR"
    WORKER_LOST = "WORKER_LOST"
    SECRET_UNREADABLE = "SECRET_UNREADABLE"  # noqa: S105 - the name of a reason
    INTERNAL = "INTERNAL"


@dataclass(frozen=True, slots=True)
class Ending:
    """How a session ended, or why it never started."""

    outcome: Outcome
    reason: Reason
    detail: str
    """A sentence for a person."""
    retry_time: datetime | None = None
