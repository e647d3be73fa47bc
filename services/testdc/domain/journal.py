"""The record of what reached the data centre: connections, calls, messages, keys.

The judge reads nothing else, so a record says what was seen, never what was meant. Message texts are
kept as a digest: login codes and private words have no business in a file.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, fields
from enum import Enum
from hashlib import sha256
from itertools import islice
from typing import Any


class RecordKind(Enum):
    """What a record tells."""

    CONNECTION_OPENED = "connection_opened"
    KEY_BOUND = "key_bound"
    """A connection showed its auth key for the first time."""
    CONNECTION_CLOSED = "connection_closed"
    CALL = "call"
    """A request arrived: an API method, or a ping (`service`)."""
    ANSWER = "answer"
    """The outcome of a call that was not decided at once; `call_seq` names its CALL record."""
    MESSAGE = "message"
    """A message was stored."""
    KEY_CREATED = "key_created"
    KEY_DIED = "key_died"
    FAULT_SET = "fault_set"
    FAULTS_CLEARED = "faults_cleared"


class Outcome(Enum):
    """What became of a call."""

    NONE = ""
    OK = "ok"
    ERROR = "error"
    """An rpc_error; code and name are in the record."""
    FLOOD_WAIT = "flood_wait"
    """An rpc_error that hands out a wait; `wait` tells its length."""
    PENDING = "pending"
    """Not decided yet: slow or late; an ANSWER record follows."""
    NO_ANSWER = "no_answer"
    """Received and deliberately not answered; whether it took effect is in `effect`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One line of the journal. Fields that do not apply are empty or zero."""

    seq: int = 0
    """Counts from 1 without gaps."""
    time: float = 0.0
    """Monotonic seconds."""
    wall_time: float = 0.0
    """Unix seconds."""
    kind: RecordKind
    connection_id: int = 0
    peer: str = ""
    """The client's address and port: what tells processes apart."""
    media: bool = False
    auth_key_id: str = ""
    """16 hex digits."""
    user_id: int = 0
    method: str = ""
    """Innermost method, as users.getFullUser."""
    wrappers: tuple[str, ...] = ()
    """Methods around it, outermost first, as invokeWithLayer."""
    service: bool = False
    """A ping, or a packet `rejected` for its salt or clock: proves use of the key, but is no API call."""
    outcome: Outcome = Outcome.NONE
    effect: bool = False
    """Whether a call was carried out."""
    code: int = 0
    error: str = ""
    wait: int = 0
    """Seconds of the flood wait that this answer handed out."""
    call_seq: int = 0
    chat: str = ""
    """Kind and id of a message's chat, as channel:1900000001."""
    message_id: int = 0
    message_uid: int = 0
    """The same for all copies of one message."""
    random_id: int = 0
    text_digest: str = ""
    call_id: int = 0
    """The msg_id that the client gave its call; the same when a library sends a call once more."""
    source_chat: str = ""
    """The chat that a call forwards from, or that a message was forwarded or copied from."""
    source_ids: tuple[int, ...] = ()
    """What a call asks to forward, all of it; of a message its one number in the source."""
    random_ids: tuple[int, ...] = ()
    target_chat: str = ""
    """The chat that a call forwards to."""
    target_ids: tuple[int, ...] = ()
    """What a call made, one for each source id, 0 for those that were passed over."""
    drop_author: bool = False
    """A call asks for copies."""
    topic_id: int = 0
    """The topic that a call forwards to."""
    wait_until: float = 0.0
    """End of the wait that was handed out, in Unix seconds."""
    inside_wait: float = 0.0
    """Seconds that were left of a wait handed out before, when the call came; 0 outside of waits."""
    detail: str = ""

    def as_json(self) -> dict[str, Any]:
        """Plain values, without the empty ones."""
        plain = ((name, getattr(self, name)) for name in _NAMES)
        bare = ((name, value.value if isinstance(value, Enum) else value) for name, value in plain)
        return {name: value for name, value in bare if value or name in _ALWAYS}


_NAMES = tuple(field.name for field in fields(Record))
_ALWAYS = {"seq", "time"}


class Journal:
    """Append-only memory of records, oldest dropped beyond a limit."""

    def __init__(self, limit: int) -> None:
        self._records: deque[Record] = deque(maxlen=limit)
        self._last = 0

    def append(self, record: Record) -> None:
        """Take in a record whose seq is `next_seq`."""
        self._last = record.seq
        self._records.append(record)

    @property
    def next_seq(self) -> int:
        """The number of the next record."""
        return self._last + 1

    def since(self, seq: int, limit: int = 0) -> list[Record]:
        """Records with a number above `seq`, oldest first, at most `limit` of them (0: all)."""
        count = len(self._records)
        start = min(max(seq - self._last + count, 0), count)
        if start > count // 2:  # a watcher wants the newest few, and a deque is slow in its middle
            newest = list(islice(reversed(self._records), count - start))[::-1]
            return newest[: limit or None]
        return list(islice(self._records, start, start + limit if limit else None))


def digest(text: str) -> str:
    """Recognises a text again without telling it."""
    return sha256(text.encode()).hexdigest()[:16]
