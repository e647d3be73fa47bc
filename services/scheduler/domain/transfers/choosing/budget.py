"""What is predicted of one account and method, from its own history (DESIGN section 6, "predicted budget
left"): how many messages go through before Telegram says wait, and how fast they come back. Knows nothing of
accounts, and nothing of how Telegram decides.

Until there were a few waits (`cycles.py`) it predicts nothing. Then it is a bucket: `capacity` messages,
`recovery` messages a second. Nearly all of what is in it is used; when it is empty the account rests, without
being told to, until a `chunk` is back: all of it where the budget comes back as a whole, else about what came
back between two waits. A wait in spite of that corrects the figure that was wrong; what holds is raised
slowly (`estimate.py`).
"""

from dataclasses import dataclass, field

from services.scheduler.domain.transfers.choosing.cycles import KEPT, Cycle, Figures, first_figures
from services.scheduler.domain.transfers.choosing.estimate import SHARE, Estimate
from services.scheduler.domain.transfers.choosing.words import Predicted

UNLIMITED = 1_000_000_000
"""More messages than there are."""

SMALLEST = 10.0
"""Messages of the largest album: a budget below could never send one."""
_LONGEST_REST = 86_400.0
"""Seconds; rather than rest longer, it is tried."""
_WHOLE = 0.9
"""A chunk of that share of the capacity is the whole of it."""
_IDLE = 30.0
"""Seconds without use, beyond a quarter of the wait that was served, after which an account was idle."""
_DEAR = 10.0
"""So many times the longest wait of late must have passed before more is tried: where waits grow with every
one, trying costs more than it can bring."""
_DEEPEST = 0.9
"""What is left of the recovery at least when a rest was too short for the first time; less with every time
that follows."""
_HOUR = 3600.0


