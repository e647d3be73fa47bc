"""A figure that may not be exceeded, and that only exceeding it would tell: how it is approached. Knows not
what it is the figure of.

`limit` is where it was exceeded last, or believed to be; `value`, what one goes by, stays a little below.
When it was exceeded, the value falls further and comes back in small steps. Only after it held many times
is the limit itself lifted a little; when that holds too, the next time comes sooner. So it is exceeded about
once in twenty times for good, which is the price of noticing that more is possible.
"""

from dataclasses import dataclass

SHARE = 0.985
"""Of the limit: what is gone up to."""
CUT = 0.97
"""Of the limit: where to go on from when it was exceeded."""
RETURN = 0.25
"""Of what is missing to the share: how much each time that it held gives back."""
PATIENCE = 18
"""So many times it must have held until the limit is lifted, half as many the next time."""
LIFT = 1.02
_LEAST_PATIENCE = 2


@dataclass(slots=True)
class Estimate:
    """One figure."""

    value: float
    limit: float
    patience: int = PATIENCE
    held_times: int = 0

    @classmethod
    def of(cls, limit: float) -> "Estimate":
        """From what was seen to be the limit."""
        return cls(SHARE * limit, limit)

    def held(self, *, liftable: bool) -> None:
        """It was made full use of, and not exceeded. `liftable` False: not the time to try more."""
        aim = SHARE * self.limit
        self.value = max(self.value, min(aim, self.value + RETURN * (aim - self.value) + aim / 1000))
        self.held_times += 1
        if liftable and self.held_times >= self.patience:
            self.limit *= LIFT
            self.patience = max(_LEAST_PATIENCE, self.patience // 2)
            self.held_times = 0

    def broke(self, at: float, least: float, cut: float = CUT) -> None:
        """It was exceeded, there at the latest. `least`: never lower than that."""
        self.limit = max(least, min(at, self.value))
        self.value = max(least, cut * self.limit)
        self.patience, self.held_times = PATIENCE, 0
