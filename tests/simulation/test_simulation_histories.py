"""Thousands of histories without a fault, and each planted bug caught. Run in processes of their own, as
the command line does, so that a failure is printed with the command that replays it.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.simulation.bugs import BUGS

SEEDS = 5000
CAUGHT_WITHIN = 1000

_HASHES = """
from tests.simulation.__main__ import be_quiet
from tests.simulation.play import play
be_quiet()
print([play(seed).trace for seed in range(1, 21)])
"""


def run(*args: str, hash_seed: str = "random") -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONHASHSEED": hash_seed}
    return subprocess.run([sys.executable, *args], capture_output=True, text=True, env=env, check=False)


def simulate(*args: str) -> subprocess.CompletedProcess[str]:
    return run("-m", "tests.simulation", *args)


@pytest.mark.timeout(900)
def test_no_seed_finds_a_fault() -> None:
    done = simulate("--seeds", str(SEEDS), "--jobs", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{SEEDS} histories" in done.stdout


@pytest.mark.timeout(600)
@pytest.mark.parametrize("bug", sorted(BUGS))
def test_a_planted_bug_is_caught(bug: str) -> None:
    done = simulate("--bug", bug, "--seeds", str(CAUGHT_WITHIN))
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"planted {bug}: caught" in done.stdout
    assert "not as wanted" not in done.stdout, "caught by what it breaks, not by a fleet that stands still"
    assert f"--bug {bug} --trace" in done.stdout, "and it says how to replay it"


def test_same_seed_same_trace() -> None:
    first, second = run("-c", _HASHES, hash_seed="1"), run("-c", _HASHES, hash_seed="2")
    assert first.returncode == 0, first.stderr
    assert first.stdout == second.stdout
    assert len(set(first.stdout.split(","))) == 20, "other seeds give other histories"


def test_a_replay_tells_what_happened() -> None:
    done = simulate("--seed", "3", "--trace")
    assert done.returncode == 0, done.stdout + done.stderr
    assert " leads " in done.stdout
    assert " use " in done.stdout
