"""What calls cost in time. A client's calls are worked off one after another, as a real data centre does."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds that a method takes."""

    per_call: float
    per_message: float = 0.0


@dataclass
class CostBook:
    """Costs by method, and until when each client is being served."""

    costs: dict[str, Cost] = field(default_factory=dict)
    _busy: dict[str, float] = field(default_factory=dict)

    def set(self, method: str, cost: Cost) -> None:
        """From now on a method costs this; nothing at all when both figures are 0."""
        if cost.per_call or cost.per_message:
            self.costs[method] = cost
        else:
            self.costs.pop(method, None)

    def take(self, client: str, method: str, messages: int, now: float) -> float:
        """Seconds until a call that comes now is carried out; keeps that client busy until then."""
        cost = self.costs.get(method)
        if cost is None:
            return 0.0
        begin = max(now, self._busy.get(client, 0.0))
        done = begin + cost.per_call + cost.per_message * messages
        self._busy[client] = done
        return done - now
