"""Hidden budgets: how much an account may send before it is told to wait, and how that recovers.

Telegram publishes no limits. What is known (TELEGRAM.md section 2): waits of around 50 minutes after some
2,000 forwards, and waits that grow from seconds to hours for those who try again inside one. A policy is a
guess of that kind, drawn by seed where a test wants to know nothing of it. Everything here is pure: `now` is
an argument in seconds of any clock, so that tests run it in virtual time.

::

    policy, state = draw(seed), FloodState()
    wait = policy.ask(state, messages=100, now=now)     # 0: go on; else FLOOD_WAIT_<wait>
    if not wait:
        policy.charge(state, messages=100, now=now)     # once it was carried out
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from math import ceil, exp, log
from random import Random


class Shape(Enum):
    """How a budget comes back."""

    BUCKET = "bucket"
    """Bit by bit, all the time."""
    WINDOW = "window"
    """All at once, a fixed time after the first message that was counted."""


@dataclass(slots=True)
class FloodState:
    """Where one account stands with one policy."""

    used: float = 0.0
    """Messages that count against the budget."""
    since: float = 0.0
    """Bucket: when `used` was true. Window: when it began."""
    until: float = 0.0
    """End of the wait that was handed out last."""
    waited_for: bool = False
    """Whether that wait is still to be counted for the recovery of a bucket."""
    strikes: int = 0
    """Waits that were handed out lately; each makes the next longer."""


@dataclass(frozen=True, slots=True)
class FloodPolicy:
    """One hidden budget. Times are seconds."""

    shape: Shape
    budget: float
    """Messages that go through at once."""
    period: float
    """Bucket: a whole budget comes back in this time. Window: its length."""
    wait: float
    """A bucket's first wait; a window's wait is the rest of it, at least this."""
    escalation: float = 1.0
    """By so much every further wait is longer."""
    forgiven_after: float = 0.0
    """Time without a wait after which the next one is short again; 0: never."""
    punishment: float = 1.0
    """A call inside a wait multiplies what is left of it by this."""
    recovered: float = 1.0
    """Share of a bucket that is free again when a wait ends, if it did not recover that much by itself."""
    longest: float = 14 * 86_400.0
    """No wait is longer."""
    counts_calls: bool = False
    """Calls are counted instead of messages."""
    premium: bool = False
    """The error is FLOOD_PREMIUM_WAIT_X."""

    def ask(self, state: FloodState, messages: int, now: float) -> int:
        """Whole seconds to wait before this may be sent; 0 for none. A wait is remembered."""
        if now < state.until:
            state.until = min(now + (state.until - now) * self.punishment, now + self.longest)
            return ceil(state.until - now - 1e-6)
        self._recover(state, now)
        if state.used + self._cost(messages) <= self.budget or state.used == 0:
            return 0
        return self._hand_out(state, now)

    def charge(self, state: FloodState, messages: int, now: float) -> None:
        """So many messages were sent."""
        self._recover(state, now)
        if state.used == 0:
            state.since = now
        state.used += self._cost(messages)

    def left(self, state: FloodState, now: float) -> float:
        """Messages that would go through now."""
        if now < state.until:
            return 0.0
        self._recover(state, now)
        return max(self.budget - state.used, 0.0)

    def _cost(self, messages: int) -> int:
        return 1 if self.counts_calls else messages

    def _recover(self, state: FloodState, now: float) -> None:
        if self.shape is Shape.WINDOW:
            if now >= state.since + self.period:
                state.used = 0.0
            return
        state.used = max(state.used - (now - state.since) * self.budget / self.period, 0.0)
        state.since = now
        if state.waited_for and now >= state.until:  # the wait itself has paid for a part
            state.used = min(state.used, self.budget * (1 - self.recovered))
            state.waited_for = False

    def _hand_out(self, state: FloodState, now: float) -> int:
        if self.forgiven_after and now - state.until > self.forgiven_after:
            state.strikes = 0
        rest = state.since + self.period - now if self.shape is Shape.WINDOW else 0.0
        wait = max(rest, self.wait) * self.escalation**state.strikes
        seconds = max(ceil(min(wait, self.longest) - 1e-6), 1)
        state.strikes += 1
        state.waited_for = True
        state.until = now + seconds
        return seconds


def draw(seed: int | str, *, time_scale: float = 1.0) -> FloodPolicy:
    """A policy that nobody knows beforehand. `time_scale` shortens all its times; budgets stay."""
    rng = Random(f"flood policy {seed}")  # noqa: S311 - it shall be repeatable
    shape = rng.choice(tuple(Shape))
    period = _between(rng, 600, 3_600)
    return FloodPolicy(
        shape=shape,
        budget=round(_between(rng, 300, 2_500)),
        period=period * time_scale,
        wait=_between(rng, 30, period) * time_scale,
        escalation=rng.choice((1.0, 1.25, 1.5)),
        forgiven_after=2 * period * time_scale,
        punishment=rng.choice((1.0, 1.5, 2.0)),
        recovered=rng.uniform(0.5, 1.0),
        longest=4 * period * time_scale,
    )


def _between(rng: Random, low: float, high: float) -> float:
    """Evenly on a logarithmic scale: small figures are as likely as large ones."""
    return exp(rng.uniform(log(low), log(high)))
