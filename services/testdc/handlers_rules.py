"""The part of the control API that changes how the data centre treats everybody: repeats, costs, floods."""

from __future__ import annotations

from collections.abc import Iterable

from services.testdc.domain.costs import Cost
from services.testdc.domain.floodpolicy import FloodPolicy, FloodState
from services.testdc.domain.floods import Rule
from services.testdc.domain.ledger import OnRepeat
from services.testdc.handlers_base import HandlersBase


class RuleHandlers(HandlersBase):
    """Rules for all."""

    def set_repeats(self, on_repeat: OnRepeat | None = None, life: int | None = None) -> None:
        """What a repeated random_id gets, and after how many seconds it is forgotten (0: never)."""
        ledger = self._centre.state.world.ledger
        ledger.on_repeat = on_repeat or ledger.on_repeat
        ledger.life = ledger.life if life is None else life
        self._centre.state.touch()

    def set_refuses_missing(self, refuses: bool) -> None:  # noqa: FBT001 - its only argument
        """Whether forwarding a number that is not there refuses the whole call."""
        self._centre.state.world.refuses_missing = refuses
        self._centre.state.touch()

    def set_cost(self, method: str, cost: Cost) -> None:
        """What calls of a method cost from now on."""
        self._centre.state.costs.set(method, cost)

    def set_flood_policy(self, policy: FloodPolicy, methods: Iterable[str] = (), user_id: int = 0) -> Rule:
        """Put a policy in force, with fresh budgets. Raises NotFound."""
        if user_id:
            self._user(user_id)
        self._centre.state.touch()
        return self._centre.state.floods.set(policy, tuple(methods), user_id)

    def flood_standings(self) -> list[tuple[Rule, int, str, FloodState]]:
        """Where every account stands with every policy."""
        return self._centre.state.floods.states()

    def flood_rules(self) -> list[Rule]:
        """The policies in force."""
        return list(self._centre.state.floods.rules.values())

    def clear_flood_policies(self, rule_id: int = 0) -> int:
        """Lift one policy or all; returns how many."""
        self._centre.state.touch()
        return self._centre.state.floods.clear(rule_id)

    def now(self) -> float:
        """The clock that waits run on."""
        return self._centre.state.clock.monotonic()
