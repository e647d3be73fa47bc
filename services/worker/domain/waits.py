"""The flood waits of one account as its worker knows them: silent inside, merged by the longer one.

They are counted on a clock that never jumps (monotonic seconds): a time of day that is set forward must not
end a wait early.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

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

    _until: dict[tuple[str, int], float] = field(default_factory=dict)

    def add(self, method: str, chat_id: int, until: float) -> None:
        """Of two waits for the same thing the longer one counts."""
        key = (method.lower(), chat_id)
        self._until[key] = max(until, self._until.get(key, until))

    def blocking(self, methods: Iterable[str], now: float, chat_id: int = 0) -> float | None:
        """When the last wait ends that blocks any of the methods (in that chat), or None."""
        wanted = {method.lower() for method in methods}
        ends = [
            until
            for (method, chat), until in self._until.items()
            if method in wanted and chat in {0, chat_id} and until > now
        ]
        return max(ends, default=None)
