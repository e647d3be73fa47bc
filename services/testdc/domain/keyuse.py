"""Telegram's rule for AUTH_KEY_DUPLICATED, as one small state machine per auth key.

Two live main connections of one key that send requests in turn (A, B, A) kill it. A reconnect while the
old connection is silent does not: A, B, B, B is legal however long A's socket lingers. Media
connections do not count. (TELEGRAM.md section 2; measured by older systems, the exact rule is Telegram's.)
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class KeyUse:
    """Which open main connections of one key have sent requests, and in what order."""

    _order: list[int] = field(default_factory=list)
    """Open connections by their last request, the latest at the end."""

    def request(self, connection_id: int) -> int | None:
        """A main connection sends a request; returns the other connection if that is A, B, A."""
        if self._order and self._order[-1] == connection_id:
            return None
        if connection_id in self._order:
            other = self._order[-1]
            self._order.remove(connection_id)
            self._order.append(connection_id)
            return other
        self._order.append(connection_id)
        return None

    def closed(self, connection_id: int) -> None:
        """A connection is gone; it can be interleaved with no more."""
        if connection_id in self._order:
            self._order.remove(connection_id)

    @property
    def latest(self) -> int | None:
        """The last active connection: updates go there."""
        return self._order[-1] if self._order else None
