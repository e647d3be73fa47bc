"""How often in a row a child died, and when its deaths are worth telling in full. Pure."""

from dataclasses import dataclass

BASE = 0.25
"""Seconds before the first restart (at most; jitter takes up to half off)."""
CAP = 10.0
"""Seconds that a child which always dies waits at most."""
STEADY_AFTER = 30.0
"""Seconds of life after which earlier deaths are forgotten."""
REPEATED = 3
"""Deaths in a row that make a pattern: then the last log lines are shown, and a start counts as failed."""


@dataclass(frozen=True, slots=True)
class Deaths:
    """How often in a row a child died young."""

    in_a_row: int = 0

    def after(self, lived: float) -> "Deaths":
        """Counts one more death, of a process that had lived so many seconds."""
        return Deaths(1 if lived >= STEADY_AFTER else self.in_a_row + 1)

    @property
    def repeated(self) -> bool:
        """Whether this death is one too many to be chance."""
        return self.in_a_row > 0 and self.in_a_row % REPEATED == 0
