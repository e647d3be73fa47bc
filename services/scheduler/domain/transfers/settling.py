"""Evidence: whether a batch of unknown outcome is in the target, from traces of messages alone. Pure; whoever
asks decides what follows.

All of it once and in order: sent. Nothing at all, with nothing unread: not sent. Anything else is no
evidence: never guess (DESIGN section 6).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from services.scheduler.domain.transfers.orders import Looked, MessageTrace


class Finding(Enum):
    """What a look says of a batch."""

    ALL = 1
    NONE = 2
    UNCLEAR = 3


@dataclass(frozen=True, slots=True)
class Evidence:
    """A look's result. `target_ids` by the source's id, for all that were recognised."""

    finding: Finding
    target_ids: Mapping[int, int] = field(default_factory=dict)
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Sought:
    """What is looked for. `sender_ids`: who may have posted it (the account, or the channel itself); empty
    when nobody knows. `numbered`: the source's ids appear in forward headers (channels)."""

    message_ids: tuple[int, ...]
    source_id: int
    copied: bool
    captions_dropped: bool
    sender_ids: frozenset[int] = frozenset()
    taken: frozenset[int] = frozenset()  # of the target, known to be something else


Key = tuple[object, ...]


def judge(sought: Sought, looked: Looked) -> Evidence:
    """What a look proves."""
    keys = _keys(sought, looked)
    wanted = set(keys.values())
    seen = [(trace, _key_of(sought, trace, wanted)) for trace in looked.target if _may_be(sought, trace)]
    hits = [(trace, key) for trace, key in seen if key is not None]
    unreadable = [one for one in sought.message_ids if one not in keys]
    if not hits:
        if not looked.complete:
            return Evidence(Finding.UNCLEAR, detail="there is more in the target than was read")
        if len(unreadable) == len(sought.message_ids):
            return Evidence(Finding.UNCLEAR, detail="the messages are gone from the source")
        return Evidence(Finding.NONE)
    in_order = [keys[one] for one in sought.message_ids if one in keys]
    if unreadable or [key for _, key in hits] != in_order:
        return Evidence(
            Finding.UNCLEAR, detail=f"{len(hits)} of {len(sought.message_ids)} messages look like it"
        )
    if not _same_albums(sought, looked.source, [trace for trace, _ in hits]):
        return Evidence(Finding.UNCLEAR, detail="the albums in the target are others")
    ids = [trace.message_id for trace, _ in hits]
    return Evidence(Finding.ALL, dict(zip(sought.message_ids, ids, strict=True)))


def _keys(sought: Sought, looked: Looked) -> dict[int, Key]:
    """By source id, what its message looks like in the target."""
    keys: dict[int, Key] = {}
    numbered = _numbered(sought, looked.target)
    traces = {trace.message_id: trace for trace in looked.source}
    for one in sought.message_ids:
        trace = traces.get(one)
        if numbered and trace is not None and trace.forward_message_id:
            keys[one] = ("from", trace.forward_chat_id, trace.forward_message_id)
        elif numbered and (trace is None or not trace.forward_chat_id):
            keys[one] = ("from", sought.source_id, one)
        elif trace is not None:
            keys[one] = _content(sought, trace)
    return keys


def _numbered(sought: Sought, target: Sequence[MessageTrace]) -> bool:
    """Whether forward headers in this target name the source's ids. Telegram leaves them out for people's
    messages in groups; then content decides as with copies."""
    if sought.copied:
        return False
    wanted = set(sought.message_ids)
    return not any(
        trace.forward_chat_id and not trace.forward_message_id and _may_be(sought, trace) for trace in target
    ) or any(
        trace.forward_chat_id == sought.source_id and trace.forward_message_id in wanted for trace in target
    )


def _key_of(sought: Sought, trace: MessageTrace, wanted: set[Key]) -> Key | None:
    header: Key = ("from", trace.forward_chat_id, trace.forward_message_id)
    if header in wanted:
        return header
    if sought.copied and trace.forward_chat_id:
        return None
    if not sought.copied and not trace.forward_chat_id:
        return None
    content = _content(sought, trace)
    return content if content in wanted else None


def _content(sought: Sought, trace: MessageTrace) -> Key:
    text = b"" if sought.captions_dropped and trace.media_id else trace.text_hash
    return ("like", text, trace.media_id)


def _may_be(sought: Sought, trace: MessageTrace) -> bool:
    if trace.message_id in sought.taken:
        return False
    return (
        not sought.sender_ids or not trace.sender_id or trace.sender_id in sought.sender_ids or trace.outgoing
    )


def _same_albums(sought: Sought, source: Sequence[MessageTrace], found: Sequence[MessageTrace]) -> bool:
    traces = {trace.message_id: trace for trace in source}
    known = [traces[one] for one in sought.message_ids if one in traces]
    return len(known) < len(found) or _shape(known) == _shape(found)


def _shape(traces: Sequence[MessageTrace]) -> list[int]:
    """Albums by their order of appearance; 0 for none, and for one of a single part."""
    sizes = Counter(trace.grouped_id for trace in traces)
    numbers: dict[int, int] = {}
    return [
        numbers.setdefault(trace.grouped_id, len(numbers) + 1)
        if trace.grouped_id and sizes[trace.grouped_id] > 1
        else 0
        for trace in traces
    ]
