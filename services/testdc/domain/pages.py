"""Which messages of a chat a page holds: bounds, an offset and a number, as messages.getHistory has them.

Works on numbers and ranks alone, so a page of a chat of a million messages costs what a page of a small one
costs. https://core.telegram.org/api/offsets
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .archive import Archive

_BEYOND = 2**31
"""Above every number."""


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
        return self.rank(_BEYOND)

    def rank(self, message_id: int) -> int:
        """How many numbers are below this one."""
        return bisect_left(self.ids, message_id) + sum(a.rank(message_id) for a in self.archives)

    def ranked(self, rank: int) -> int:
        """The number with so many below it; there must be one."""
        return bisect_right(range(_BEYOND), rank, key=self.rank) - 1

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
        """This number and those below it, highest first."""
        while message_id:
            yield message_id
            message_id = self.below(message_id)


def cut(run: Run, page: Page, date: Callable[[int], int]) -> list[int]:
    """The numbers on a page, highest first.

    Within the bounds the page begins `add_offset` messages after the first one below the offset; a negative
    `add_offset` begins it among the newer ones.
    """
    top = page.max_id or _BEYOND
    offset = min(page.offset_id or _by_date(run, page.offset_date, date), top)
    lowest, beyond = run.rank(page.min_id + 1), run.rank(top)
    end = max(run.rank(offset), lowest) - page.add_offset
    begin = max(end - page.limit, lowest)
    end = min(end, beyond)
    if begin >= end:
        return []
    return list(islice(run.down(run.ranked(end - 1)), end - begin))


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
