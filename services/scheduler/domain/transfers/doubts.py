"""What to do next about a batch of unknown outcome, from what is known (DESIGN section 6, point 3). Pure: a
`Case` in, a `Step` out; whoever asks carries it out and asks again.

A repeat by the same account is harmless while Telegram still knows the random_ids: within the window after
the first transmission, or after its account saw that nothing had arrived (what arrives later is known from
then on). Another account may do it only when the first is gone, and nothing was found twice.
"""

from dataclasses import dataclass
from enum import Enum


class Standing(Enum):
    """Whether the batch's own account can be asked."""

    READY = 1
    AWAY = 2  # it will come back
    GONE = 3  # it will not, without a person


class Do(Enum):
    """What to do."""

    REPEAT = 1
    LOOK = 2  # by its own account
    LOOK_OTHER = 3  # by another one
    DELIVERED = 4  # it is settled as sent, whatever else is known
    WITHDRAW = 5  # it is settled as not sent
    WAIT = 6
    UNDECIDED = 7


@dataclass(frozen=True, slots=True)
class Step:
    """`until`: when to ask again at the latest (by `now`), None for when something changes. `detail` for
    people."""

    do: Do
    until: float | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Case:
    """All times by the same clock; None for none. `may_repeat`: its account was not refused another way.
    `looked`: its own account looked since the last attempt; `unclear`: and it proved nothing. `absent`: when
    it last saw that nothing was there. `absences`: when anybody saw that since the last attempt; `ambiguous`:
    somebody's look proved nothing. `away_since`: when its account was last seen to go."""

    now: float
    standing: Standing
    first_sent: float
    unknown_since: float
    window: float
    takeover_delay: float
    relook_delay: float
    may_repeat: bool = True
    delivered: bool = False
    forward_wait: float | None = None
    read_wait: float | None = None
    looked: bool = False
    unclear: bool = False
    absent: float | None = None
    absences: tuple[float, ...] = ()
    ambiguous: bool = False
    others_allowed: bool = False
    pinned: bool = False
    away_since: float = 0.0


def next_step(case: Case) -> Step:
    """What to do now."""
    if case.delivered:
        can_look = case.standing is Standing.READY and case.read_wait is None and not case.looked
        return Step(Do.LOOK if can_look else Do.DELIVERED)
    if case.standing is Standing.READY and case.may_repeat:
        return _own(case)
    if case.standing is Standing.AWAY and case.may_repeat and not case.others_allowed:
        return _await_own(case)
    return _without_repeat(case)


def _own(case: Case) -> Step:
    base = case.first_sent if case.absent is None else max(case.first_sent, case.absent)
    ends = base + case.window
    if case.now < ends and case.forward_wait is None:
        return Step(Do.REPEAT)
    if not case.looked:
        if case.read_wait is not None:
            return Step(Do.WAIT, case.read_wait, "its account must wait before it may look")
        return Step(Do.LOOK)
    if case.unclear and (case.forward_wait is None or case.forward_wait >= ends):
        return Step(Do.UNDECIDED, None, "what is in the target is no proof")
    if case.forward_wait is not None:
        return Step(Do.WAIT, case.forward_wait, "its account must wait before it may repeat it")
    return Step(Do.LOOK)  # that look is too old


def _await_own(case: Case) -> Step:
    patience = max(case.unknown_since, case.away_since) + case.takeover_delay
    if case.now < patience:
        return Step(Do.WAIT, patience, "its account is awaited")
    return Step(Do.UNDECIDED, None, "its account is not there")


def _without_repeat(case: Case) -> Step:
    """Its account is gone, or may not repeat it: nothing is found twice, then it is planned anew. Another
    account looks when its own cannot."""
    own = case.standing is Standing.READY
    if case.pinned and not own:
        return Step(Do.UNDECIDED, None, "only its own account could tell")
    if case.ambiguous:
        return Step(Do.UNDECIDED, None, "what is in the target is no proof")
    begins = case.unknown_since + case.takeover_delay
    looks = [at for at in case.absences if at >= begins]
    if looks:
        begins = looks[0] + case.relook_delay
        if looks[-1] >= begins:
            return Step(Do.WITHDRAW, None, "it is not in the target")
    if case.now < begins:
        return Step(Do.WAIT, begins, "it is looked for in the target soon")
    if own and case.read_wait is not None:
        return Step(Do.WAIT, case.read_wait, "its account must wait before it may look")
    return Step(Do.LOOK if own else Do.LOOK_OTHER)
