"""Histories of transfers in virtual time: nothing lost, nothing repeated, whatever happens; and the judge
finds every mistake that is planted."""

import os
import subprocess
import sys

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


def test_a_seed_is_one_history_in_every_process() -> None:
    """Sets of names have another order in each: nothing that is done may depend on it."""

    def told(hash_seed: str) -> str:
        command = [sys.executable, "-m", "tests.simulation.transfers", "--seeds", "40", "--show"]
        environ = {**os.environ, "PYTHONHASHSEED": hash_seed}
        done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=100, check=True)
        return done.stdout.rpartition(",")[0]  # without the time that it took

    assert told("1") == told("2")


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_planted_bug_is_caught(bug: Bug) -> None:
    assert any(_repeats_or_loses(seed, bug) for seed in range(1, 151))


def _repeats_or_loses(seed: int, bug: Bug) -> bool:
    return any("times in the target" in fault or "is lost" in fault for fault in Play(seed, bug).run().faults)
