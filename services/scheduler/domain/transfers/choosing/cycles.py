"""The first figures of a budget, from what went through between the waits that an account was told. Knows no
clock.

A cycle ends with a wait: so many messages went through in so many seconds since the wait before was told.
When about the same number goes through every time, a budget comes back as a whole, as in a window that begins
anew. When it is less after a short wait and more after a long one, messages come back one by one, and the
first burst shows how many can gather.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

LEAST = 3
"""Cycles without which nothing is predicted."""
KEPT = 8
_ALIKE = 0.8
"""Cycles of which the smallest has that share of the largest are alike."""
_ENOUGH = 8
"""Calls' worth of messages that cycles which differ must have had until their rate means something: a cycle
is only known to within one call."""


@dataclass(frozen=True, slots=True)
class Cycle:
    """`passed` messages went through, `seconds` after the wait before (or the first message). `turn`: for so
    long of it others were used instead. `fresh`: it began after a pause, so its seconds say nothing of
    recovery."""

    passed: float
    seconds: float
    turn: float
    fresh: bool


@dataclass(frozen=True, slots=True)
class Figures:
    """`capacity`: messages that can go at once after a long pause. `chunk`: what comes back in a rest that is
    worth its while. `recovery`: messages a second."""

    capacity: float
    chunk: float
    recovery: float


def first_figures(cycles: Sequence[Cycle], call: int) -> Figures | None:
    """None while they say too little. `call`: messages of the call that was refused last."""
    passed = sorted(cycle.passed for cycle in cycles)
    later = [cycle for cycle in cycles if not cycle.fresh] or cycles[1:]
    if len(cycles) < LEAST or not later:
        return None
    top, rest = passed[-1], sorted(cycle.passed for cycle in later)
    typical = rest[len(rest) // 2]
    alike = passed[0] >= _ALIKE * top
    if not alike and sum(rest) < _ENOUGH * call and len(cycles) < KEPT:
        return None
    if typical >= _ALIKE * top:
        near = [count for count in passed if count >= top / 2]
        capacity = near[len(near) // 4]  # a lower one: windows may differ
        prompt = [replace(cycle, seconds=cycle.seconds - cycle.turn) for cycle in later]  # it was back before
        return Figures(capacity, min(typical, capacity), _rate(prompt, 0.0))
    partial = [cycle for cycle in later if cycle.passed < 0.9 * top]  # a full bucket had stopped filling
    return Figures(top, typical, _rate(partial or later, call / 4))


def _rate(cycles: Sequence[Cycle], unsure: float) -> float:
    passed, seconds = sum(c.passed for c in cycles), sum(c.seconds for c in cycles)
    return max(passed / 2, passed - unsure) / max(1.0, seconds)
