"""When calls arrive at a server, and whether they are still let in.

grpc.aio has no way to stop that loses no call: one that is on its way when `Server.stop` begins is answered
CANCELLED, which no client's retry policy repeats, and which says nothing about who cancelled. So a server
that is to stop first waits until nobody calls it any more, in two steps (`ServiceServer.stop`).
"""

import asyncio
import time

_QUIET = 0.1
"""Seconds without a new call after which callers count as gone: many times the way of a message."""


class Arrivals:
    """Told of every call by the interceptor."""

    def __init__(self) -> None:
        self.refused = False
        """Whether new calls are answered UNAVAILABLE, which clients repeat elsewhere."""
        self._last = 0.0

    def note(self) -> None:
        """A call arrived."""
        self._last = time.monotonic()

    async def ended(self, limit: float) -> None:
        """Returns when no call has arrived for a while, or after `limit` seconds."""
        began = time.monotonic()
        while True:
            now = time.monotonic()
            until = min(max(self._last, began) + _QUIET, began + limit)
            if now >= until:
                return
            await asyncio.sleep(until - now)
