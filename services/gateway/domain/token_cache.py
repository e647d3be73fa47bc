"""Remembers for a few seconds what the registry said about a token. Bounded, so that random tokens cost
constant memory.

Known and refused tokens are kept apart: a flood of wrong ones cannot push the right ones out.
"""

from collections import OrderedDict
from typing import Generic, TypeVar

from services.gateway.domain.credentials import Refusal

V = TypeVar("V")

KNOWN_SECONDS = 5.0
"""How long a token still works after it was revoked, at most ("within seconds everywhere",
TokenService.RevokeToken)."""
REFUSED_SECONDS = 1.0
"""How long a refusal is remembered; short, because the token may just be about to be made."""
CAPACITY = 4096
"""Entries of each kind."""


class TokenCache(Generic[V]):
    """Verdicts by the token's fingerprint: whatever stands for a known caller, or a refusal. `now` is seconds
    on a monotonic clock."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._known: _Shelf[V] = _Shelf(capacity, KNOWN_SECONDS)
        self._refused: _Shelf[Refusal] = _Shelf(capacity, REFUSED_SECONDS)

    def get(self, fingerprint: bytes, now: float) -> V | Refusal | None:
        """The verdict, or None when the registry has to be asked."""
        return self._known.get(fingerprint, now) or self._refused.get(fingerprint, now)

    def put(self, fingerprint: bytes, verdict: V | Refusal, now: float) -> None:
        """Remembers what the registry said; it replaces an earlier opposite verdict."""
        if isinstance(verdict, Refusal):
            self._known.drop(fingerprint)
            self._refused.put(fingerprint, verdict, now)
        else:
            self._refused.drop(fingerprint)
            self._known.put(fingerprint, verdict, now)

    def __len__(self) -> int:
        return len(self._known) + len(self._refused)


class _Shelf(Generic[V]):
    """A dictionary that forgets: after a time, and the oldest when it is full."""

    def __init__(self, capacity: int, seconds: float) -> None:
        self._capacity = capacity
        self._seconds = seconds
        self._entries: OrderedDict[bytes, tuple[float, V]] = OrderedDict()

    def get(self, key: bytes, now: float) -> V | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        if now >= entry[0]:
            del self._entries[key]
            return None
        return entry[1]

    def put(self, key: bytes, value: V, now: float) -> None:
        self.drop(key)
        self._entries[key] = (now + self._seconds, value)
        if len(self._entries) > self._capacity:
            self._entries.popitem(last=False)

    def drop(self, key: bytes) -> None:
        self._entries.pop(key, None)

    def __len__(self) -> int:
        return len(self._entries)
