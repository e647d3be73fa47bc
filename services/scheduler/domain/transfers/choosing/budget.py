"""The prediction's place: predicts nothing yet."""

# ruff: noqa: ARG002, ARG003
from services.scheduler.domain.transfers.choosing.words import Predicted

UNLIMITED = 1_000_000_000
"""More messages than there are."""


class Budget:
    """What is predicted of one account and method."""

    def allowance(self, now: float) -> int:
        """Messages that may go now."""
        return UNLIMITED

    def rested_at(self, count: int, now: float) -> float:
        """When that many may go."""
        return now

    def left(self, now: float) -> float | None:
        """Messages left, None when nothing is predicted."""
        return None

    def left_at(self, amount: float, now: float) -> float | None:
        """When that many will be left."""
        return None

    def sentence(self, now: float) -> str:
        """For people."""
        return ""

    def sent(self, count: int, now: float) -> None:
        """Learns."""

    def flooded(self, seconds: float, count: int, now: float) -> None:
        """Learns."""

    def predicted(self, method: str, now: float) -> Predicted | None:
        """For people."""
        return None

    def dump(self, offset: float) -> str:
        """JSON."""
        return "{}"

    @classmethod
    def load(cls, state: str, now: float, wall: float) -> "Budget | None":
        """From JSON."""
        return cls()
