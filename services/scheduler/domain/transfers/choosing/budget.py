"""What is predicted of one account and method, from its own history (DESIGN section 6, "predicted budget
left"): how many messages go through before Telegram says wait, and how fast they come back. Knows nothing of
accounts, and nothing of how Telegram decides.

Until there were a few waits it predicts nothing (`history.py`). Then it is a bucket: `capacity` messages,
`recovery` messages a second. Nearly all of what is in it is used; when it is empty the account rests, without
being told to, until a `chunk` is back: all of it where the budget comes back as a whole, else about what came
back between two waits. A wait in spite of that corrects the figure that was wrong; what holds is raised
slowly (`estimate.py`).
"""

from dataclasses import dataclass, field

from services.scheduler.domain.transfers.choosing.cycles import Figures
from services.scheduler.domain.transfers.choosing.estimate import SHARE, Estimate
from services.scheduler.domain.transfers.choosing.history import History
from services.scheduler.domain.transfers.choosing.lengths import length
from services.scheduler.domain.transfers.choosing.words import Predicted

UNLIMITED = 1_000_000_000
"""More messages than there are."""

SMALLEST = 10.0
"""Messages of the largest album: a budget below could never send one."""
_LONGEST_REST = 86_400.0
"""Seconds; rather than rest longer, it is tried."""
_LONGEST_IN_WAITS = 100.0
"""Nor so many times the longest wait of late: Telegram asks for less, so it is the figure that is wrong."""
_STEP = 0.5
"""One wait takes away no more than that share of the recovery: somebody else may have used the account."""
_WHOLE = 0.9
"""A chunk of that share of the capacity is the whole of it."""
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
    """Messages since `since`: the last wait, the first rest after it, or the first use of a full budget
    (`from_full`)."""
    since: float = 0.0
    from_full: bool = True
    longest: float = 0.0
    """The longest wait of late: halves with every one that is shorter."""
    flooded_at: float = 0.0
    blurred: bool = False
    """A call since the last wait ended another way: nobody knows whether Telegram counted it."""
    history: History = field(default_factory=History)

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
        """Messages left, resting or not; None when nothing is predicted. What comes back as a whole does not
        come back while it is used."""
        if not self.known:
            return None
        level = self._level(now)
        if self.whole and self.from_full and level < self.capacity.value:
            level = min(level, self.capacity.value - self.passed)
        return max(0.0, level)

    def left_at(self, amount: float, now: float) -> float | None:
        """When so many will be left; None when never."""
        if not self.known or amount > self.capacity.value:
            return None
        return now + max(0.0, self._needed(amount) - self._level(now)) / self.recovery.value + 1e-3

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
        return now + max(0.0, self._needed(needed) - self._level(now)) / self.recovery.value + 1e-3

    def _needed(self, amount: float) -> float:
        """The level at which so many are left: of a budget that comes back as a whole, all of it when what
        was not used of it is too little."""
        used = self.whole and self.from_full and self.capacity.value - self.passed < amount
        return self.capacity.value if used else amount

    def sent(self, count: int, now: float) -> None:
        """So many went through."""
        if not self.known:
            self.history.sent(count, now)
            return
        self._fill(now)
        self.passed += count
        self.level -= count
        if (self.left(now) or 0.0) < min(SMALLEST, self.enough / 10):  # too little to be worth a call
            self._rest(now)

    def blur(self) -> None:
        """A call was refused for another reason, or its answer was lost."""
        self.blurred = True

    def flooded(self, seconds: float, call: int, now: float) -> None:
        """A call of so many messages was answered with a wait."""
        self.waits_seen += 1
        self.flooded_at, self.longest = now, max(seconds, self.longest / 2)
        blurred, self.blurred = self.blurred, False
        if self.known:
            self._fill(now)
            if not blurred:
                self._correct(seconds, call, now)
        else:
            figures = self.history.flooded(seconds, call, now, blurred=blurred)
            if figures is None:
                return
            self._take(figures)
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
        every = length(self.enough / self.recovery.value)
        back = f"all come back {every} later" if self.whole else f"{self.chunk:,.0f} come back in {every}"
        return (
            f"By the {self.waits_seen} waits seen, about {self.capacity.value:,.0f} messages go through, "
            f"{left:,.0f} of them are left, and {back}."
        )

    def _level(self, now: float) -> float:
        gained = max(0.0, now - self.at) * self.recovery.value
        return max(self.level, min(self.capacity.value, self.level + gained))

    def _fill(self, now: float) -> None:
        self.level, self.at = self._level(now), max(now, self.at)
        if self.level >= self.capacity.value:
            self.from_full, self.passed, self.since = True, 0.0, now
        if self.level + 1e-6 >= self.enough:
            self.resting = False

    def _rest(self, now: float) -> None:
        """It is used up, and nothing was said: unless that was a wait's doing, what was believed held."""
        began = self.since if self.from_full else now
        if self.untried:
            self.untried, self.passed, self.since = False, 0.0, now
        else:
            liftable = now - self.flooded_at >= _DEAR * self.longest
            self.streak = 0
            self.recovery.held(liftable=liftable)
            if self.from_full and self.passed >= _WHOLE * self.capacity.value:
                self.capacity.held(liftable=liftable)
        self.level = min(self.capacity.value, self.recovery.value * (now - began)) if self.whole else 0.0
        self.resting, self.from_full, self.rest_began = True, False, now

    def _take(self, figures: Figures) -> None:
        self.capacity = Estimate.of(max(SMALLEST, figures.capacity / SHARE))  # as many did go through
        self.chunk = min(self.capacity.value, max(SMALLEST, figures.chunk))
        self.recovery = Estimate.of(max(figures.recovery, self._slowest()))
        self.history = History()

    def _correct(self, seconds: float, call: int, now: float) -> None:
        """Which figure was wrong?"""
        self.streak += 1
        mostly_used = self.passed >= self.capacity.value / 2
        if self.from_full and (mostly_used or not self.whole):
            came_back = 0.0 if self.whole else self.recovery.value * (now - self.since)
            self._correct_capacity(self.passed - came_back)
        elif self.untried and self.whole:
            self._correct_capacity(self.passed)
        else:
            self._correct_recovery(seconds, call, now)
        self.chunk = min(self.chunk, self.capacity.value)

    def _correct_capacity(self, found: float) -> None:
        """It was full, and this is what was in it. The first time that is met half-way: a budget may differ
        from one time to the next."""
        if self.streak == 1:
            found = (found + self.capacity.value) / 2
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
        self.recovery.broke(at, max(_STEP * value, self._slowest()))

    def _slowest(self) -> float:
        return self.enough / min(_LONGEST_REST, max(1.0, _LONGEST_IN_WAITS * self.longest))
