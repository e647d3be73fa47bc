"""A long run of messages that is computed instead of kept: a million of them cost as much memory as ten.

What stands under a number follows from the seed alone, so any part can be looked at without the rest. The run
is laid out in blocks; albums lie within a block, but pages of 100 cut through them as they do in life.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from random import Random

from services.testdc.domain.gaps import BLOCK, filled_before, mask
from services.testdc.domain.media import CAPTIONED, Media, MediaKind
from services.testdc.domain.message import Message, Origin
from services.testdc.domain.peer import Peer, PeerKind

_ALBUM_SIZES = range(2, 11)
"""An album has 2 to 10 parts."""
_ALBUM_KINDS = (MediaKind.PHOTO, MediaKind.VIDEO)
_WORDS = ("river", "stone", "lamp", "paper", "window", "garden", "train", "winter", "silver", "market")
_SERVICES = ("pin", "title", "join")
_ID_SPACE = 1 << 40
"""Media and album ids of two archives never meet: each has a space of its own."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What an archive holds. Shares are chances from 0 to 1 at each place of the run."""

    seed: int
    albums: float = 0.0
    """Chance that an album begins here."""
    media: float = 0.0
    """Chance of a single photo, video, document or the like."""
    service: float = 0.0
    """Chance of a service message."""
    deleted: float = 0.0
    """Chance that there is nothing (any more)."""
    captions: float = 0.5
    """Chance that media carries a caption; of an album one part at most."""
    forwarded: float = 0.0
    """Chance that a message was itself forwarded from another channel."""
    kinds: tuple[MediaKind, ...] = tuple(MediaKind)
    """Single media are drawn from these."""
    text_size: int = 0
    """Texts are filled up to so many characters; 0: a few words."""


@dataclass(frozen=True, slots=True)
class _Place:
    """What stands at one place of a block, as far as the draw decides it."""

    service: str = ""
    kind: MediaKind | None = None
    album: int = 0
    """First offset of its album in the block plus 1; 0: none."""
    text: str = ""
    forwarded: bool = False


