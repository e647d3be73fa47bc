"""A heap of names from which any can be taken out. Knows only names and keys.

Taking out and changing cost nothing: the old entry stays and is recognised when it comes up. When more than
half of the entries are old, they are swept out.
"""

import heapq
from collections.abc import Generator
from typing import Generic, TypeVar

K = TypeVar("K", bound=tuple[object, ...] | float)

_FEW = 64


class NameHeap(Generic[K]):
    """Names by key, the smallest first. Keys of different names must be comparable; equal ones go by name."""

    def __init__(self) -> None:
        self._keys: dict[str, K] = {}
        self._heap: list[tuple[K, str]] = []

    def __len__(self) -> int:
        return len(self._keys)

    def put(self, name: str, key: K) -> None:
        """Adds it, or changes its key."""
        if self._keys.get(name) == key:
            return
        self._keys[name] = key
        heapq.heappush(self._heap, (key, name))
        if len(self._heap) > 2 * len(self._keys) + _FEW:
            self._heap = [(key, name) for name, key in self._keys.items()]
            heapq.heapify(self._heap)

    def discard(self, name: str) -> None:
        """Takes it out, if it is there."""
        self._keys.pop(name, None)

    def first(self) -> tuple[K, str] | None:
        """The smallest, left in."""
        while self._heap:
            key, name = self._heap[0]
            if self._keys.get(name) == key:
                return key, name
            heapq.heappop(self._heap)
        return None

    def key(self, name: str) -> K:
        """The key of one that is in it."""
        return self._keys[name]

    def upwards(self) -> Generator[str, None, None]:
        """All names, the smallest key first. Use the iterator up, or close it, before anything changes."""
        taken: list[tuple[K, str]] = []
        try:
            while (entry := self.first()) is not None:
                taken.append(heapq.heappop(self._heap))
                yield entry[1]
        finally:
            for entry in taken:
                heapq.heappush(self._heap, entry)
