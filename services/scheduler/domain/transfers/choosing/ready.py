"""The order of many accounts for one transfer, kept so that the next of 100,000 is found at once, also when
half of them wait. Knows nothing of why an account may or may not: it is told by a judge.

Those who may are in a heap by rank, those who may not in a heap by the time at which that ends by itself.
What changes between two questions is only noted, and judged once, at the next question.
"""

from collections import Counter
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass

from services.scheduler.domain.transfers.choosing.heaps import NameHeap
from services.scheduler.domain.transfers.choosing.order import Rank


@dataclass(frozen=True, slots=True)
class Judged:
    """`rank` when it may, else None and the `reason`. `wake`: when to judge it again (monotonic): its waiting
    ends, or its rank changes; None when only a change from outside helps."""

    rank: Rank | None
    wake: float | None
    reason: str = ""


Judge = Callable[[str], Judged | None]
"""None: there is no such account."""


class Ready:
    """An order of accounts."""

    def __init__(self, account_ids: frozenset[str]) -> None:
        self._ids = account_ids
        self._ready: NameHeap[Rank] = NameHeap()
        self._moving: NameHeap[float] = NameHeap()
        self._waiting: NameHeap[float] = NameHeap()
        self._refused: dict[str, str] = {}
        self._reasons: Counter[str] = Counter()
        self._changed = dict.fromkeys(sorted(account_ids))

    def changed(self, account_id: str) -> None:
        """Something about it is different now."""
        if account_id in self._ids:
            self._changed[account_id] = None

    def settle(self, judge: Judge, now: float) -> None:
        """Brings everything up to date."""
        for heap in (self._waiting, self._moving):
            while (first := heap.first()) is not None and first[0] <= now:
                heap.discard(first[1])
                self._changed[first[1]] = None
        changed, self._changed = self._changed, {}
        for account_id in changed:
            self._place(account_id, judge(account_id))

    def in_order(self) -> Generator[str, None, None]:
        """Those who may, the next first. Close the iterator before anything changes."""
        return self._ready.upwards()

    def waking(self) -> Generator[tuple[float, str], None, None]:
        """Those who may not and for whom that ends by itself, the first first, and when. Close the iterator
        before anything changes."""
        with closing(self._waiting.upwards()) as names:
            for account_id in names:
                yield self._waiting.key(account_id), account_id

    def commonest(self) -> str:
        """The commonest reason of those who may not; empty when there is none."""
        found = self._reasons.most_common(1)
        return found[0][0] if found and found[0][1] else ""

    def _place(self, account_id: str, judged: Judged | None) -> None:
        before = self._refused.pop(account_id, None)
        if before is not None:
            self._reasons[before] -= 1
        may = judged is not None and judged.rank is not None
        wake = judged.wake if judged is not None else None
        if judged is not None and judged.rank is not None:
            self._ready.put(account_id, judged.rank)
        else:
            self._ready.discard(account_id)
        if judged is not None and judged.rank is None:
            self._refused[account_id] = judged.reason
            self._reasons[judged.reason] += 1
        _put(self._moving, account_id, wake if may else None)
        _put(self._waiting, account_id, None if may else wake)


def _put(heap: NameHeap[float], account_id: str, wake: float | None) -> None:
    if wake is None:
        heap.discard(account_id)
    else:
        heap.put(account_id, wake)
