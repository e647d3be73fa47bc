"""Histories of transfers in virtual time: nothing lost, nothing repeated, whatever happens; and the judge
finds every mistake that is planted."""

import pytest

from tests.simulation.transfers.bugs import BUGS, Bug
from tests.simulation.transfers.play import Play

SEEDS = 1200
SLICES = 12


@pytest.mark.parametrize("first", range(1, SEEDS, SEEDS // SLICES))
def test_nothing_is_lost_or_repeated(first: int) -> None:
    failed = {
        seed: found.faults[:3]
        for seed in range(first, first + SEEDS // SLICES)
        if (found := Play(seed).run()).faults
    }
    again = [f"python -m tests.simulation.transfers --seeds 1 --first {seed} --show" for seed in failed]
    assert not failed, again


def test_a_seed_is_one_history() -> None:
    first, second = Play(5).run(), Play(5).run()
    assert first == second
    assert first.calls > 10


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_planted_bug_is_caught(bug: Bug) -> None:
    assert any(_repeats_or_loses(seed, bug) for seed in range(1, 151))


def _repeats_or_loses(seed: int, bug: Bug) -> bool:
    return any("times in the target" in fault or "is lost" in fault for fault in Play(seed, bug).run().faults)
