"""Five histories in which every kind of fault happens once; `make chaos` runs random ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.faults import FAULTS
from tests.chaos.history import run_history

HISTORIES = 5
SPREAD = [sorted(FAULTS)[n::HISTORIES] for n in range(HISTORIES)]


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("seed", "faults"), list(enumerate(SPREAD, start=1)))
async def test_no_key_is_ever_used_twice_and_all_run_again(
    seed: int, faults: list[str], tmp_path: Path
) -> None:
    report = await run_history(seed, tmp_path, faults)
    assert len(report.faults) == len(faults)
