"""The bookkeeping of one fleet call: who was selected, who is answered, what is still owed.

Keeps the promise of exactly one result per selected account however often schedulers come and go. No I/O, no
clock."""

from collections import Counter
from collections.abc import Iterable, Mapping

BATCH = 256
"""Results in one message at most (measured best, STYLE.md)."""
_MARGIN_SHARE = 0.1
_MARGIN_MOST = 1.0


class FleetLedger:
    """What is known of the accounts of one call. An answer counts once; one for a stranger never."""

    def __init__(self) -> None:
        self._owed: dict[str, None] = {}  # a set that keeps the order of the selection
        self._selected = False
        self._total = 0
        self._by_outcome: Counter[str] = Counter()

    @property
    def is_selected(self) -> bool:
        """Whether a scheduler has said which accounts the call is about."""
        return self._selected

    @property
    def owed(self) -> tuple[str, ...]:
        """The accounts without a result yet, in the order of the selection."""
        return tuple(self._owed)

    @property
    def is_complete(self) -> bool:
        """Whether every selected account has its result."""
        return self._selected and not self._owed

    @property
    def total(self) -> int:
        """How many accounts the call selected."""
        return self._total

    @property
    def by_outcome(self) -> Mapping[str, int]:
        """Results so far by outcome."""
        return dict(self._by_outcome)

    def select(self, account_ids: Iterable[str]) -> tuple[str, ...]:
        """Takes a scheduler's word on who is selected. The first one counts; a later scheduler was asked for
        what is owed, and those of them that it leaves out are returned: they no longer exist."""
        named = dict.fromkeys(account_ids)
        if self._selected:
            return tuple(account for account in self._owed if account not in named)
        self._owed, self._total, self._selected = named, len(named), True
        return ()

    def admit(self, account_id: str, outcome: str) -> bool:
        """Whether this result is owed; it then is no longer."""
        if account_id not in self._owed:
            return False
        del self._owed[account_id]
        self._by_outcome[outcome] += 1
        return True


def seconds_for_call(allowed: float | None, default: float) -> float:
    """How long a call may work: shortly less than the caller allows, so that the summary arrives before the
    caller's deadline; `default` for a caller that set none. Seconds."""
    if allowed is None:
        return default
    return max(0.0, allowed - min(_MARGIN_MOST, allowed * _MARGIN_SHARE))
