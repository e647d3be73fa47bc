"""The flood waits of one account as its worker knows them: silent inside, merged by the longer one."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

EVERYTHING = "*"
CONNECTING_METHODS = frozenset(
    {
        EVERYTHING,
        "initConnection",
        "invokeWithLayer",
        "help.getConfig",
        "updates.getState",
        "users.getUsers",
        "users.getFullUser",
    }
)
"""What a start calls: a wait on one of these blocks a start, any other does not (DESIGN section 4)."""
SENDING_METHODS = frozenset({EVERYTHING, "messages.sendMessage"})


@dataclass(slots=True)
class Waits:
    """Waits by method and chat; chat 0 counts for all chats."""

    _until: dict[tuple[str, int], datetime] = field(default_factory=dict)

    def add(self, method: str, chat_id: int, until: datetime) -> None:
        """Of two waits for the same thing the longer one counts."""
        key = (method.lower(), chat_id)
        self._until[key] = max(until, self._until.get(key, until))

    def blocking(self, methods: Iterable[str], now: datetime, chat_id: int = 0) -> datetime | None:
        """When the last wait ends that blocks any of the methods (in that chat), or None."""
        wanted = {method.lower() for method in methods}
        ends = [
            until
            for (method, chat), until in self._until.items()
            if method in wanted and chat in {0, chat_id} and until > now
        ]
        return max(ends, default=None)
