"""Pages of the source become units (single messages, or whole albums), and units become batches. Knows who
passes over what, and nothing of accounts or of sending.

Bounds: the range's are hard, an album is cut at them. A shard's are soft for albums: an album belongs to the
shard of its first message. Both neighbours look `OVERLAP` ids beyond their common bound to agree on that.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from services.scheduler.domain.transfers.orders import SourceMessage, SourcePage

OVERLAP = 20
"""Ids on each side of a shard's bound; an album has at most 10 parts, with adjoining ids."""
DELETED = "DELETED"


@dataclass(frozen=True, slots=True)
class Unit:
    """What goes in one call or not at all. `through_id`: everything up to it is done once this is;
    `skipped`: what was passed over on the way, by reason."""

    message_ids: tuple[int, ...]
    through_id: int
    skipped: dict[str, int]


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a shard reads. `last_id` and `range_last` 0: no end. `gaps`: missing ids are deleted messages (not
    so in chats whose ids are shared with an account's other chats)."""

    first_id: int
    last_id: int
    range_first: int
    range_last: int
    gaps: bool = True


@dataclass(slots=True)
class _Album:
    grouped_id: int
    parts: list[SourceMessage]
    skipped: dict[str, int]


@dataclass(slots=True)
class Intake:
    """What one shard has read ahead."""

    bounds: Bounds
    checkpoint: int
    units: deque[Unit] = field(default_factory=deque)
    ended: bool = False
    """The last page said that nothing is left for now."""
    _album: _Album | None = None
    _foreign: set[int] = field(default_factory=set)
    _skipped: dict[str, int] = field(default_factory=dict)  # since the last unit
    _looked: int = 0
    _read: int = 0
    _ids: int = 0

    def __post_init__(self) -> None:
        self._looked = self.checkpoint
        self._read = self.checkpoint
        bounds = self.bounds
        if bounds.first_id > bounds.range_first and self.checkpoint < bounds.first_id + OVERLAP:
            self._read = max(bounds.range_first - 1, bounds.first_id - 1 - OVERLAP)

    @property
    def ids(self) -> int:
        """How many ids are ready to go."""
        return self._ids

    @property
    def after_id(self) -> int:
        """Where the next page begins."""
        return self._read

    @property
    def through_id(self) -> int:
        """How far to read at most; 0 for no end."""
        bounds = self.bounds
        if bounds.last_id in (0, bounds.range_last):
            return bounds.last_id
        beyond = bounds.last_id + OVERLAP
        return min(beyond, bounds.range_last) if bounds.range_last else beyond

    @property
    def tail(self) -> tuple[int, dict[str, int]]:
        """With no unit left: everything up to this id is passed over, by these reasons."""
        return self._looked, dict(self._skipped)

    @property
    def holding(self) -> bool:
        """Whether an album may still grow."""
        return self._album is not None

    def feed(self, page: SourcePage, *, final: bool = True) -> None:
        """Takes in the next page. `final`: at its end an album is whole (not yet so while new messages may
        still come in)."""
        for message in page.messages:
            if message.message_id > self._read:
                self._take(message)
        self._pass(page.looked_through_id)
        self._read = max(self._read, page.looked_through_id)
        self.ended = page.end or (self.through_id != 0 and self._read >= self.through_id)
        if self.ended and final:
            self._close()

    def finish_tail(self) -> tuple[int, dict[str, int]]:
        """The tail, taken out: it is about to be committed by itself."""
        tail = self.tail
        self._skipped = {}
        return tail

    def cut(self, limit: int, *, units: int = 0) -> tuple[Unit, ...]:
        """The next batch: as many units as fit into `limit` ids, at most `units` of them (0: any number), at
        least one; empty when nothing is there."""
        taken: list[Unit] = []
        size = 0
        while self.units and (not units or len(taken) < units):
            size += len(self.units[0].message_ids)
            if taken and size > limit:
                break
            taken.append(self.units.popleft())
            self._ids -= len(taken[-1].message_ids)
        return tuple(taken)

    def give_back(self, units: Sequence[Unit]) -> None:
        """They were not sent: they go first again."""
        self.units.extendleft(reversed(units))
        self._ids += sum(len(unit.message_ids) for unit in units)

    def _take(self, message: SourceMessage) -> None:
        bounds = self.bounds
        if message.message_id < bounds.first_id:
            if message.grouped_id:
                self._foreign.add(message.grouped_id)
            return
        if message.message_id <= self.checkpoint:
            return
        beyond = bool(bounds.last_id) and message.message_id > bounds.last_id
        if beyond and not (self._album and message.grouped_id == self._album.grouped_id):
            return
        self._pass(message.message_id - 1)
        self._looked = message.message_id
        if message.grouped_id:
            self._part(message)
            return
        self._close()
        if message.skip:
            self._count(message.skip)
        else:
            self._unit((message.message_id,))

    def _part(self, message: SourceMessage) -> None:
        if self._album is not None and self._album.grouped_id == message.grouped_id:
            _add(self._album.skipped, self._skipped)
            self._album.parts.append(message)
            self._skipped = {}
            return
        self._close()
        begun_before = message.grouped_id in self._foreign
        if begun_before and message.message_id < self.bounds.first_id + OVERLAP:
            return
        self._album = _Album(message.grouped_id, [message], self._skipped)
        self._skipped = {}

    def _close(self) -> None:
        album, self._album = self._album, None
        if album is None:
            return
        since, self._skipped = self._skipped, album.skipped
        if all(part.skip for part in album.parts):
            for part in album.parts:
                self._count(part.skip)
        else:
            self._unit(tuple(part.message_id for part in album.parts))
        _add(self._skipped, since)

    def _unit(self, message_ids: tuple[int, ...]) -> None:
        self.units.append(Unit(message_ids, message_ids[-1], self._skipped))
        self._ids += len(message_ids)
        self._skipped = {}

    def _pass(self, through: int) -> None:
        """Ids up to there that were not seen are deleted."""
        last = min(through, self.bounds.last_id) if self.bounds.last_id else through
        missing = last - max(self._looked, self.bounds.first_id - 1)
        if missing > 0:
            self._looked = last
            if self.bounds.gaps:
                self._count(DELETED, missing)

    def _count(self, reason: str, number: int = 1) -> None:
        self._skipped[reason] = self._skipped.get(reason, 0) + number


def add_up(units: Iterable[Unit]) -> dict[str, int]:
    """What a batch passes over."""
    total: dict[str, int] = {}
    for unit in units:
        _add(total, unit.skipped)
    return total


def _add(total: dict[str, int], more: dict[str, int]) -> None:
    for reason, number in more.items():
        total[reason] = total.get(reason, 0) + number
