"""A list that only grows, and is cheap to pickle again and again: what was pickled once is kept as bytes.

The data centre's state is saved several times a second while it serves clients; without this, saving 30,000
messages would hold it up for half a second each time.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Sequence
from typing import Generic, TypeVar, overload

T = TypeVar("T")

CHUNK = 512
"""Items that are pickled together."""


def freeze(items: object) -> bytes:
    """The bytes of a full chunk."""
    return pickle.dumps(items, protocol=pickle.HIGHEST_PROTOCOL)


def thaw(chunk: bytes) -> list[T]:
    """The items of a chunk; of our own state file, which nobody else may read or write."""
    found: list[T] = pickle.loads(chunk)  # noqa: S301 - see above
    return found


class FrozenLog(Sequence[T], Generic[T]):
    """Items are appended and never changed afterwards."""

    __slots__ = ("_frozen", "_items")

    def __init__(self) -> None:
        self._items: list[T] = []
        self._frozen: list[bytes] = []

    def append(self, item: T) -> None:
        """Add an item at the end."""
        self._items.append(item)

    def __len__(self) -> int:
        return len(self._items)

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> list[T]: ...
    def __getitem__(self, index: int | slice) -> T | list[T]:
        return self._items[index]

    def __iter__(self) -> Iterator[T]:
        return iter(self._items)

    def __getstate__(self) -> tuple[list[bytes], list[T]]:
        done = len(self._frozen) * CHUNK
        while done + CHUNK <= len(self._items):
            self._frozen.append(freeze(self._items[done : done + CHUNK]))
            done += CHUNK
        return list(self._frozen), self._items[done:]

    def __setstate__(self, state: tuple[list[bytes], list[T]]) -> None:
        self._frozen, rest = state
        self._items = []
        for chunk in self._frozen:
            self._items += thaw(chunk)
        self._items += rest
