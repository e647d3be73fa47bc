"""Lets tasks wait until something with a name has news. Knows nothing of what the names mean."""

import asyncio


class Signals:
    """`changed(name)` wakes everybody who waits for that name. Ask for `waiter(name)` before you look, then
    wait for it, so that no news in between is missed."""

    def __init__(self) -> None:
        self._waiters: dict[str, asyncio.Event] = {}
        self._closed = False

    def waiter(self, name: str) -> asyncio.Event:
        """An event that is set at the next news; at once when everything has ended."""
        if self._closed:
            ended = asyncio.Event()
            ended.set()
            return ended
        return self._waiters.setdefault(name, asyncio.Event())

    def changed(self, name: str) -> None:
        """There is news."""
        waiter = self._waiters.pop(name, None)
        if waiter is not None:
            waiter.set()

    def close(self) -> None:
        """Wakes everybody, now and later."""
        self._closed = True
        for waiter in self._waiters.values():
            waiter.set()
        self._waiters.clear()


async def wait_until(event: asyncio.Event, seconds: float) -> bool:
    """Waits at most that long; whether the event was set."""
    try:
        async with asyncio.timeout(max(0.0, seconds)):
            await event.wait()
    except TimeoutError:
        return False
    return True
