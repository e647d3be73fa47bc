"""What the worker needs from outside, as Protocols. Fakes in `services.worker.fakes` implement the same."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from services.worker.domain.chat_policy import ChatPolicy
from services.worker.domain.facts import Fact
from services.worker.domain.orders import Order
from services.worker.domain.outcomes import Ending
from services.worker.domain.picture import Happening, Picture, SessionFile, SessionReport, Token
from services.worker.domain.telegram import Credentials, IncomingMessage, LinkDown, LinkFacts, Me, Refused
from services.worker.domain.transfer_answers import Inspected, Looked, Sent, SourcePage, TransferAnswer
from services.worker.domain.transfer_orders import (
    Attempt,
    InspectChats,
    LookInTarget,
    ReadSource,
    SendBatch,
)
from services.worker.gate import Gate

MessageHandler = Callable[[IncomingMessage], None]


class Restraint(Protocol):
    """What an account is kept from by Telegram's own words."""

    def check(self, method: str, chat_id: int) -> None:
        """Asked before each API call, with the chat it is for (0 for none). Raises StillWaiting when Telegram
        told the account not to make it now."""
        ...

    def note(self, error: Refused) -> None:
        """A call that the client made by itself was refused."""
        ...


class Unrestrained:
    """An account without waits."""

    def check(self, method: str, chat_id: int) -> None:
        """Never raises."""

    def note(self, error: Refused) -> None:
        """Forgets it."""


class Transfers(Protocol):
    """What one account does for transfers, each within `limit` seconds. All raise what the client raises, and
    NotApplied with a cause when there is nothing to be done (CHAT_NOT_FOUND, BAD_MATCH)."""

    async def inspect(self, work: InspectChats, limit: float) -> Inspected:
        """Looks at both chats; errors about a chat are told in its facts."""
        ...

    async def read(self, work: ReadSource, limit: float) -> SourcePage:
        """Reads one page."""
        ...

    async def send(self, work: SendBatch, limit: float, attempt: Attempt) -> Sent:
        """One transmission, or none. `attempt.transmitted` is set while the whole request may have left;
        whenever this ends without Telegram's own word (LinkDown, Fenced, cancelled) the connection is closed
        before, and nothing of the request leaves any more. Refused and NotApplied are Telegram's own
        words."""
        ...

    async def look(self, work: LookInTarget, limit: float) -> Looked:
        """Reads the target above an id, and the batch in the source."""
        ...


class TelegramClient(Protocol):
    """One account's client under one grant. `connect` may be called again after the link ended; what was
    learned of peers is kept in between. Every method that sends raises Fenced once the gate is shut, LinkDown
    when the link is not there or does not answer in time, Refused when Telegram answers with an error,
    StillWaiting instead of making an API call that the restraint forbids."""

    async def connect(self, limit: float) -> Me:
        """Makes a link and asks Telegram who this is, within `limit` seconds. Raises as above."""
        ...

    async def ping(self, limit: float) -> None:
        """Asks for a sign of life."""
        ...

    async def probe(self, limit: float) -> None:
        """Makes an API call that changes nothing."""
        ...

    async def recover(self, limit: float, chat_ids: Iterable[int] = ()) -> None:
        """Asks for the private messages that were missed while there was no link, and for those in channels
        and supergroups of these ids."""
        ...

    async def reply(self, message: IncomingMessage, text: str, limit: float) -> int:
        """Answers a message and returns the answer's id once Telegram confirmed it. Never sends twice: after
        LinkDown it is unknown whether it was sent."""
        ...

    @property
    def transfers(self) -> Transfers:
        """The same account, at work for transfers."""
        ...

    def facts(self) -> LinkFacts:
        """What the link looks like now."""
        ...

    async def ended(self) -> LinkDown:
        """Waits until the link has ended by itself, and says why."""
        ...

    async def close(self) -> None:
        """Closes all sockets in good order and ends every call in flight. Bounded and idempotent."""
        ...


class TelegramClients(Protocol):
    """Makes clients."""

    def make(
        self, credentials: Credentials, gate: Gate, on_message: MessageHandler, restraint: Restraint
    ) -> TelegramClient:
        """A client that has no link yet. Raises LinkDown for a proxy that cannot be read."""
        ...


