"""What a worker is asked to do for a transfer, and what it answers: the words of `worker/v1/transfer.proto`,
without protobuf. Knows nothing of shards or of who asks.

Durations are seconds, times of day seconds since 1970; 0 means none.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from services.scheduler.domain.model import Token


@dataclass(frozen=True, slots=True)
class ChatReference:
    """A chat: `query` as the operator wrote it, `chat_id` Telegram's marked id once it is known (else 0)."""

    query: str
    chat_id: int = 0


@dataclass(frozen=True, slots=True)
class InspectChats:
    """Find both chats and resolve a range of the source. `range_kind` is "", "ids", "dates" or "last", as in
    TransferSpec."""

    source: ChatReference
    target: ChatReference
    topic_id: int = 0
    range_kind: str = ""
    range_first: int = 0
    range_last: int = 0
    range_since: float = 0.0
    range_until: float = 0.0


@dataclass(frozen=True, slots=True)
class ReadSource:
    """Read one page upwards: ids above `after_id`, up to `through_id` (0 for all)."""

    source: ChatReference
    after_id: int
    through_id: int
    limit: int
    media: tuple[str, ...] = ()
    match: str = ""
    min_age: float = 0.0


@dataclass(frozen=True, slots=True)
class SendBatch:
    """Make exactly one transmission of messages.forwardMessages, or none."""

    source: ChatReference
    target: ChatReference
    message_ids: tuple[int, ...]
    random_ids: tuple[int, ...]
    drop_author: bool = False
    drop_captions: bool = False
    silent: bool = False
    topic_id: int = 0


@dataclass(frozen=True, slots=True)
class LookInTarget:
    """Look for traces of a batch above `above_id`, by reading only."""

    source: ChatReference
    target: ChatReference
    message_ids: tuple[int, ...]
    above_id: int
    limit: int
    topic_id: int = 0


Work = InspectChats | ReadSource | SendBatch | LookInTarget


@dataclass(frozen=True, slots=True)
class Order:
    """One thing to do by one account, within `limit` seconds of its arrival. `token` is the grant under which
    the account is believed to run; under another one the worker answers NotDone."""

    order_id: str
    account_id: str
    token: Token | None
    limit: float
    work: Work


@dataclass(frozen=True, slots=True)
class ChatFacts:
    """What an account sees of a chat; `error` is Telegram's when it could not be found or read."""

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
    """Both chats, and the range (0 when it is empty)."""

    source: ChatFacts
    target: ChatFacts
    first_id: int = 0
    last_id: int = 0


@dataclass(frozen=True, slots=True)
class SourceMessage:
    """One message of the source; `skip` says why it is passed over (`SERVICE`, `MEDIA`, `NO_MATCH`). The
    filters' word on a part of an album counts only when it is the word on every part."""

    message_id: int
    grouped_id: int = 0
    skip: str = ""


@dataclass(frozen=True, slots=True)
class SourcePage:
    """A page, upwards by id: every id up to `looked_through_id` was looked at; ids between that are missing
    are deleted. `end`: nothing is left above."""

    messages: Sequence[SourceMessage]
    looked_through_id: int
    end: bool = False
    migrated_to_chat_id: int = 0


@dataclass(frozen=True, slots=True)
class Sent:
    """Telegram's answer: the target's id for each of the source's ids, 0 where it named none."""

    message_ids: tuple[int, ...]
    target_ids: tuple[int, ...]
    migrated_to_chat_id: int = 0


@dataclass(frozen=True, slots=True)
class MessageTrace:
    """What can be compared of a message without its text travelling (MessageTrace of the contract)."""

    message_id: int
    time: float = 0.0
    sender_id: int = 0
    outgoing: bool = False
    forward_chat_id: int = 0
    forward_message_id: int = 0
    text_hash: bytes = b""
    media_id: int = 0
    grouped_id: int = 0


@dataclass(frozen=True, slots=True)
class Looked:
    """What was found: the target's messages above the given id, and the source's of the batch (deleted ones
    are missing). `complete`: all of the target's are among them."""

    target: Sequence[MessageTrace]
    source: Sequence[MessageTrace]
    complete: bool


@dataclass(frozen=True, slots=True)
class OrderRefused:
    """Telegram answered the one transmission with an error; `seconds` is the number in it."""

    code: int
    name: str
    seconds: int = 0
    method: str = ""


@dataclass(frozen=True, slots=True)
class OrderUnknown:
    """It may have taken effect, nobody knows; the connection is closed, nothing leaves any more."""

    cause: str


@dataclass(frozen=True, slots=True)
class OrderNotDone:
    """Nothing of it left that process. `retry` is when it is worth trying again."""

    cause: str
    retry: float = 0.0


Answer = Inspected | SourcePage | Sent | Looked | OrderRefused | OrderUnknown | OrderNotDone


@dataclass(frozen=True, slots=True)
class OrderAnswer:
    """What became of one order."""

    order_id: str
    account_id: str
    answer: Answer
