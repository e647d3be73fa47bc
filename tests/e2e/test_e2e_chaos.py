"""Five randomised histories, each beginning with another kind of fault; `make chaos` runs more."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.faults import FAULTS
from tests.chaos.history import run_history


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("seed", "first"), list(enumerate(sorted(FAULTS), start=1)))
async def test_no_key_is_ever_used_twice_and_all_run_again(seed: int, first: str, tmp_path: Path) -> None:
    await run_history(seed, tmp_path, first)