@dataclass(slots=True)
class Archive:
    """Messages numbered from `first` on, `count` places of them."""

    recipe: Recipe
    peer: Peer
    first: int
    count: int
    number: int
    """Counts the archives of a data centre; keeps their ids apart."""
    authors: Sequence[int]
    """Who wrote them, in turn; one who posts as the channel in a broadcast."""
    broadcast: bool
    first_uid: int
    first_date: int
    seconds_apart: float
    topic_id: int = 0
    removed: list[int] = field(default_factory=list)
    """Numbers that were deleted or replaced since, in order."""
    _drawn: tuple[int, tuple[_Place, ...]] = (-1, ())
    """The block that was looked at last."""

    @property
    def last(self) -> int:
        """The last number of the run."""
        return self.first + self.count - 1

    def __len__(self) -> int:
        """How many messages there are."""
        return self.rank(self.last + 1)

    def rank(self, message_id: int) -> int:
        """How many messages have a lower number."""
        at = min(max(message_id - self.first, 0), self.count)
        block, offset = divmod(at, BLOCK)
        counts = filled_before(self.recipe.seed, self.recipe.deleted, -(-self.count // BLOCK))
        empty = self._gaps(block) & ((1 << offset) - 1)
        return counts[block] + offset - empty.bit_count() - bisect_left(self.removed, message_id)

    def holds(self, message_id: int) -> bool:
        """Whether there is a message with this number."""
        if not self.first <= message_id <= self.last:
            return False
        block, offset = divmod(message_id - self.first, BLOCK)
        if self._gaps(block) >> offset & 1:
            return False
        at = bisect_left(self.removed, message_id)
        return at == len(self.removed) or self.removed[at] != message_id

    def find(self, message_id: int) -> Message | None:
        """The message with this number."""
        return self._message(message_id) if self.holds(message_id) else None

    def all(self) -> Iterator[Message]:
        """Every message, in order."""
        at = self.first - 1
        while at := self.above(at):
            yield self._message(at)

    def below(self, message_id: int) -> int:
        """The highest number below this one; 0 for none."""
        candidate = min(message_id - 1, self.last)
        while candidate >= self.first and not self.holds(candidate):
            candidate -= 1
        return max(candidate, 0) if candidate >= self.first else 0

    def above(self, message_id: int) -> int:
        """The lowest number above this one; 0 for none."""
        candidate = max(message_id + 1, self.first)
        while candidate <= self.last and not self.holds(candidate):
            candidate += 1
        return candidate if candidate <= self.last else 0

    def remove(self, message_id: int) -> None:
        """Take one message out."""
        if self.holds(message_id):
            insort(self.removed, message_id)

    def _gaps(self, block: int) -> int:
        return mask(self.recipe.seed, self.recipe.deleted, block)

    def _place(self, message_id: int) -> _Place:
        block, offset = divmod(message_id - self.first, BLOCK)
        return self._block(block)[offset]

    def _block(self, block: int) -> tuple[_Place, ...]:
        if self._drawn[0] != block:
            size = min(BLOCK, self.count - block * BLOCK)
            self._drawn = (block, _draw(self.recipe, block, size))
        return self._drawn[1]

    def _message(self, message_id: int) -> Message:
        place, at = self._place(message_id), message_id - self.first
        author = self.authors[at % len(self.authors)]
        space = self.number * _ID_SPACE
        grouped = 0
        if place.album:  # all parts of an album are one person's
            begin = at // BLOCK * BLOCK + place.album - 1
            author, grouped = self.authors[begin % len(self.authors)], space + self.first + begin
        date = self.first_date + int(at * self.seconds_apart)
        return Message(
            message_id=message_id,
            uid=self.first_uid + at,
            peer=self.peer,
            sender=self.peer if self.broadcast else Peer(PeerKind.USER, author),
            author_id=author,
            date=date,
            text=place.text.format(message_id),
            outgoing=True,
            media=Media(place.kind, space + message_id) if place.kind else None,
            grouped_id=grouped,
            origin=_elsewhere(message_id, author, date) if place.forwarded else None,
            topic_id=self.topic_id,
            service=place.service,
            service_text=f"title {message_id}" if place.service else "",
        )


def _elsewhere(message_id: int, author: int, date: int) -> Origin:
    """The header of what was forwarded: from an unknown channel, from a person, from somebody hidden."""
    kind, earlier = Random(message_id).randrange(3), date - 3600  # noqa: S311 - it shall be repeatable
    if kind == 0:
        return Origin(Peer(PeerKind.CHANNEL, 1_300_000_000), earlier, post=message_id * 7 % 100_003 + 1)
    if kind == 1:
        return Origin(Peer(PeerKind.USER, author), earlier)
    return Origin(None, earlier, name="Somebody")


@lru_cache(maxsize=512)
def _draw(recipe: Recipe, block: int, size: int) -> tuple[_Place, ...]:
    """What stands in one block."""
    rng = Random(f"{recipe.seed} {block}")  # noqa: S311 - it shall be repeatable
    places: list[_Place] = []
    while len(places) < size:
        room = size - len(places)
        if room >= _ALBUM_SIZES[0] and rng.random() < recipe.albums:
            places += _draw_album(recipe, rng, len(places), min(rng.choice(_ALBUM_SIZES), room))
        else:
            places.append(_draw_single(recipe, rng))
    return tuple(places)


def _draw_album(recipe: Recipe, rng: Random, begin: int, size: int) -> list[_Place]:
    kind = rng.choice((*_ALBUM_KINDS, MediaKind.DOCUMENT))
    captioned = rng.randrange(size) if rng.random() < recipe.captions else -1
    forwarded = rng.random() < recipe.forwarded
    return [
        _Place(
            kind=rng.choice(_ALBUM_KINDS) if kind in _ALBUM_KINDS else kind,
            album=begin + 1,
            text=_text(recipe, rng) if part == captioned else "",
            forwarded=forwarded,
        )
        for part in range(size)
    ]


def _draw_single(recipe: Recipe, rng: Random) -> _Place:
    if rng.random() < recipe.service:
        return _Place(service=rng.choice(_SERVICES))
    forwarded = rng.random() < recipe.forwarded
    if rng.random() < recipe.media:
        kind = rng.choice(recipe.kinds)
        captioned = kind in CAPTIONED and rng.random() < recipe.captions
        return _Place(kind=kind, text=_text(recipe, rng) if captioned else "", forwarded=forwarded)
    return _Place(text=_text(recipe, rng), forwarded=forwarded)


def _text(recipe: Recipe, rng: Random) -> str:
    """A text with a gap for the message's number, so that no two are alike."""
    text = "message {} " + " ".join(rng.choices(_WORDS, k=rng.randint(1, 6)))
    while len(text) <= recipe.text_size:  # the gap is longer than the shortest number
        text += " " + rng.choice(_WORDS)
    return text
