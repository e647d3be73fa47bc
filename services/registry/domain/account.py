"""An account as the registry keeps it, without its secrets. Pure data; what changes it is in `facts` and the
handlers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple


class SessionLocation(StrEnum):
    """Where the session is kept."""

    NONE = "NONE"
    VAULT = "VAULT"
    WORKER_FILE = "WORKER_FILE"


class Reason(StrEnum):
    """The reasons of protos/tgfleet/gateway/v1/result.proto that the registry itself gives or takes in."""

    UNSPECIFIED = "UNSPECIFIED"
    DISABLED = "DISABLED"
    NEEDS_LOGIN = "NEEDS_LOGIN"
    QUARANTINED = "QUARANTINED"
    SESSION_CONFLICT = "SESSION_CONFLICT"
    FLOOD_WAIT = "FLOOD_WAIT"
    LEASE_HELD = "LEASE_HELD"
    SETTLING = "SETTLING"
    SESSION_MISSING = "SESSION_MISSING"
    SESSION_INVALID = "SESSION_INVALID"
    AUTH_KEY_UNREGISTERED = "AUTH_KEY_UNREGISTERED"
    AUTH_KEY_DUPLICATED = "AUTH_KEY_DUPLICATED"
    SESSION_REVOKED = "SESSION_REVOKED"
    ACCOUNT_BANNED = "ACCOUNT_BANNED"
    ACCOUNT_FROZEN = "ACCOUNT_FROZEN"
    SECRET_UNREADABLE = "SECRET_UNREADABLE"  # noqa: S105 - a reason, not a secret
    INTERNAL = "INTERNAL"


@dataclass(frozen=True, slots=True)
class ChatPolicy:
    """Where a running account with chat on may answer; nothing by default."""

    chat_ids: tuple[int, ...] = ()
    user_ids: tuple[int, ...] = ()
    contacts: bool = False


@dataclass(frozen=True, slots=True)
class TransferPolicy:
    """How much transfers may ask of an account: messages in one of its days (0 for no cap), and the hours of
    its day in which it may send, as in `08:00-22:30` (none for all day)."""

    daily_cap: int = 0
    allowed_hours: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Block:
    """Why an account is set aside. `reason` is NEEDS_LOGIN or QUARANTINED, or UNSPECIFIED when it is not set
    aside; `cause` is the failure that led there, `retry_time` when one try is allowed by itself, `since` when
    it was seen."""

    reason: Reason = Reason.UNSPECIFIED
    cause: Reason = Reason.UNSPECIFIED
    detail: str = ""
    retry_time: datetime | None = None
    since: datetime | None = None

    def forbids_start(self, now: datetime) -> bool:
        """Whether the account must not be started at this time."""
        if self.reason is Reason.UNSPECIFIED:
            return False
        return self.retry_time is None or now < self.retry_time


NOT_BLOCKED = Block()


@dataclass(frozen=True, slots=True)
class FloodWait:
    """A wait that Telegram imposed on a method (`*` for an unknown one), in one chat or (0) in all."""

    method: str
    chat_id: int
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One row. `settle` is the account's own settle time once it was raised, else None. `revision` is the
    accounts' revision of its last change; `update_time` only moves when a person changed it."""

    account_id: str
    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    priority: int = 0
    enabled: bool = True
    user_id: int = 0
    auth_key_id: str = ""
    session_location: SessionLocation = SessionLocation.NONE
    home_worker: str = ""
    session_file: str = ""
    proxy_public: str = ""
    api_id: int = 0
    device_model: str = ""
    time_zone: str = "UTC"
    chat_policy: ChatPolicy = ChatPolicy()
    transfer_policy: TransferPolicy = TransferPolicy()
    wanted_running: bool = False
    wanted_chatting: bool = False
    block: Block = NOT_BLOCKED
    settle: timedelta | None = None
    crash_streak: int = 0
    last_worker_id: str = ""
    create_time: datetime
    update_time: datetime
    revision: int = 0


class Startable(NamedTuple):
    """What of an account decides whether its session is granted, and what goes with the grant; fields as in
    `Account`. A tuple, as a thousand are made for one acquisition."""

    account_id: str
    name: str
    enabled: bool
    user_id: int
    session_location: SessionLocation
    home_worker: str
    session_file: str
    auth_key_id: str
    proxy_public: str
    api_id: int
    device_model: str
    time_zone: str
    chat_policy: ChatPolicy
    block: Block
    settle: timedelta | None


@dataclass(frozen=True, slots=True)
class AccountView:
    """An account with what is counted and timed beside it."""

    account: Account
    flood_waits: tuple[FloodWait, ...] = ()
    received_today: int = 0
    answered_today: int = 0
