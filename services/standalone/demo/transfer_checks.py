"""Whether a transfer moved everything once, whole and in order, read off the test data centre alone. Pure.

Knows nothing of what the fleet says of the transfer: only the source as the data centre has it, and its
journal."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tgfleet.testdc.v1 import control_pb2

FORWARD = "messages.forwardMessages"
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Moved:
    """What the data centre saw."""

    lost: tuple[int, ...]
    """Ids of the source that never came."""
    repeated: tuple[int, ...]
    """Those that came more than once."""
    in_order: bool
    torn_albums: int
    albums: int
    arrived: int
    calls: int
    told_to_wait: dict[int, int]
    """Users that were told to wait, and for how many seconds at most."""
    inside_waits: int
    """Calls made inside a wait."""


def moved(
    source: Sequence[control_pb2.Message],
    records: Iterable[control_pb2.Record],
    source_chat: str,
    target_chat: str,
) -> Moved:
    """What became of the source's messages in the target."""
    kept = list(records)
    stored = [
        record
        for record in kept
        if record.kind == control_pb2.RECORD_KIND_MESSAGE
        and (record.chat, record.source_chat) == (target_chat, source_chat)
    ]
    stored.sort(key=lambda record: record.message_id)
    came = [record.source_ids[0] for record in stored]
    counts = Counter(came)
    calls = [
        record
        for record in kept
        if record.kind == control_pb2.RECORD_KIND_CALL and record.method == FORWARD and not record.service
    ]
    albums = _albums(source)
    return Moved(
        lost=tuple(m.message_id for m in source if not m.service and m.message_id not in counts),
        repeated=tuple(number for number, times in counts.items() if times > 1),
        in_order=came == sorted(came),
        torn_albums=sum(not _together(album, came) for album in albums),
        albums=len(albums),
        arrived=len(came),
        calls=len(calls),
        told_to_wait=_waits(kept),
        inside_waits=sum(record.inside_wait > 0 for record in calls),
    )


def faults(found: Moved, floods_wanted: int) -> list[str]:
    """What is wrong with it, as sentences; none when all is well."""
    said = []
    if found.lost:
        said.append(f"messages were lost ({len(found.lost):,}): {_some(found.lost)}")
    if found.repeated:
        said.append(f"messages came more than once ({len(found.repeated):,}): {_some(found.repeated)}")
    if not found.in_order:
        said.append("the source's order was not kept")
    if found.torn_albums:
        said.append(f"albums were torn apart: {found.torn_albums}")
    if found.inside_waits:
        said.append(f"calls were made inside a wait: {found.inside_waits}")
    if len(found.told_to_wait) < floods_wanted:
        said.append(f"accounts that were told to wait: {len(found.told_to_wait)} instead of {floods_wanted}")
    return said


def _albums(source: Sequence[control_pb2.Message]) -> list[list[int]]:
    parts: dict[int, list[int]] = defaultdict(list)
    for message in source:
        if message.grouped_id:
            parts[message.grouped_id].append(message.message_id)
    return list(parts.values())


def _together(album: Sequence[int], came: Sequence[int]) -> bool:
    """Whether its parts came one right after the other."""
    first = came.index(album[0]) if album[0] in came else -1
    return first >= 0 and list(came[first : first + len(album)]) == list(album)


def _waits(records: Iterable[control_pb2.Record]) -> dict[int, int]:
    longest: dict[int, int] = {}
    for record in records:
        if record.wait and record.method == FORWARD:
            longest[record.user_id] = max(record.wait, longest.get(record.user_id, 0))
    return longest


def _some(numbers: Sequence[int]) -> str:
    shown = ", ".join(map(str, numbers[:_SHOWN]))
    return shown if len(numbers) <= _SHOWN else f"{shown}, ..."
