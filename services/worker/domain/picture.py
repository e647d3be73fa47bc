"""What the worker tells the scheduler: reports on sessions, its files, and things that happened, for people
to see."""

from dataclasses import dataclass, field
from datetime import datetime

from services.worker.domain.outcomes import Outcome, Reason
from services.worker.domain.states import SessionState


@dataclass(frozen=True, slots=True, order=True)
class Token:
    """Proof of one acquisition."""

    generation: int
    revision: int


@dataclass(frozen=True, slots=True)
class SessionReport:
    """How one session stands."""

    account_id: str
    state: SessionState
    state_time: datetime
    command_id: str = ""
    token: Token | None = None
    outcome: Outcome | None = None
    reason: Reason = Reason.UNSPECIFIED
    detail: str = ""
    retry_time: datetime | None = None
    chatting: bool = False
    user_id: int = 0
    released: bool = False


@dataclass(frozen=True, slots=True)
class SessionFile:
    """A session file as it is announced."""

    file_name: str
    auth_key_id: str = ""
    user_id: int = 0
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Picture:
    """Everything, for the hello of a new stream."""

    sessions: tuple[SessionReport, ...]
    files: tuple[SessionFile, ...]
    draining: bool
    order_ids: tuple[str, ...] = ()
    """Transfer orders that are being carried out."""


@dataclass(frozen=True, slots=True)
class SessionChanged:
    """A session's new state."""

    state: SessionState
    reason: Reason


@dataclass(frozen=True, slots=True)
class MessageReceived:
    """A message in a chat that the account may answer."""

    chat_id: int
    message_id: int
    sender_id: int
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class MessageAnswered:
    """An answer that Telegram confirmed."""

    chat_id: int
    message_id: int
    reply_to_message_id: int
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Waiting:
    """A wait that Telegram imposed. `chat_id` 0 for all chats."""

    method: str
    chat_id: int
    until: datetime


@dataclass(frozen=True, slots=True)
class Disconnected:
    """A link that ended; seconds. `downtime` is None while it is still down."""

    cause: str
    uptime: float
    downtime: float | None
    reconnected: bool


Kind = SessionChanged | MessageReceived | MessageAnswered | Waiting | Disconnected


@dataclass(frozen=True, slots=True)
class Happening:
    """An event for WatchEvents. `detail` is a sentence without message text."""

    time: datetime
    account_id: str
    name: str
    detail: str
    kind: Kind
