"""What happened with an account and method while nothing is predicted of it: the cycles between its waits.
Knows not what is made of them."""

from dataclasses import dataclass, field

from services.scheduler.domain.transfers.choosing.cycles import KEPT, Cycle, Figures, first_figures

_IDLE = 30.0
"""Seconds without use, beyond a quarter of the wait that was served, after which an account was idle."""
_SECOND = 2


@dataclass(slots=True)
class History:
    """Of the cycle that runs, and of those that ended. Times are monotonic seconds."""

    cycles: list[Cycle] = field(default_factory=list)
    passed: float = 0.0
    """Messages of this cycle."""
    since: float = 0.0
    """When it began: with the last wait, or with the first message (`fresh`)."""
    fresh: bool = True
    calls: int = 0
    used: float = 0.0
    """When it was used last, or may be used again after a wait."""
    served: float = 0.0
    """Seconds of the last wait."""
    first_gap: float = 0.0
    """From when it might be used until its first call had gone through."""
    turn: float = 0.0
    """As in Cycle."""

    def sent(self, count: int, now: float) -> None:
        """So many went through. How long the first call took is not known: the second is taken for it."""
        gap, self.calls = now - self.used, self.calls + 1
        if self.fresh and self.calls == 1:
            self.since = now
        elif gap > _IDLE + self.served / 4:
            self.passed, self.since, self.fresh, self.calls = 0.0, now, True, 1
        elif self.calls == 1:
            self.first_gap = gap
        elif self.calls == _SECOND:
            self.turn = max(0.0, self.first_gap - gap)
        self.passed += count
        self.used = now

    def flooded(self, seconds: float, call: int, now: float, *, blurred: bool = False) -> Figures | None:
        """A call was answered with a wait of so many seconds. Gives the figures once they are clear.
        `blurred`: more may have gone through in this cycle, which therefore says nothing."""
        if blurred:
            self.passed, self.since, self.fresh = 0.0, now, False
        elif self.passed:
            cycle = Cycle(self.passed, now - self.since, self.turn, self.fresh)
            self.cycles = [*self.cycles, cycle][-KEPT:]
            self.passed, self.since, self.fresh = 0.0, now, False
        self.calls, self.first_gap, self.turn = 0, 0.0, 0.0
        self.used, self.served = now + seconds, seconds
        return first_figures(self.cycles, call)
