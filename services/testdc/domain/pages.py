"""Which messages of a chat a page holds: bounds, an offset and a number, as messages.getHistory has them.

Works on numbers alone and by stepping from one to the next, so a page of a chat of a million messages costs
what a page of a small one costs. https://core.telegram.org/api/offsets
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .archive import Archive


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a chat is wanted; zero leaves a bound out."""

    limit: int = 100
    offset_id: int = 0
    offset_date: int = 0
    add_offset: int = 0
    max_id: int = 0
    min_id: int = 0


@dataclass(frozen=True, slots=True)
class Run:
    """The numbers of a chat in order: some kept, some computed."""

    ids: Sequence[int]
    archives: Sequence[Archive]

    def __len__(self) -> int:
        return len(self.ids) + sum(map(len, self.archives))

    def below(self, message_id: int) -> int:
        """The highest number below this one; 0 for none."""
        at = bisect_left(self.ids, message_id)
        kept = self.ids[at - 1] if at else 0
        return max(kept, *(archive.below(message_id) for archive in self.archives), 0)

    def above(self, message_id: int) -> int:
        """The lowest number above this one; 0 for none."""
        at = bisect_right(self.ids, message_id)
        found = [self.ids[at]] if at < len(self.ids) else []
        found += [number for archive in self.archives if (number := archive.above(message_id))]
        return min(found, default=0)

    def down(self, message_id: int) -> Iterator[int]:
        """The numbers below this one, highest first."""
        while message_id := self.below(message_id):
            yield message_id

    def up(self, message_id: int) -> Iterator[int]:
        """The numbers from this one on, lowest first."""
        message_id -= 1
        while message_id := self.above(message_id):
            yield message_id


_BEYOND = 2**31
"""Above every number."""


def cut(run: Run, page: Page, date: Callable[[int], int]) -> list[int]:
    """The numbers on a page, highest first.

    Within the bounds the page begins `add_offset` messages after the first one below the offset; a negative
    `add_offset` begins it among the newer ones.
    """
    top = page.max_id or _BEYOND
    offset = min(page.offset_id or _by_date(run, page.offset_date, date), top)
    older = _until(run.down(offset), page.min_id)
    if page.add_offset >= 0:
        return list(islice(older, page.add_offset, page.add_offset + page.limit))
    ahead = -page.add_offset
    newer = [i for i in islice(run.up(max(offset, page.min_id + 1)), ahead) if i < top]
    picked = newer[max(ahead - page.limit, 0) :][::-1]
    return picked + list(islice(older, max(page.limit - ahead, 0)))


def _until(numbers: Iterator[int], min_id: int) -> Iterator[int]:
    for number in numbers:
        if number <= min_id:
            return
        yield number


def _by_date(run: Run, wanted: int, date: Callable[[int], int]) -> int:
    """The lowest number whose message is not older than this; dates grow with numbers."""
    if not wanted:
        return _BEYOND
    low, high = 0, run.below(_BEYOND)
    while low < high:  # all numbers up to `low` are older, none above `high` is
        middle = (low + high) // 2
        found = run.above(middle)
        if found and found <= high and date(found) < wanted:
            low = found
        else:
            high = middle
    return low + 1
