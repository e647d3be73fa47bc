"""Reads off the journal what must never happen. Knows nothing of the code that it judges.

Four questions: was a key used by two at once (as Telegram counts, and stricter), was a method called
inside a wait that had been handed out, was a message lost or stored twice.

Which use is wrong? A holder that is killed closes its socket at once; one that is frozen keeps it open,
silent, until the server closes it. So a second connection's request while the first is merely open is no
proof of two holders: it is listed apart (stale_open). Proof is a further request of the first connection
after the second one's (overlap): two holders did use the key. Telegram's own rule (duplicated) needs the
first to speak again while both are open; A, B, A.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from services.testdc.domain.journal import Outcome, Record, RecordKind


class ViolationKind(Enum):
    """What was done wrong."""

    DUPLICATED = "duplicated"
    """Telegram's rule: two open main connections of one key sent requests in turn."""
    OVERLAP = "overlap"
    """After another main connection's request on a key, the earlier one sent again. (Media connections
    cannot be told apart by holder: one process may have several, and keeps them over a reconnect.)"""
    STALE_OPEN = "stale_open"
    """A connection's first request came while another connection of the key was still open."""
    FLOODED = "flooded"
    """A call to a method inside a wait that this account had been given for it; in slow mode for the chat."""
    LOST = "lost"
    """A message that should have been stored was not."""
    REPEATED = "repeated"
    """A message was stored twice."""


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing that must not happen, with the records that prove it."""

    kind: ViolationKind
    sentence: str
    seqs: tuple[int, ...]
    auth_key_id: str = ""
    user_id: int = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """All violations, by kind; `stale_open` is a hint, not a proof."""

    violations: tuple[Violation, ...]

    def of(self, kind: ViolationKind) -> list[Violation]:
        """The violations of one kind."""
        return [violation for violation in self.violations if violation.kind is kind]

    @property
    def duplicated(self) -> list[Violation]:
        """Uses for which Telegram kills a key."""
        return self.of(ViolationKind.DUPLICATED)

    @property
    def overlaps(self) -> list[Violation]:
        """Uses of a key by two holders at once, the stricter list."""
        return self.of(ViolationKind.OVERLAP)

    @property
    def stale_open(self) -> list[Violation]:
        """Take-overs while the earlier connection was still open."""
        return self.of(ViolationKind.STALE_OPEN)

    @property
    def flooded(self) -> list[Violation]:
        """Calls inside a wait."""
        return self.of(ViolationKind.FLOODED)


def judge(records: Iterable[Record]) -> Verdict:
    """Judge a journal, or a part of it that begins before the first connection in question."""
    keys: dict[str, _KeyWatch] = {}
    floods = _FloodWatch()
    found: list[Violation] = []
    for record in records:
        if record.auth_key_id and record.connection_id:
            watch = keys.setdefault(record.auth_key_id, _KeyWatch(record.auth_key_id))
            found += watch.see(record)
        if record.kind in {RecordKind.CALL, RecordKind.ANSWER}:
            found += floods.see(record)
    return Verdict(tuple(found))


def repeated(records: Iterable[Record], chat: str) -> list[Violation]:
    """Messages of one author that one chat holds twice, told apart by their text."""
    seen: dict[tuple[int, str], Record] = {}
    found = []
    for record in records:
        if record.kind is not RecordKind.MESSAGE or record.chat != chat:
            continue
        before = seen.setdefault((record.user_id, record.text_digest), record)
        if before is not record:
            sentence = f"message {record.message_id} in {chat} says what message {before.message_id} said"
            seqs = (before.seq, record.seq)
            found.append(Violation(ViolationKind.REPEATED, sentence, seqs, user_id=record.user_id))
    return found


def lost(records: Iterable[Record], chat: str, expected: Mapping[str, int]) -> list[Violation]:
    """Texts (by digest, with how many of each) that a chat should hold and does not."""
    stored = Counter(
        record.text_digest for record in records if record.kind is RecordKind.MESSAGE and record.chat == chat
    )
    return [
        Violation(ViolationKind.LOST, f"{chat} holds {stored[digest]} of {count} messages {digest}", ())
        for digest, count in expected.items()
        if stored[digest] < count
    ]


@dataclass
class _KeyWatch:
    """The connections of one key, as the journal shows them."""

    auth_key_id: str
    open: dict[int, Record] = field(default_factory=dict)
    """Open main connections by id, with the record that bound the key to them."""
    last: dict[int, Record] = field(default_factory=dict)
    """The last request of each of them."""
    gone: Record | None = None
    """The latest request of a main connection that has closed."""

    def see(self, record: Record) -> list[Violation]:
        """Take in one record of this key; media connections do not matter."""
        if record.media:
            return []
        if record.kind is RecordKind.KEY_BOUND:
            self.open[record.connection_id] = record
        elif record.kind is RecordKind.CONNECTION_CLOSED:
            self._closed(record.connection_id)
        elif record.kind is RecordKind.CALL:
            return self._request(record)
        return []

    def _closed(self, connection_id: int) -> None:
        self.open.pop(connection_id, None)
        last = self.last.pop(connection_id, None)
        if last is not None and (self.gone is None or last.seq > self.gone.seq):
            self.gone = last

    def _request(self, record: Record) -> list[Violation]:
        before = self.last.get(record.connection_id)
        found = self._take_over(record) if before is None else self._go_on(record, before)
        self.last[record.connection_id] = record
        return found

    def _go_on(self, record: Record, before: Record) -> list[Violation]:
        """A further request of a connection: has another one spoken since its last?"""
        live = [last for last in self.last.values() if last.seq > before.seq]
        since = live if self.gone is None or self.gone.seq < before.seq else [*live, self.gone]
        found = []
        if since:
            other = max(since, key=lambda last: last.seq)
            seqs = (before.seq, other.seq, record.seq)
            found.append(self._violation(ViolationKind.OVERLAP, _overlap(record, other), seqs, record))
        if live:
            other = max(live, key=lambda last: last.seq)
            seqs = (before.seq, other.seq, record.seq)
            found.append(self._violation(ViolationKind.DUPLICATED, _turns(record, other), seqs, record))
        return found

    def _take_over(self, record: Record) -> list[Violation]:
        """The first request of a connection: who else is open?"""
        return [
            self._violation(
                ViolationKind.STALE_OPEN,
                f"connection {record.connection_id} from {record.peer} first used key {self.auth_key_id} "
                f"while connection {other} from {bound.peer} was open",
                (bound.seq, record.seq),
                record,
            )
            for other, bound in self.open.items()
            if other != record.connection_id
        ]

    def _violation(
        self, kind: ViolationKind, sentence: str, seqs: tuple[int, ...], record: Record
    ) -> Violation:
        return Violation(kind, sentence, seqs, self.auth_key_id, record.user_id)


def _overlap(record: Record, other: Record) -> str:
    return (
        f"key {record.auth_key_id} was used by {record.peer} ({record.method}) "
        f"{record.time - other.time:.3f} s after {other.peer} had taken it over ({other.method})"
    )


def _turns(record: Record, other: Record) -> str:
    return (
        f"open connections {record.connection_id} and {other.connection_id} of key {record.auth_key_id} sent "
        f"requests in turn: Telegram kills the key"
    )


_SLOW_MODE = "SLOWMODE_WAIT_"


@dataclass
class _FloodWatch:
    """Waits handed out, by account and method; those of slow mode by chat besides."""

    until: dict[tuple[int, str, str], tuple[float, Record]] = field(default_factory=dict)

    def see(self, record: Record) -> list[Violation]:
        """A call, or the late outcome of one."""
        found = self._inside(record) if record.kind is RecordKind.CALL else []
        is_slow_mode = record.error.startswith(_SLOW_MODE)
        if record.outcome is Outcome.FLOOD_WAIT or is_slow_mode:
            until = record.time + record.wait
            key = (record.user_id, record.method, record.target_chat if is_slow_mode else "")
            if until > self.until.get(key, (0.0, record))[0]:
                self.until[key] = (until, record)
        return found

    def _inside(self, record: Record) -> list[Violation]:
        keys = [(record.user_id, record.method, chat) for chat in {"", record.target_chat}]
        until, given = max((self.until.get(key, (0.0, record)) for key in keys), key=lambda wait: wait[0])
        if record.time >= until or not record.user_id:
            return []
        sentence = (
            f"user {record.user_id} called {record.method} {until - record.time:.1f} s "
            f"before the end of a wait of {given.wait} s"
        )
        seqs = (given.seq, record.seq)
        return [Violation(ViolationKind.FLOODED, sentence, seqs, record.auth_key_id, record.user_id)]
