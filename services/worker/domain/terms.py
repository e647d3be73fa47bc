"""Whose commands count: a leader's, until a higher term was seen (DESIGN section 2)."""

from dataclasses import dataclass


@dataclass(slots=True)
class Terms:
    """The highest term seen by this process."""

    highest: int = 0

    def accept(self, term: int) -> bool:
        """Whether a command of this term is to be carried out; remembers the highest."""
        if term < self.highest:
            return False
        self.highest = term
        return True
