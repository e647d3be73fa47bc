"""What became of the orders of a transfer. Mirrors `tgfleet.worker.v1.TransferAnswer`; of messages only what
can be compared travels, never their text."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class ChatFacts:
    """What an account sees of a chat; the fields are explained in the contract."""

    chat_id: int = 0
    kind: str = ""
    title: str = ""
    can_read: bool = False
    can_post: bool = False
    protected: bool = False
    slow_mode_seconds: int = 0
    top_message_id: int = 0
    migrated_to_chat_id: int = 0
    error: str = ""


@dataclass(frozen=True, slots=True)
class Inspected:
    """Both chats, and the ends of the range; 0 when it is empty."""

    source: ChatFacts
    target: ChatFacts
    first_id: int
    last_id: int


class Skip(StrEnum):
    """Why a message of the source is passed over."""

    SERVICE = "SERVICE"
    MEDIA = "MEDIA"
    NO_MATCH = "NO_MATCH"


@dataclass(frozen=True, slots=True)
class SourceMessage:
    """One message of the source; `skip` None when it is to be moved."""

    message_id: int
    grouped_id: int = 0
    skip: Skip | None = None


@dataclass(frozen=True, slots=True)
class SourcePage:
    """Upwards by id; ids between that are missing are deleted. Every id up to `looked_through_id` was looked
    at."""

    messages: tuple[SourceMessage, ...]
    looked_through_id: int
    end: bool
    migrated_to_chat_id: int = 0


@dataclass(frozen=True, slots=True)
class Sent:
    """The target's id for each of the source's; 0 where Telegram's answer named none."""

    message_ids: tuple[int, ...]
    target_ids: tuple[int, ...]
    migrated_to_chat_id: int = 0


@dataclass(frozen=True, slots=True)
class MessageTrace:
    """What can be compared of a message; the fields are explained in the contract."""

    message_id: int
    time: datetime
    sender_id: int
    outgoing: bool
    forward_chat_id: int
    forward_message_id: int
    text_hash: bytes
    media_id: int
    grouped_id: int


@dataclass(frozen=True, slots=True)
class Looked:
    """What was found; `complete`: all messages above the asked id are among `target`."""

    target: tuple[MessageTrace, ...]
    source: tuple[MessageTrace, ...]
    complete: bool


@dataclass(frozen=True, slots=True)
class OrderRefused:
    """Telegram answered the one transmission with an error; `seconds` is the number in it, or 0."""

    code: int
    name: str
    seconds: int
    method: str


@dataclass(frozen=True, slots=True)
class OrderUnknown:
    """It may have taken effect. The call was cancelled and its connection is closed."""

    cause: str


class NotDoneCause(StrEnum):
    """Why nothing was done. A link's cause (`LinkCause`) may stand there as well."""

    NOT_RUNNING = "NOT_RUNNING"
    STOPPING = "STOPPING"
    FENCED = "FENCED"
    LINK_DOWN = "LINK_DOWN"
    FLOOD_WAIT = "FLOOD_WAIT"
    CHAT_NOT_FOUND = "CHAT_NOT_FOUND"
    CANCELLED = "CANCELLED"
    EXPIRED = "EXPIRED"
    """Its limit had passed before it was its turn."""
    TIMEOUT = "TIMEOUT"
    """Of a reading, or of a call on the way to a transmission: it was not answered in time."""
    SERVER_ERROR = "SERVER_ERROR"
    """Telegram's own fault, in a call on the way to the transmission, which was not made."""
    BAD_SALT = "BAD_SALT"
    WRONG_CLOCK = "WRONG_CLOCK"
    """Telegram refused the packet unread; the client is put right (after WRONG_CLOCK on a new link), so it
    may be tried at once."""
    BAD_MATCH = "BAD_MATCH"
    BAD_ORDER = "BAD_ORDER"


@dataclass(frozen=True, slots=True)
class OrderNotDone:
    """Nothing was done, or nothing that has an effect."""

    cause: str
    retry_time: datetime | None = None


Answer = Inspected | SourcePage | Sent | Looked | OrderRefused | OrderUnknown | OrderNotDone


@dataclass(frozen=True, slots=True)
class TransferAnswer:
    """What became of one order."""

    order_id: str
    account_id: str
    answer: Answer


class NotApplied(Exception):  # noqa: N818 - what became of a call, not what went wrong with code
    """Telegram said that it did not take the packet in, or the call cannot be made; nothing was done."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


class StillWaiting(Exception):  # noqa: N818 - as above
    """The call would fall into a wait that Telegram imposed, so it was not made; `remaining` in seconds."""

    def __init__(self, method: str, chat_id: int, remaining: float) -> None:
        super().__init__(f"{method} has to wait {remaining:.0f} s more")
        self.method = method
        self.chat_id = chat_id
        self.remaining = remaining
