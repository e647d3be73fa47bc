"""What a child process is, as data. Knows neither how processes are started nor which services exist."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildSpec:
    """One child: how to start it, what it waits for, when it is stopped. Times are seconds."""

    name: str
    """Unique; names the log file and the child in everything people read."""
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    """Added to what all children get."""
    needs: tuple[str, ...] = ()
    """Children that must be ready before this one is started."""
    stop_stage: int = 0
    """Children of a lower stage are gone before one of a higher stage is asked to stop."""
    ready_limit: float = 60.0
    """How long it may take to say that it is ready before it counts as hung."""
    stop_limit: float = 10.0
    """How long it may take to stop before it is killed."""
    restart_rest: float = 0.0
    """How long it stays down after a death, before the usual backoff."""
    whole_group: bool = False
    """Whether its process group is swept after its death: for a child that has a child of its own."""


def stop_stages(specs: Iterable[ChildSpec]) -> list[list[str]]:
    """Names in the order of stopping; those of one inner list are stopped together."""
    stages: dict[int, list[str]] = {}
    for spec in specs:
        stages.setdefault(spec.stop_stage, []).append(spec.name)
    return [stages[stage] for stage in sorted(stages)]


def check_specs(specs: Iterable[ChildSpec]) -> None:
    """Raises ValueError for a name that occurs twice or a need that nobody earlier in the list meets."""
    seen: set[str] = set()
    for spec in specs:
        missing = set(spec.needs) - seen
        if spec.name in seen or missing:
            raise ValueError(
                f"child {spec.name}: " + (f"needs {sorted(missing)}" if missing else "occurs twice")
            )
        seen.add(spec.name)
