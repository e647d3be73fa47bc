"""The gate of one session: the question "may this byte leave?" asked before every dial and every write.

It knows neither leases nor Telegram: it is open as long as its owner says so, and once shut it stays shut.
Shutting runs the callbacks (abort the sockets, tell the supervisor) at once and in the same call, because a
session that goes on after its lease kills the account's key.
"""

from collections.abc import Callable

from services.worker.domain.telegram import Fenced


class Gate:
    """Guards everything that a session sends."""

    def __init__(self, is_open: Callable[[], bool]) -> None:
        self._is_open = is_open
        self._shut = False
        self._on_shut: list[Callable[[], None]] = []
        self.used = False
        """Whether a byte was ever let through to Telegram."""

    @property
    def shut(self) -> bool:
        """Whether it is closed for good."""
        return self._shut

    def check(self) -> None:
        """Raises Fenced, and shuts for good, when the session may not be used any more."""
        if self._shut or not self._is_open():
            self.close()
            raise Fenced("this session's lease has run out")

    def on_shut(self, callback: Callable[[], None]) -> None:
        """Calls back when the gate shuts; at once if it has."""
        if self._shut:
            callback()
        else:
            self._on_shut.append(callback)

    def forget(self, callback: Callable[[], None]) -> None:
        """Undoes `on_shut`; harmless when it is not there."""
        if callback in self._on_shut:
            self._on_shut.remove(callback)

    def close(self) -> None:
        """Shuts the gate. Idempotent."""
        if self._shut:
            return
        self._shut = True
        callbacks, self._on_shut = self._on_shut, []
        for callback in callbacks:
            callback()
