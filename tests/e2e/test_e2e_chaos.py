"""Five histories in which every kind of fault happens once; `make chaos` runs random ones. And one in which
everything goes wrong on purpose, to hear that it is said.
"""

from __future__ import annotations

import asyncio
import random
import sys
from asyncio.subprocess import DEVNULL
from pathlib import Path

import pytest

from tests.chaos import history
from tests.chaos.faults import FAULTS, TOUCHES
from tests.chaos.history import HistoryFailedError, run_history
from tests.support.fleet import Fleet, eventually
from tests.support.telegram import new_account, violations

HISTORIES = 5
SPREAD = [sorted(FAULTS)[n::HISTORIES] for n in range(HISTORIES)]


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("seed", "faults"), list(enumerate(SPREAD, start=1)))
async def test_no_key_is_ever_used_twice_and_all_run_again(
    seed: int, faults: list[str], tmp_path: Path
) -> None:
    report = await run_history(seed, tmp_path, faults)
    assert len(report.faults) == len(faults)


async def use_a_key_twice_and_lose_every_worker(fleet: Fleet, _rng: random.Random) -> str:
    """Two programs use one session until it is dead, and no worker is left that could run an account."""
    async with fleet.control() as control:
        session = fleet.directory / "twice.session"
        session.write_text((await new_account(control)).session)
        command = [sys.executable, "-m", "services.testdc.foreign_client"]
        arguments = [f"127.0.0.1:{fleet.ports['testdc']}", str(session)]
        users = [
            await asyncio.create_subprocess_exec(*command, *arguments, stdout=DEVNULL, stderr=DEVNULL)
            for _ in range(2)
        ]

        async def dead() -> bool:
            return bool((await violations(control)).sentences)

        try:
            await eventually(dead, 20, "the key was used twice")
        finally:
            for user in users:
                user.kill()
                await user.wait()
    for name in ("worker-1", "worker-2"):
        fleet.services[name].kill()
    return "used a key twice and lost every worker"


@pytest.mark.timeout(90)
async def test_the_judge_is_heard_also_when_accounts_do_not_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(FAULTS, "planted", use_a_key_twice_and_lose_every_worker)
    monkeypatch.setitem(TOUCHES, "planted", frozenset({"worker"}))
    monkeypatch.setattr(history, "RECOVERY", 0.5)
    with pytest.raises(HistoryFailedError) as failed:
        await run_history(6, tmp_path, ["planted"])
    assert failed.value.complaints[0].startswith("not within 0.5 s"), failed.value
    assert any("Telegram kills the key" in complaint for complaint in failed.value.complaints), failed.value
    assert "used a key twice" in str(failed.value)
