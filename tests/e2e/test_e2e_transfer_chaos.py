"""Five random histories of transfers with faults of every kind; `make chaos HISTORIES=100 KIND=transfers`
runs a hundred."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.transfer_history import run_transfer_history


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", [3, 4, 11, 16, 33])
async def test_nothing_is_lost_and_nothing_is_repeated(tmp_path: Path, seed: int) -> None:
    report = await run_transfer_history(seed, tmp_path)
    assert report.done > 0
