"""Waits that were handed out, so that the journal can say which calls came inside one.

A flood wait holds for an account and a method, one of slow mode for the chat besides. It holds to its end,
even where the reason for it was lifted meanwhile: the client was told, and knows of no lifting.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class WaitBook:
    """The end of every wait, on the clock of whoever asks."""

    _until: dict[tuple[int, str, str], float] = field(default_factory=dict)

    def note(self, user_id: int, method: str, chat: str, until: float) -> None:
        """A wait was handed out; `chat` is empty for one that holds everywhere."""
        key = (user_id, method, chat)
        self._until[key] = max(until, self._until.get(key, 0.0))

    def left(self, user_id: int, method: str, chat: str, now: float) -> float:
        """Seconds left of the wait that a call falls into; 0 for none."""
        ends = (self._until.get((user_id, method, place), 0.0) for place in {"", chat})
        return max(max(ends) - now, 0.0)
