"""Which flood policies hold for whom, and where every account stands with them."""

from __future__ import annotations

from dataclasses import dataclass, field

from services.testdc.domain.errors import TelegramError
from services.testdc.domain.floodpolicy import FloodPolicy, FloodState


@dataclass(frozen=True, slots=True)
class Rule:
    """A policy in force."""

    rule_id: int
    policy: FloodPolicy
    methods: tuple[str, ...]
    """Empty: every method has a budget of its own."""
    user_id: int = 0
    """0: every account has a budget of its own."""

    def covers(self, user_id: int, method: str) -> bool:
        """Whether it limits this account's calls of this method."""
        return (not self.user_id or self.user_id == user_id) and (not self.methods or method in self.methods)


@dataclass
class FloodBook:
    """All policies in force."""

    rules: dict[int, Rule] = field(default_factory=dict)
    _states: dict[tuple[int, int, str], FloodState] = field(default_factory=dict)
    _last: int = 0

    def set(self, policy: FloodPolicy, methods: tuple[str, ...], user_id: int = 0) -> Rule:
        """Put a policy in force, with fresh budgets."""
        self._last += 1
        rule = Rule(self._last, policy, methods, user_id)
        self.rules[rule.rule_id] = rule
        return rule

    def clear(self, rule_id: int = 0) -> int:
        """Lift one policy or all; returns how many."""
        gone = [number for number in self.rules if not rule_id or number == rule_id]
        for number in gone:
            del self.rules[number]
        self._states = {key: state for key, state in self._states.items() if key[0] not in gone}
        return len(gone)

    def ask(self, user_id: int, method: str, messages: int, now: float) -> tuple[int, TelegramError] | None:
        """The wait that a call gets now, in seconds and as an error; None when it may go on."""
        for rule in self._covering(user_id, method):
            wait = rule.policy.ask(self._state(rule, user_id, method), messages, now)
            if wait:
                name = "FLOOD_PREMIUM_WAIT" if rule.policy.premium else "FLOOD_WAIT"
                return wait, TelegramError(420, f"{name}_{wait}")
        return None

    def charge(self, user_id: int, method: str, messages: int, now: float) -> None:
        """A call was carried out."""
        for rule in self._covering(user_id, method):
            rule.policy.charge(self._state(rule, user_id, method), messages, now)

    def states(self) -> list[tuple[Rule, int, str, FloodState]]:
        """Every account's standing: the policy, the account, the method."""
        found = self._states.items()
        return [(self.rules[rule], user, method, state) for (rule, user, method), state in found]

    def _covering(self, user_id: int, method: str) -> list[Rule]:
        return [rule for rule in self.rules.values() if user_id and rule.covers(user_id, method)]

    def _state(self, rule: Rule, user_id: int, method: str) -> FloodState:
        """Methods named together share a budget."""
        place = "" if rule.methods else method
        return self._states.setdefault((rule.rule_id, user_id, place), FloodState())
