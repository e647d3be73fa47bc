"""A clock whose hands are the event loop's, for tests in virtual time."""

import asyncio
from datetime import UTC, datetime, timedelta

_BEGIN = datetime(2026, 11, 20, 12, tzinfo=UTC)


class LoopClock:
    """See `services.runtime.clock.Clock`."""

    def monotonic(self) -> float:
        """The loop's time."""
        return asyncio.get_running_loop().time()

    def wall(self) -> datetime:
        """Noon of some day, and the loop's time on top."""
        return _BEGIN + timedelta(seconds=self.monotonic())
