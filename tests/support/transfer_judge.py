"""The judge of transfers: what one did wrong, from the test data centre's journal and chats alone.

It shares no code with the services and asks the fleet nothing. What it goes by is what the data centre
stored: every message in the target knows (invisibly to clients) which one of the source it was made of::

    finding = await judge(control, source, [target])
    assert not finding.faults, finding.report()
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from tests.support.chats import messages_of, named
from tests.support.telegram import Control, journal
from tgfleet.testdc.v1 import control_pb2 as pb

FORWARD = "messages.forwardMessages"
VERDICTS = ("PEER_FLOOD", "FROZEN_METHOD_INVALID", "USER_DEACTIVATED", "USER_DEACTIVATED_BAN")
CAPTIONED = {
    pb.MEDIA_KIND_PHOTO,
    pb.MEDIA_KIND_VIDEO,
    pb.MEDIA_KIND_DOCUMENT,
    pb.MEDIA_KIND_AUDIO,
    pb.MEDIA_KIND_VOICE,
    pb.MEDIA_KIND_ANIMATION,
}
_MOST_SHOWN = 5
_EARLY = 0.005
"""Seconds by which two processes' clocks may read the same moment differently."""


@dataclass(frozen=True)
class Wanted:
    """What the transfer was asked to do."""

    first_id: int = 1
    last_id: int = 2**31
    pick: Callable[[pb.Message], bool] = lambda _: True
    """Filters; an album is wanted when one of its parts is."""
    copy: bool = False
    drop_captions: bool = False
    topic_id: int = 0
    in_order: bool = True
    may_miss: Collection[int] = ()
    """Source ids that cannot be forwarded."""
    strangers: Collection[int] = ()
    """User ids of people who post on their own; what they forward does not count."""
    complete: bool = True
    """Whether all of it is due; False for a transfer that was cancelled or goes on."""


@dataclass
class Finding:
    """What was found. Every list holds sentences; `faults` is all of them."""

    arrived: int = 0
    """Messages of the source in the target."""
    calls: list[pb.Record] = field(default_factory=list)
    """Every forward call from the source into the target, in order."""
    lost: list[str] = field(default_factory=list)
    repeated: list[str] = field(default_factory=list)
    unasked: list[str] = field(default_factory=list)
    """Outside of the range, or filtered out."""
    disordered: list[str] = field(default_factory=list)
    torn: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    """Another text, media, header, caption or topic than due."""
    inside_waits: list[str] = field(default_factory=list)
    after_verdicts: list[str] = field(default_factory=list)
    """Accounts that went on although one had been found guilty."""

    @property
    def faults(self) -> list[str]:
        """Everything that must not be."""
        return [
            *self.lost,
            *self.repeated,
            *self.unasked,
            *self.disordered,
            *self.torn,
            *self.wrong,
            *self.inside_waits,
        ]

    def report(self) -> str:
        """A few of each kind, for people."""
        kinds = (
            "lost",
            "repeated",
            "unasked",
            "disordered",
            "torn",
            "wrong",
            "inside_waits",
            "after_verdicts",
        )
        lines = [f"{self.arrived} arrived in {len(self.calls)} calls"]
        for kind in kinds:
            found: list[str] = getattr(self, kind)
            lines += [f"{kind} {len(found)}: {sentence}" for sentence in found[:_MOST_SHOWN]]
        return "\n".join(lines)


async def judge(
    control: Control,
    source: pb.Chat,
    targets: Sequence[pb.Chat],
    wanted: Wanted | None = None,
    *,
    viewer_id: int = 0,
) -> Finding:
    """Judge the transfer from `source` into `targets` (several when the target migrated, oldest first).

    `viewer_id` is a member through whose eyes chats are read that are no channels.
    """
    records = await journal(control)
    origin = await messages_of(control, source, user_id=viewer_id)
    arrived: list[pb.Message] = []
    for target in targets:
        stored = await messages_of(control, target, user_id=viewer_id)
        arrived += [message for message in stored if message.source_chat == named(source)]
    names = {named(target) for target in targets}
    return weigh(records, named(source), names, origin, arrived, wanted or Wanted())


def weigh(
    records: Sequence[pb.Record],
    source: str,
    targets: Collection[str],
    origin: Sequence[pb.Message],
    arrived: Sequence[pb.Message],
    wanted: Wanted,
) -> Finding:
    """The same from what was read already."""
    due = _due(origin, wanted)
    arrived = [message for message in arrived if message.author_id not in wanted.strangers]
    calls = [
        record
        for record in records
        if record.method == FORWARD
        and record.kind == pb.RECORD_KIND_CALL
        and record.source_chat == source
        and record.target_chat in targets
    ]
    finding = Finding(arrived=len(arrived), calls=calls)
    there = Counter(message.source_id for message in arrived)
    if wanted.complete:
        missing = [i for i in due if not there[i] and i not in wanted.may_miss]
        finding.lost = [f"message {i} did not arrive" for i in missing]
    ours = [record for record in records if record.user_id not in wanted.strangers]
    finding.repeated = _repeated(ours, source, targets, there)
    known = {message.message_id for message in origin}
    finding.unasked = [
        f"message {i} was not asked for"
        for i in there
        if i not in due and (i in known or not _within(i, wanted))
    ]
    if wanted.in_order:
        finding.disordered = _disordered(arrived)
    finding.torn = _torn(origin, due, arrived, wanted)
    finding.wrong = _wrong({m.message_id: m for m in origin}, source, arrived, wanted)
    finding.inside_waits = inside_waits(records)
    finding.after_verdicts = _after_verdicts(records, calls)
    return finding


