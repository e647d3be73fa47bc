"""Prediction on against prediction off, over hidden flood policies and in virtual time: flood waits and
throughput.

`python -m benchmarks.prediction [--seed N] [--policies 20] [--from drawn|testdc] [--periods 12]`.

Five accounts under one hidden policy each send as much as they may, through the pool that transfers use: one
run to learn in, a restart with what was kept, and a run of equal length that counts. Nothing here measures
speed: the figures are the same on every machine, and a new seed draws new policies.
"""

from __future__ import annotations

import argparse
import random
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from statistics import median

from services.testdc.domain import floodpolicy
from tests.support.hidden_policies import Policy, draw
from tests.support.prediction_trial import Compared, compare

ACCOUNTS = 5
GOAL_WAITS, GOAL_THROUGHPUT = 0.20, 0.95


@dataclass(frozen=True, slots=True)
class Case:
    """A hidden policy."""

    name: str
    period: float
    make: Callable[[], Policy]


@dataclass
class OfTestdc:
    """A policy of the test data centre, for one account."""

    policy: floodpolicy.FloodPolicy
    state: floodpolicy.FloodState = field(default_factory=floodpolicy.FloodState)

    def call(self, count: int, now: float) -> int:
        """Seconds to wait; 0 when the messages went through."""
        wait = self.policy.ask(self.state, count, now)
        if not wait:
            self.policy.charge(self.state, count, now)
        return wait


def cases(source: str, seed: int, count: int) -> Iterator[Case]:
    """So many of them."""
    rng = random.Random(seed)
    for number in range(count):
        if source == "testdc":
            policy = floodpolicy.draw(f"{seed}/{number}")
            name = f"{policy.shape.value} {policy.budget} in {policy.period:.0f} s, waits {policy.wait:.0f} s"
            yield Case(name, policy.period, lambda policy=policy: OfTestdc(policy))  # type: ignore[misc]
        else:
            hidden = draw(rng)
            name = f"{hidden.kind} {hidden.budget} in {hidden.period:.0f} s"
            yield Case(name, hidden.period, hidden.make)


def line(name: str, found: Compared) -> str:
    """One policy, for people."""
    return (
        f"  {name:44} waits {found.on.waits:5} / {found.off.waits:5} = {found.waits:.2f}   "
        f"messages {found.on.messages:8,} / {found.off.messages:8,} = {found.throughput:.2f}"
    )


def main(source: str, seed: int, count: int, periods: float) -> None:
    """Prints each policy and the medians."""
    print(f"seed {seed}, policies: {source}, {ACCOUNTS} accounts, runs of {periods:g} periods; on / off")
    results = []
    for case in cases(source, seed, count):
        results.append(compare(case.make, accounts=ACCOUNTS, seconds=periods * case.period))
        print(line(case.name, results[-1]))
    waits, throughput = (median(getattr(one, name) for one in results) for name in ("waits", "throughput"))
    print(
        f"median of {count} policies: flood waits {waits:.3f} of off (at most {GOAL_WAITS:.2f}), "
        f"throughput {throughput:.2f} of off (at least {GOAL_THROUGHPUT:.2f})"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000))
    parser.add_argument("--policies", type=int, default=20)
    parser.add_argument("--from", dest="source", choices=("drawn", "testdc"), default="drawn")
    parser.add_argument("--periods", type=float, default=12.0)
    options = parser.parse_args()
    main(options.source, options.seed, options.policies, options.periods)
