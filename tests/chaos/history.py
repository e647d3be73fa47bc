"""One history: a fleet of real processes, a seed, some faults one after another or at once, a verdict.

The judge is the test data centre's journal: what connections and requests it saw, not what the fleet says.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.faults import FAULTS, TOUCHES
from tests.support.fleet import Client, Fleet, eventually
from tests.support.telegram import connected_keys, new_accounts, violations
from tgfleet.gateway.v1 import fleet_pb2

ACCOUNTS = 8
RECOVERY = 60.0
"""Seconds after the last fault in which every account must run again (T = 2 s, S = 1 s; with backoff)."""


@dataclass
class Report:
    """What happened in a history."""

    seed: int
    faults: list[str] = field(default_factory=list)
    recovered_after: float = 0.0
    requests: int = 0


async def run_history(seed: int, directory: Path, faults: Sequence[str] = ()) -> Report:
    """Live through the history of this seed; its faults may be named instead of drawn.

    Fails when a key was used twice at once, or when not every account runs at the end.
    """
    rng = random.Random(seed)
    report = Report(seed)
    settings = {
        "TGFLEET_CRASH_WINDOW": "1s",
        "TGFLEET_PING_INTERVAL": "500ms",
        "TGFLEET_PROBE_INTERVAL": "500ms",
    }
    etcds = rng.choice((1, 3))
    async with Fleet(directory, workers=2, schedulers=2, etcds=etcds, settings=settings) as fleet:
        async with fleet.control() as control:
            sessions = await new_accounts(control, ACCOUNTS)
        async with fleet.client() as client:
            await client.import_sessions({name: account.session for name, account in sessions.items()})
            await client.start_all()
            await _live_through(fleet, rng, report, faults)
            began = asyncio.get_running_loop().time()
            await eventually(
                lambda: _all_running(client),
                RECOVERY,
                f"every account runs again (seed {seed}: {report.faults})",
            )
        async with fleet.control() as control:
            keys = {account.auth_key_id for account in sessions.values()}

            async def seen() -> bool:
                return await connected_keys(control) == keys

            await eventually(
                seen, RECOVERY, f"the data centre sees all accounts (seed {seed}: {report.faults})"
            )
            report.recovered_after = asyncio.get_running_loop().time() - began
            verdict = await violations(control)
        report.requests = verdict.requests
        assert not verdict.sentences, f"seed {seed}, {report.faults}: " + "; ".join(verdict.sentences)
        # Only a frozen process may leave its socket open at the server; a killed or fenced one has closed it.
        assert not verdict.stale_open or any("froze worker" in fault for fault in report.faults), (
            f"seed {seed}: a socket was left open"
        )
        assert verdict.requests > ACCOUNTS, "the journal is empty: the judge has seen nothing"
    return report


async def _live_through(fleet: Fleet, rng: random.Random, report: Report, faults: Sequence[str]) -> None:
    for name in faults or rng.choices(sorted(FAULTS), k=rng.randint(2, 3)):
        # Two faults at once, but never two that fight over the same process.
        fit = [other for other in sorted(FAULTS) if not TOUCHES[other] & TOUCHES[name]]
        others = [rng.choice(fit)] if fit and not faults and rng.random() < 0.25 else []
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(FAULTS[each](fleet, random.Random(rng.random())))
                for each in (name, *others)
            ]
        report.faults += [task.result() for task in tasks]
        await asyncio.sleep(rng.uniform(0, 2))


async def _all_running(client: Client) -> bool:
    status = await client.status()
    return len(status) == ACCOUNTS and all(
        a.state == fleet_pb2.SESSION_STATE_RUNNING for a in status.values()
    )
