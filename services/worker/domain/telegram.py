"""What the worker knows of Telegram without knowing any client library: credentials, messages, how links end.

The adapter translates its library's errors into `Refused`, `LinkDown` and `Fenced`; everything above works
with these. Secrets are kept out of `repr`, so that a log line of one of these objects shows none.
"""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

SERVICE_USER_ID = 777000
"""Telegram's own account. Its messages hold login codes and reach no responder, event, log or history (DESIGN
5)."""


class LinkCause(StrEnum):
    """Why a link ended or never came up; the text is `Disconnected.cause` in the contract."""

    LINK_CLOSED = "LINK_CLOSED"
    PING_TIMEOUT = "PING_TIMEOUT"
    PROBE_FAILED = "PROBE_FAILED"
    DEAF = "DEAF"
    TRANSPORT_404 = "TRANSPORT_404"
    TRANSPORT_429 = "TRANSPORT_429"
    TRANSPORT_ERROR = "TRANSPORT_ERROR"
    BAD_PACKET = "BAD_PACKET"
    DIAL_FAILED = "DIAL_FAILED"
    PROXY_FAILED = "PROXY_FAILED"
    NO_ANSWER = "NO_ANSWER"
    NOT_ALLOWED = "NOT_ALLOWED"
    REFUSED = "REFUSED"
    FENCED = "FENCED"
    ABORTED = "ABORTED"
    BAD_MESSAGE = "BAD_MESSAGE"
    STOPPED = "STOPPED"


class LinkDown(Exception):  # noqa: N818 - what the link is, not what went wrong with code
    """The link is not there (any more); whether a call under way took effect is unknown."""

    def __init__(self, cause: LinkCause, detail: str = "") -> None:
        super().__init__(f"{cause}: {detail}" if detail else str(cause))
        self.cause = cause
        self.detail = detail


class Refused(Exception):  # noqa: N818 - what Telegram did
    """Telegram answered a call with an error. `name` is as Telegram writes it, without its number
    (`FLOOD_WAIT_X`), `seconds` that number where there is one, `method` as in `messages.sendMessage`."""

    def __init__(self, code: int, name: str, method: str, seconds: int | None = None) -> None:
        super().__init__(f"{code} {name} ({method})")
        self.code = code
        self.name = name
        self.method = method
        self.seconds = seconds


class Fenced(Exception):  # noqa: N818 - what the session is
    """The session may not be used any more. Not an OSError on purpose: the client library answers an OSError
    at dial or write with another attempt, without pause (TELEGRAM.md section 3, hazard 14); this one ends
    it."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a client needs to go on with a login."""

    dc_id: int
    auth_key: bytes = field(repr=False)
    test_mode: bool
    user_id: int
    """0 when nobody knows yet."""
    api_id: int
    """0 for the fleet's own."""
    device_model: str = ""
    proxy: str = field(default="", repr=False)
    """URL with user and password; "" for none."""


@dataclass(frozen=True, slots=True)
class Me:
    """Telegram's answer to who this session is."""

    user_id: int


class ChatKind(StrEnum):
    """What a message was written in."""

    PRIVATE = "PRIVATE"
    GROUP = "GROUP"
    CHANNEL = "CHANNEL"


@dataclass(frozen=True, slots=True)
class IncomingMessage:
    """A new message that somebody else wrote. `chat_id` and `sender_id` are Telegram's marked ids."""

    chat_id: int
    chat_kind: ChatKind
    message_id: int
    sender_id: int
    sender_is_bot: bool
    sender_is_contact: bool
    sent_at: datetime
    text: str = field(repr=False)
    first_name: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class LinkFacts:
    """What a client's link looks like now, as the client itself shows it."""

    started: bool
    receiving: bool
    """Whether the receive loop is alive."""
    answered_ago: float | None
    """Seconds since Telegram last answered a call or ping; None when it never did."""
    calls_in_flight: int
    open_sockets: int
    cut: bool = False
    """Whether the connection was reset from this side: the other one may not have noticed."""
