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
    """A look's result. `target_ids` by the source's id, for all that were recognised; `gone`: the source's
    ids that are deleted there and were not recognised, which Telegram passes over in silence."""

    finding: Finding
    target_ids: Mapping[int, int] = field(default_factory=dict)
    gone: tuple[int, ...] = ()
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Sought:
    """What is looked for. `numbered`: posts of the source bear its id and theirs in forward headers
    (channels; people's messages in groups name only their author). `sender_ids`: who may have posted it (the
    account, or the channel itself); empty when nobody knows. `taken`: ids of the target known to be something
    else."""

    message_ids: tuple[int, ...]
    source_id: int
    numbered: bool
    copied: bool
    captions_dropped: bool = False
    sender_ids: frozenset[int] = frozenset()
    taken: frozenset[int] = frozenset()


Key = tuple[object, ...]


def judge(sought: Sought, looked: Looked) -> Evidence:
    """What a look proves."""
    traces = {trace.message_id: trace for trace in looked.source}
    keys = _keys(sought, traces)
    wanted = set(keys.values())
    seen = [(trace, _key_of(sought, trace, wanted)) for trace in looked.target if _may_be(sought, trace)]
    hits = [(trace, key) for trace, key in seen if key is not None]
    gone = tuple(one for one in sought.message_ids if one not in traces)
    if not hits:
        return _nothing(sought, looked, gone)
    found = {key for _, key in hits}
    expected = [one for one in sought.message_ids if one in traces or keys.get(one) in found]
    if [key for _, key in hits] != [keys[one] for one in expected]:
        detail = f"{len(hits)} messages look like the {len(sought.message_ids)} of the batch"
        return Evidence(Finding.UNCLEAR, detail=detail)
    if not _same_albums([traces.get(one) for one in expected], [trace for trace, _ in hits]):
        return Evidence(Finding.UNCLEAR, detail="the albums in the target are others")
    ids = [trace.message_id for trace, _ in hits]
    absent = tuple(one for one in gone if one not in expected)
    return Evidence(Finding.ALL, dict(zip(expected, ids, strict=True)), absent)


def _nothing(sought: Sought, looked: Looked, gone: tuple[int, ...]) -> Evidence:
    if not looked.complete:
        return Evidence(Finding.UNCLEAR, detail="there is more in the target than was read")
    if len(gone) == len(sought.message_ids) and not sought.numbered:
        return Evidence(Finding.UNCLEAR, gone=gone, detail="the messages are gone from the source")
    return Evidence(Finding.NONE, gone=gone)


def _keys(sought: Sought, traces: Mapping[int, MessageTrace]) -> dict[int, Key]:
    """By source id, what its message looks like in the target."""
    keys: dict[int, Key] = {}
    for one in sought.message_ids:
        trace = traces.get(one)
        if not sought.copied and trace is not None and trace.forward_message_id:
            keys[one] = ("from", trace.forward_chat_id, trace.forward_message_id)
        elif not sought.copied and sought.numbered and (trace is None or not trace.forward_chat_id):
            keys[one] = ("from", sought.source_id, one)
        elif trace is not None:
            keys[one] = _content(sought, trace)
    return keys


def _key_of(sought: Sought, trace: MessageTrace, wanted: set[Key]) -> Key | None:
    if trace.forward_message_id and not sought.copied:
        header: Key = ("from", trace.forward_chat_id, trace.forward_message_id)
        return header if header in wanted else None
    if sought.copied and trace.forward_chat_id:
        return None
    content = _content(sought, trace)
    return content if content in wanted else None


def _content(sought: Sought, trace: MessageTrace) -> Key:
    text = b"" if sought.captions_dropped and trace.media_id else trace.text_hash
    return ("like", text, trace.media_id)


def _may_be(sought: Sought, trace: MessageTrace) -> bool:
    if trace.message_id in sought.taken:
        return False
    # Not `outgoing`: the account that looks need not be the one that sent.
    return not sought.sender_ids or not trace.sender_id or trace.sender_id in sought.sender_ids


def _same_albums(source: Sequence[MessageTrace | None], found: Sequence[MessageTrace]) -> bool:
    known = [trace for trace in source if trace is not None]
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
