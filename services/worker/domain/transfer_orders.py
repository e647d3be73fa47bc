"""What the scheduler asks an account to do for a transfer: look at two chats, read a page, make one
transmission, look for traces. Mirrors `tgfleet.worker.v1.TransferOrder`; knows no library and no wire."""

from dataclasses import dataclass
from datetime import datetime

from services.worker.domain.picture import Token


@dataclass(frozen=True, slots=True)
class ChatReference:
    """A chat: Telegram's marked id once it is known (0 before), and what the operator wrote."""

    query: str
    chat_id: int = 0


@dataclass(frozen=True, slots=True)
class IdRange:
    """Both ends included."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class DateRange:
    """`since` included, `until` excluded; None for the beginning and for now."""

    since: datetime | None
    until: datetime | None


@dataclass(frozen=True, slots=True)
class Newest:
    """The newest messages, this many ids that exist."""

    count: int


Range = IdRange | DateRange | Newest


@dataclass(frozen=True, slots=True)
class InspectChats:
    """Find both chats and see what the account can do in them. `range` None for everything there is."""

    source: ChatReference
    target: ChatReference
    topic_id: int = 0
    range: Range | None = None


@dataclass(frozen=True, slots=True)
class ReadSource:
    """Read one page upwards: ids above `after_id`, up to `through_id` (0: all). `media` holds the contract's
    names of kinds without their prefix; `min_age` in seconds."""

    source: ChatReference
    after_id: int
    through_id: int = 0
    limit: int = 100
    media: frozenset[str] = frozenset()
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
    """Look for traces of a batch in the target, by reading only; at most `limit` messages from above
    `above_id` upwards."""

    source: ChatReference
    target: ChatReference
    message_ids: tuple[int, ...]
    above_id: int
    topic_id: int = 0
    limit: int = 1000


Work = InspectChats | ReadSource | SendBatch | LookInTarget | None
"""None: a kind that this worker does not know."""


@dataclass(frozen=True, slots=True)
class TransferOrder:
    """One thing to do; `limit` in seconds from its arrival."""

    order_id: str
    account_id: str
    token: Token
    limit: float
    work: Work


@dataclass(frozen=True, slots=True)
class TransferOrders:
    """A message of the scheduler: what to do, which answers are on disk there, what to give up."""

    orders: tuple[TransferOrder, ...] = ()
    acknowledged: tuple[str, ...] = ()
    cancelled: tuple[str, ...] = ()


@dataclass(slots=True)
class Attempt:
    """The one transmission of a send, as its client marks it while it is under way."""

    transmitted: bool = False
    """The whole request may have left. Not set: it surely did not, and will not."""