@dataclass(frozen=True, slots=True)
class Wanted:
    """A session to acquire; `auth_key_id` only for session files. `assignment` is the scheduler's signed word
    that this worker may."""

    account_id: str
    auth_key_id: str = ""
    assignment: bytes = b""


@dataclass(frozen=True, slots=True)
class Grant:
    """A session to use."""

    token: Token
    lease_id: int
    auth_key_id: str
    credentials: Credentials | None
    """None for a session file on this worker."""
    user_id: int
    name: str
    time_zone: str
    chat_policy: ChatPolicy
    waits: tuple["KnownWait", ...] = ()
    api_id: int = 0
    device_model: str = ""
    proxy: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class KnownWait:
    """A flood wait that still runs. `chat_id` 0 for all chats, `method` `*` when it is not known."""

    method: str
    chat_id: int
    until: datetime


@dataclass(frozen=True, slots=True)
class Held:
    """An etcd lease that this process has."""

    lease_id: int
    sessions: int
    settle: float


@dataclass(frozen=True, slots=True)
class NewLease:
    """An etcd lease that an acquisition made; seconds."""

    lease_id: int
    ttl: float
    settle: float


@dataclass(frozen=True, slots=True)
class Acquired:
    """The answer to one acquisition: one result for each wanted session, in order, and the leases it made."""

    results: tuple[Grant | Ending, ...]
    leases: tuple[NewLease, ...]


@dataclass(frozen=True, slots=True)
class Release:
    """A session given back."""

    account_id: str
    auth_key_id: str
    token: Token
    clean: bool


class Registry(Protocol):
    """The registry, any of several. All raise TgfleetError."""

    async def acquire(
        self, request_id: str, wanted: Sequence[Wanted], held: Sequence[Held], limit: float
    ) -> Acquired:
        """Up to 1,000 sessions; repeating a request_id gives the same grants."""
        ...

    async def renew(self, lease_ids: Sequence[int], limit: float) -> dict[int, bool]:
        """Whether each lease is still held; extended if so."""
        ...

    async def release(self, releases: Sequence[Release], limit: float) -> list[bool]:
        """Whether each release freed the session (or set it to settle)."""
        ...

    async def report_facts(self, facts: Sequence[Fact], limit: float) -> None:
        """Hands over facts; returning means that they are on disk."""
        ...


class Attachment(Protocol):
    """One stream to the leading scheduler."""

    def orders(self) -> AsyncIterator[Order]:
        """What the scheduler says, in order. Ends or raises TgfleetError with the stream."""
        ...

    async def heartbeat(self, sequence: int, sessions: int) -> None:
        """Raises TgfleetError when the stream is gone, as do the others."""
        ...

    async def send_reports(self, reports: Sequence[SessionReport]) -> None:
        """State changes."""
        ...

    async def send_happenings(self, happenings: Sequence[Happening]) -> None:
        """Things to show to people."""
        ...

    async def send_answers(self, answers: Sequence[TransferAnswer]) -> None:
        """What became of transfer orders."""
        ...

    async def send_files(self, files: Sequence[SessionFile]) -> None:
        """The full list of session files."""
        ...


STUCK = "STREAM_STUCK"
"""The reason of the Unavailable that says: the connection seems to be there, and nothing goes through."""


class Dispatcher(Protocol):
    """The way to the leading scheduler."""

    async def attach(self, picture: Picture, serve: Callable[[Attachment], Awaitable[None]]) -> None:
        """Opens a stream, says hello with the picture, and serves it until `serve` returns. Raises
        TgfleetError; after one with the reason STUCK the next attempt makes a connection of its own."""
        ...


class SessionFiles(Protocol):
    """The folder of session files."""

    async def scan(self) -> list[SessionFile]:
        """All of them, with key id and user id only; no file is locked, written or kept open."""
        ...

    async def read(self, file_name: str) -> Credentials:
        """One file's session; only after a grant. Raises SessionFileError."""
        ...


class SessionFileError(Exception):
    """A session file that is not there (`missing`) or cannot be used; the text is a sentence."""

    def __init__(self, sentence: str, *, missing: bool = False) -> None:
        super().__init__(sentence)
        self.missing = missing
