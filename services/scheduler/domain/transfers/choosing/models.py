"""The budgets of all accounts and methods: made when there is something to learn, kept as ModelRecords. Knows
nothing of how a budget is predicted. With prediction off there are none, and nothing is learned.
"""

from collections.abc import Iterable

from services.scheduler.domain.transfers.choosing import memory
from services.scheduler.domain.transfers.choosing.budget import Budget
from services.scheduler.domain.transfers.records import ModelRecord


class Models:
    """By account and method."""

    def __init__(self, records: Iterable[ModelRecord], *, enabled: bool, now: float, wall: float) -> None:
        self._enabled = enabled
        self._budgets: dict[str, dict[str, Budget]] = {}
        self._changed: set[tuple[str, str]] = set()
        self._offset = wall - now
        for record in records if enabled else ():
            budget = memory.load(record.state, self._offset, now)
            if budget is not None:
                self.of(record.account_id)[record.method] = budget

    def of(self, account_id: str) -> dict[str, Budget]:
        """An account's budgets by method; the same dictionary for ever."""
        return self._budgets.setdefault(account_id, {})

    def sent(self, account_id: str, method: str, count: int, *, now: float, wall: float) -> None:
        """So many messages went through."""
        if self._enabled:
            self._learning(account_id, method, now, wall).sent(count, now)

    def blurred(self, account_id: str, method: str) -> None:
        """A call ended in a way that does not tell whether it counted."""
        budget = self.of(account_id).get(method)
        if budget is not None:
            budget.blur()
            self._changed.add((account_id, method))

    def flooded(
        self, account_id: str, method: str, seconds: float, count: int, *, now: float, wall: float
    ) -> None:
        """So many messages were refused for so long."""
        if self._enabled:
            self._learning(account_id, method, now, wall).flooded(seconds, count, now)

    def changed(self) -> list[ModelRecord]:
        """Those that learned something since last asked."""
        changed, self._changed = self._changed, set()
        return [
            ModelRecord(account_id, method, memory.dump(self._budgets[account_id][method], self._offset))
            for account_id, method in sorted(changed)
        ]

    def _learning(self, account_id: str, method: str, now: float, wall: float) -> Budget:
        self._offset = wall - now
        self._changed.add((account_id, method))
        budgets = self.of(account_id)
        if method not in budgets:
            budgets[method] = Budget()
        return budgets[method]