@dataclass(slots=True)
class Budget:
    """One account's and method's. Times are monotonic seconds."""

    capacity: Estimate = field(default_factory=lambda: Estimate(0.0, 0.0))
    recovery: Estimate = field(default_factory=lambda: Estimate(0.0, 0.0))
    chunk: float = 0.0
    level: float = 0.0
    """Messages left at `at`."""
    at: float = 0.0
    resting: bool = False
    waits_seen: int = 0
    streak: int = 0
    """Waits in spite of the prediction, without a rest that was long enough between them."""
    untried: bool = True
    """No rest since the last wait: what goes through came with the wait, which may give more than a rest."""
    rest_began: float = 0.0
    passed: float = 0.0
    """Messages since `since`: the last wait, the first rest after it, or when it was full (`from_full`)."""
    since: float = 0.0
    from_full: bool = True
    used: float = 0.0
    """When it was used last, or may be used again after a wait."""
    served: float = 0.0
    """Seconds of the last wait."""
    longest: float = 0.0
    """The longest wait of late: halves with every one that is shorter."""
    flooded_at: float = 0.0
    cycles: list[Cycle] = field(default_factory=list)

    @property
    def known(self) -> bool:
        """Whether it predicts anything."""
        return self.recovery.value > 0

    @property
    def whole(self) -> bool:
        """Whether the budget comes back as a whole."""
        return self.chunk >= _WHOLE * self.capacity.value

    @property
    def enough(self) -> float:
        """Messages that must be back until a rest ends."""
        return self.capacity.value if self.whole else self.chunk

    def left(self, now: float) -> float | None:
        """Messages left, resting or not; None when nothing is predicted."""
        if not self.known:
            return None
        gained = max(0.0, now - self.at) * self.recovery.value
        return max(self.level, min(self.capacity.value, self.level + gained))

    def left_at(self, amount: float, now: float) -> float | None:
        """When so many will be left; None when never."""
        left = self.left(now)
        if left is None or amount > self.capacity.value:
            return None
        return now + max(0.0, amount - left) / self.recovery.value + 1e-3

    def allowance(self, now: float) -> int:
        """Messages that may go now."""
        left = self.left(now)
        if left is None:
            return UNLIMITED
        return 0 if self.resting and left + 1e-6 < self.enough else int(left + 1e-6)

    def allows(self, count: int, now: float) -> bool:
        """Whether so many may go, or as many as ever could."""
        return self.allowance(now) >= (min(count, int(self.capacity.value)) if self.known else count)

    def rested_at(self, count: int, now: float) -> float:
        """When it allows so many."""
        needed = min(float(count), self.capacity.value)
        if self.resting:
            needed = max(needed, self.enough)
        return now + max(0.0, needed - (self.left(now) or 0.0)) / self.recovery.value + 1e-3

    def sent(self, count: int, now: float) -> None:
        """So many went through."""
        if not self.known:
            self._begin_after_idleness(now)
        self._fill(now)
        self.used = now
        self.passed += count
        if not self.known:
            return
        self.level -= count
        if self.level < min(SMALLEST, self.enough / 10):  # what is left is too little to be worth a call
            self._rest(now)

    def flooded(self, seconds: float, call: int, now: float) -> None:
        """A call of so many messages was answered with a wait."""
        self._fill(now)
        self.waits_seen += 1
        self.served, self.used, self.flooded_at = seconds, now + seconds, now
        self.longest = max(seconds, self.longest / 2)
        if self.known:
            self._correct(seconds, call, now)
        elif not self._learn(call, now):
            return
        self.passed, self.since, self.from_full = 0.0, now, False
        self.resting = self.untried = True
        # A budget that comes back as a whole is back when the wait is over; else the wait counts as any rest.
        back = self.recovery.value * seconds
        self.level, self.at = max(0.0, self.capacity.value - back) if self.whole else 0.0, now

    def predicted(self, method: str, now: float) -> Predicted | None:
        """The figures; None when nothing is predicted."""
        left = self.left(now)
        if left is None:
            return None
        per_hour = self.recovery.value * _HOUR
        return Predicted(method, self.capacity.value, left, per_hour, self.waits_seen, self.sentence(now))

    def sentence(self, now: float) -> str:
        """The figures for people."""
        left = self.left(now)
        if left is None:
            return "Nothing is predicted yet."
        back = "as a whole" if self.whole else f"{self.recovery.value * _HOUR:,.0f} an hour"
        return (
            f"By {self.waits_seen} waits seen, about {self.capacity.value:,.0f} messages go through, "
            f"{left:,.0f} of them are left, and they come back {back}."
        )

    def _fill(self, now: float) -> None:
        left = self.left(now)
        if left is None:
            return
        self.level, self.at = left, max(now, self.at)
        if left >= self.capacity.value and not self.from_full:
            self.from_full, self.passed, self.since = True, 0.0, now
        if left + 1e-6 >= self.enough:
            self.resting = False

    def _rest(self, now: float) -> None:
        """It is used up, and nothing was said: unless that was a wait's doing, what was believed held."""
        if self.untried:
            self.untried, self.passed, self.since = False, 0.0, now
        else:
            liftable = now - self.flooded_at >= _DEAR * self.longest
            self.streak = 0
            self.recovery.held(liftable=liftable)
            if self.from_full and self.passed >= _WHOLE * self.capacity.value:
                self.capacity.held(liftable=liftable)
        self.level, self.resting, self.from_full, self.rest_began = 0.0, True, False, now

    def _begin_after_idleness(self, now: float) -> None:
        if not self.passed and not self.waits_seen:
            self.since = now
        elif now - self.used > _IDLE + self.served / 4:
            self.passed, self.since, self.from_full = 0.0, now, True

    def _learn(self, call: int, now: float) -> bool:
        """Whether there is a prediction from now on."""
        if self.passed:
            self.cycles = [*self.cycles, Cycle(self.passed, now - self.since, self.from_full)][-KEPT:]
            self.passed, self.since, self.from_full = 0.0, now, False
        figures = first_figures(self.cycles, call)
        if figures is None:
            return False
        self._take(figures)
        return True

    def _take(self, figures: Figures) -> None:
        self.capacity = Estimate.of(max(SMALLEST, figures.capacity / SHARE))  # as many did go through
        self.chunk = min(self.capacity.value, max(SMALLEST, figures.chunk))
        self.recovery = Estimate.of(max(figures.recovery, self._slowest()))
        self.cycles = []

    def _correct(self, seconds: float, call: int, now: float) -> None:
        """Which figure was wrong?"""
        self.streak += 1
        mostly_used = self.passed >= self.capacity.value / 2
        if self.from_full and (mostly_used or not self.whole):
            self._correct_capacity(self.passed - self.recovery.value * (now - self.since))
        elif self.untried and self.whole:
            self._correct_capacity(self.passed)
        else:
            self._correct_recovery(seconds, call, now)
        self.chunk = min(self.chunk, self.capacity.value)

    def _correct_capacity(self, found: float) -> None:
        """It was full, and this is what was in it."""
        self.capacity.broke(found, max(SMALLEST, self.capacity.value / 2))

    def _correct_recovery(self, seconds: float, call: int, now: float) -> None:
        """It was empty, and even the call has not come back since. Where a budget comes back as a whole, that
        may have been close: then the wait that was told says how close, if it is not a penalty as well."""
        value = self.recovery.value
        if self.whole:
            rested = max(1.0, now - self.rest_began)
            most = max((self.passed + call) / rested, self.enough / (rested + seconds))
            at = max(most, value * _DEEPEST ** (2 ** min(self.streak - 1, 5)))
        else:
            at = (self.passed + call) / max(1.0, now - self.since)
            if not self.passed and self.streak > 1 and seconds > self.chunk / value / 2:
                self.chunk *= 2  # rests that short are answered with waits as long: more must be back
        self.recovery.broke(at, self._slowest())

    def _slowest(self) -> float:
        return self.enough / _LONGEST_REST
