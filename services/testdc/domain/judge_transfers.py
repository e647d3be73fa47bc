"""Reads off two chats and the journal whether messages were moved from one to the other exactly once.

For people who watch (the demo); it knows nothing of who moved them. Every message here remembers, invisibly
to clients, which message it was made of.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from services.testdc.domain.journal import Record, RecordKind
from services.testdc.domain.message import Message
from services.testdc.domain.peer import Peer


@dataclass(frozen=True, slots=True)
class TransferVerdict:
    """Numbers in the source, by what went wrong with them; all empty when nothing did."""

    due: int
    """Messages that the source holds in the range, service messages left out."""
    arrived: int
    lost: tuple[int, ...]
    repeated: tuple[int, ...]
    disordered: tuple[int, ...]
    """Came after a later one."""
    torn: tuple[int, ...]
    """First parts of albums that do not stand as one."""


def judge_transfer(
    source: Peer,
    origin: Iterable[Message],
    target: Peer,
    stored: Iterable[Message],
    records: Iterable[Record],
) -> TransferVerdict:
    """Compare what the source holds in a range with what came of it in the target."""
    due = {message.message_id: message for message in origin if not message.service}
    arrived = [m for m in stored if m.source_chat == str(source) and m.source_id in due]
    there = Counter(message.source_id for message in arrived)
    noted: Counter[int] = Counter()
    for record in records:
        if record.kind is RecordKind.MESSAGE and (record.chat, record.source_chat) == (
            str(target),
            str(source),
        ):
            noted.update(record.source_ids)
    return TransferVerdict(
        due=len(due),
        arrived=len(there),
        lost=tuple(i for i in due if not there[i]),
        repeated=tuple(i for i, count in (there | noted).items() if count > 1),
        disordered=tuple(b.source_id for a, b in pairwise(arrived) if b.source_id < a.source_id),
        torn=tuple(_torn(due, arrived)),
    )


def _torn(due: dict[int, Message], arrived: Sequence[Message]) -> Iterable[int]:
    """Albums whose parts stand apart, or in albums of their own."""
    groups: dict[int, set[int]] = {}
    firsts: dict[int, int] = {}
    for message in arrived:
        album = due[message.source_id].grouped_id
        if album:
            groups.setdefault(album, set()).add(message.grouped_id)
            firsts.setdefault(album, message.source_id)
    return (firsts[album] for album, found in groups.items() if len(found) > 1)