def inside_waits(records: Iterable[pb.Record]) -> list[str]:
    """Calls of an account inside a wait that it had been given, over all methods and connections."""
    until: dict[tuple[int, str, str], float] = {}
    found = []
    for record in records:
        now, slow = record.monotonic_seconds, record.error.startswith("SLOWMODE_WAIT_")
        if record.kind == pb.RECORD_KIND_CALL and record.user_id and not record.service:
            places = {"", record.target_chat}
            left = max(until.get((record.user_id, record.method, place), 0.0) for place in places) - now
            if left > _EARLY:
                found.append(
                    f"user {record.user_id} called {record.method} {left:.3f} s before the end of its wait "
                    f"(record {record.seq})"
                )
        if record.outcome == pb.OUTCOME_FLOOD_WAIT or slow:
            seconds = int(record.error.rpartition("_")[2])
            key = (record.user_id, record.method, record.target_chat if slow else "")
            until[key] = max(until.get(key, 0.0), now + seconds)
    return found


def _within(message_id: int, wanted: Wanted) -> bool:
    return wanted.first_id <= message_id <= wanted.last_id


def _due(origin: Sequence[pb.Message], wanted: Wanted) -> dict[int, pb.Message]:
    """What should arrive, as the source stands in the end."""
    in_range = [m for m in origin if not m.service and _within(m.message_id, wanted)]
    albums = {m.grouped_id for m in in_range if m.grouped_id and wanted.pick(m)}
    return {m.message_id: m for m in in_range if wanted.pick(m) or m.grouped_id in albums}


def _repeated(
    records: Iterable[pb.Record], source: str, targets: Collection[str], there: Counter[int]
) -> list[str]:
    """By the journal, so that a message counts that was deleted in the target since."""
    stored: Counter[int] = Counter()
    for record in records:
        if record.kind == pb.RECORD_KIND_MESSAGE and record.chat in targets and record.source_chat == source:
            stored.update(record.source_ids)
    counts = stored | there
    return [f"message {i} arrived {count} times" for i, count in counts.items() if count > 1]


def _disordered(arrived: Sequence[pb.Message]) -> list[str]:
    return [
        f"message {b.source_id} came after message {a.source_id} (as {b.message_id} and {a.message_id})"
        for a, b in pairwise(arrived)
        if b.source_id < a.source_id
    ]


def _torn(
    origin: Sequence[pb.Message], due: dict[int, pb.Message], arrived: Sequence[pb.Message], wanted: Wanted
) -> list[str]:
    """Every album must stand in the target as one, alone and without a gap."""
    parts: dict[int, list[pb.Message]] = defaultdict(list)
    owners: dict[int, set[int]] = defaultdict(set)
    albums = {m.message_id: m.grouped_id for m in origin}
    gone = {m.message_id for m in arrived if m.source_id not in albums}  # deleted in the source since
    for message in arrived:
        album = albums.get(message.source_id, 0)
        if message.message_id in gone:
            continue
        if album:
            parts[album].append(message)
        if message.grouped_id:
            owners[message.grouped_id].add(album)
    expected = Counter(m.grouped_id for m in due.values() if m.message_id not in wanted.may_miss)
    found = []
    for album, there in parts.items():
        groups = {message.grouped_id for message in there}
        ids = [message.message_id for message in there]
        whole = len(there) >= expected[album]
        between = set(range(ids[0], ids[-1] + 1)) - set(ids) - gone
        if len(groups) > 1 or 0 in groups or not whole or between:
            found.append(
                f"the album of message {there[0].source_id} stands as {ids} in {len(groups)} albums, "
                f"{len(there)} of {expected[album]} parts"
            )
    found += [f"album {group} holds parts of several" for group, of in owners.items() if len(of) > 1]
    return found


def _wrong(
    origin: dict[int, pb.Message], source: str, arrived: Sequence[pb.Message], wanted: Wanted
) -> list[str]:
    found = []
    for message in arrived:
        original = origin.get(message.source_id)
        if original is not None and (why := _difference(original, message, source, wanted)):
            found.append(f"message {message.source_id} as {message.message_id}: {why}")
    return found


def _difference(original: pb.Message, message: pb.Message, source: str, wanted: Wanted) -> str:
    bare = wanted.drop_captions and original.media in CAPTIONED
    if message.text != ("" if bare else original.text):
        return "another text"
    if (message.media, message.media_id) != (original.media, original.media_id):
        return "other media"
    if message.topic_id != wanted.topic_id:
        return f"in topic {message.topic_id}"
    header = (message.forward_from, message.forward_post)
    if wanted.copy:
        return "a copy with a header" if message.forward_from else ""
    if original.forward_from:
        return "" if header == (original.forward_from, original.forward_post) else f"header {header}"
    if header[0].startswith("name:"):
        return ""  # the author hides itself; the data centre's accounts do not tell who does
    as_post, as_person = (source, original.message_id), (f"user:{original.author_id}", 0)
    return "" if header in {as_post, as_person} else f"header {header}"


def _after_verdicts(records: Iterable[pb.Record], calls: Sequence[pb.Record]) -> list[str]:
    """Forward calls that arrived after an account had been found guilty, with how much later."""
    verdict = next((r for r in records if r.error in VERDICTS and r.method == FORWARD), None)
    if verdict is None:
        return []
    return [
        f"user {call.user_id} went on {call.monotonic_seconds - verdict.monotonic_seconds:.3f} s after "
        f"user {verdict.user_id} got {verdict.error}"
        for call in calls
        if call.seq > verdict.seq
    ]
