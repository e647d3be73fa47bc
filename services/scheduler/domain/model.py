"""The words in which the scheduler thinks. Knows neither protobuf nor SQL nor a clock.

The enums bear the names of their protobuf twins (tgfleet.gateway.v1), so that `wire` can translate by name.
Times of day are seconds since 1970 (`float`), points on the process's own clock are called `now`; 0.0 means
"none".
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple


class Outcome(Enum):
    """What became of one account in a fleet call (DESIGN section 4)."""

    STARTED = 1
    ALREADY_RUNNING = 2
    STOPPED = 3
    ALREADY_STOPPED = 4
    CHAT_STARTED = 5
    ALREADY_CHATTING = 6
    CHAT_STOPPED = 7
    NOT_CHATTING = 8
    NOT_RUNNING = 9
    SKIPPED = 10
    WAITING = 11
    FAILED = 12


class Reason(Enum):
    """Why an account was skipped, waits or failed."""

    UNSPECIFIED = 0
    DISABLED = 1
    NEEDS_LOGIN = 2
    QUARANTINED = 3
    SESSION_CONFLICT = 4
    FLOOD_WAIT = 5
    LEASE_HELD = 6
    SETTLING = 7
    HOME_WORKER_OFFLINE = 8
    NO_WORKER_CAPACITY = 9
    STILL_STARTING = 10
    SESSION_MISSING = 11
    SESSION_INVALID = 12
    AUTH_KEY_UNREGISTERED = 13
    AUTH_KEY_DUPLICATED = 14
    SESSION_REVOKED = 15
    ACCOUNT_BANNED = 16
    ACCOUNT_FROZEN = 17
    CONNECT_TIMEOUT = 18
    PROXY_ERROR = 19
    WORKER_LOST = 20
    SECRET_UNREADABLE = 21
    INTERNAL = 22


class SessionState(Enum):
    """What a worker says that a session does."""

    UNSPECIFIED = 0
    STARTING = 1
    RUNNING = 2
    RECONNECTING = 3
    STOPPING = 4
    STOPPED = 5
    FAILED = 6


UP_STATES = (
    SessionState.RUNNING,
    SessionState.STARTING,
    SessionState.RECONNECTING,
    SessionState.STOPPING,
)
"""States in which a worker has, or is about to have or to close, a client for the session. A tuple: looking
through four members by identity is faster than hashing an enum member, and this is asked for every report."""


class Location(Enum):
    """Where an account's session is kept."""

    NONE = 1
    VAULT = 2
    WORKER_FILE = 3


class CallKind(Enum):
    """The four fleet calls."""

    START_ALL = 1
    STOP_ALL = 2
    START_CHAT = 3
    STOP_CHAT = 4


class Token(NamedTuple):
    """Proof of one acquisition; of two, the greater is the newer (DESIGN section 3)."""

    generation: int
    revision: int


class Flood(NamedTuple):
    """A wait that Telegram imposed: API method (`*` when unknown), chat (0 for all), end (time of day)."""

    method: str
    chat_id: int
    until: float


class Config(NamedTuple):
    """What a running session follows besides its session: sent to its worker whenever it changes."""

    name: str = ""
    chat_ids: tuple[int, ...] = ()
    user_ids: tuple[int, ...] = ()
    contacts: bool = False
    time_zone: str = ""


NO_CONFIG = Config()


@dataclass(slots=True)
class AccountSpec:
    """An account as the registry tells it: everything that is wanted, nothing that is observed."""

    account_id: str
    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    priority: int = 0
    enabled: bool = True
    user_id: int = 0
    auth_key_id: str = ""
    location: Location = Location.VAULT
    home_worker: str = ""
    session_file: str = ""
    proxy: str = ""
    api_id: int = 0
    wanted_running: bool = False
    wanted_chatting: bool = False
    block_reason: Reason = Reason.UNSPECIFIED
    block_detail: str = ""
    block_retry: float = 0.0
    floods: tuple[Flood, ...] = ()
    config: Config = NO_CONFIG
    received_today: int = 0
    answered_today: int = 0
    daily_cap: int = 0
    allowed_hours: tuple[str, ...] = ()
    last_worker: str = ""
    crash_streak: int = 0

    def start_identity(self) -> tuple[object, ...]:
        """What decides whether a start can work; a change of it ends a rest after permanent failures."""
        return (
            self.enabled,
            self.auth_key_id,
            self.location,
            self.home_worker,
            self.session_file,
            self.proxy,
            self.api_id,
            self.block_reason,
        )


@dataclass(slots=True)
class Verdict:
    """Why an account does not run, or how its start ended, as a person and a program can read it."""

    outcome: Outcome
    reason: Reason = Reason.UNSPECIFIED
    detail: str = ""
    action: str = ""
    retry: float = 0.0
    worker_id: str = ""


@dataclass(slots=True)
class Report:
    """A worker's word on one session. `token` is None while nothing was granted."""

    account_id: str
    state: SessionState
    token: Token | None = None
    command_id: str = ""
    outcome: Outcome | None = None
    reason: Reason = Reason.UNSPECIFIED
    detail: str = ""
    retry: float = 0.0
    chatting: bool = False
    state_time: float = 0.0
    user_id: int = 0
    released: bool = False


@dataclass(frozen=True, slots=True)
class AnnouncedFile:
    """A session file on a worker. `problem` says why it cannot be used."""

    file_name: str
    auth_key_id: str = ""
    user_id: int = 0
    problem: str = ""


@dataclass(slots=True)
class KnownWorker:
    """A worker that earlier leaders knew. `lost` when it had been given up, so that nobody waits for it."""

    worker_id: str
    incarnation: str
    capacity: int
    last_seen: float
    lost: bool


@dataclass(slots=True)
class CallResult:
    """The one result of an account in a fleet call. `elapsed` in seconds since the call arrived."""

    account_id: str
    name: str
    verdict: Verdict
    elapsed: float


@dataclass(frozen=True, slots=True)
class Rules:
    """The figures the core decides with; seconds unless said otherwise. Defaults as in DESIGN sections
    3-5."""

    lease_ttl: float = 30.0
    lease_settle: float = 30.0
    heartbeat: float = 10.0
    silent_heartbeats: int = 3
    start_rate: float = 50.0  # starts a second over the whole fleet; 0 means no limit
    start_burst: int = 100
    backoff_base: float = 1.0
    backoff_cap: float = 300.0
    retry_limit: int = 20
    crash_window: float = 600.0
    keep_finished_calls: float = 60.0
    fleet_users_delay: float = 0.5
    max_per_command: int = 500
    first_slice: int = 128  # accounts of a large call that are decided at once
    next_slices: int = 2500
