"""One history: a fleet of real processes, a seed, some faults one after another or at once, a verdict.

The judge is the test data centre's journal: what connections and requests it saw, not what the fleet says.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.faults import FAULTS, TOUCHES
from tests.support.fleet import Client, Fleet, eventually
from tests.support.postgres import PostgresProcess
from tests.support.telegram import Sample, connected_keys, new_accounts, violations
from tgfleet.gateway.v1 import fleet_pb2

ACCOUNTS = 8
RECOVERY = 60.0
"""Seconds after the last fault in which every account must run again (T = 2 s, S = 1 s; with backoff)."""


@dataclass
class Report:
    """What happened in a history."""

    seed: int
    layout: str = ""
    faults: list[str] = field(default_factory=list)
    recovered_after: float = 0.0
    requests: int = 0


class HistoryFailedError(AssertionError):
    """A history in which something was wrong. `complaints` are the sentences of all who had to say something:
    that accounts did not come back never hides what the judge saw."""

    def __init__(self, report: Report, complaints: list[str]) -> None:
        super().__init__(f"seed {report.seed} ({report.layout}), {report.faults}: " + "; ".join(complaints))
        self.complaints = complaints


async def run_history(seed: int, directory: Path, faults: Sequence[str] = ()) -> Report:
    """Live through the history of this seed; its faults may be named instead of drawn.

    Raises HistoryFailedError when a key was used twice at once, or when not every account runs at the end.
    """
    rng = random.Random(seed)
    report = Report(seed)
    settings = {
        "TGFLEET_CRASH_WINDOW": "1s",
        "TGFLEET_PING_INTERVAL": "500ms",
        "TGFLEET_PROBE_INTERVAL": "500ms",
    }
    etcds = rng.choice((1, 3))
    async with fleet_of(seed, directory, etcds, settings) as fleet:
        report.layout = layout_of(fleet)
        async with fleet.control() as control:
            sessions = await new_accounts(control, ACCOUNTS)
        cause: Exception | None = None
        try:
            await _live_and_recover(fleet, rng, report, faults, sessions)
        except Exception as error:  # noqa: BLE001 - whatever went wrong, the judge is heard all the same
            cause = error
        complaints = ([] if cause is None else [_sentence(cause)]) + await _judged(fleet, report)
        if complaints:
            raise HistoryFailedError(report, complaints) from cause
    return report


@contextlib.asynccontextmanager
async def fleet_of(
    seed: int, directory: Path, etcds: int, settings: Mapping[str, str]
) -> AsyncIterator[Fleet]:
    """Every third seed: two registries over one PostgreSQL; else one with SQLite, which allows no more."""
    with contextlib.ExitStack() as stack:
        postgres = stack.enter_context(PostgresProcess()) if seed % 3 == 0 else None
        registries = 2 if postgres is not None else 1
        async with Fleet(
            directory,
            workers=2,
            schedulers=2,
            registries=registries,
            etcds=etcds,
            settings=settings,
            postgres=postgres,
        ) as fleet:
            yield fleet


def layout_of(fleet: Fleet) -> str:
    """For the report."""
    base = "SQLite" if fleet.postgres is None else "PostgreSQL, 2 registries"
    return f"{base}, {len(fleet.etcd_names)} etcd"


async def _live_and_recover(
    fleet: Fleet, rng: random.Random, report: Report, faults: Sequence[str], sessions: Mapping[str, Sample]
) -> None:
    async with fleet.client() as client:
        await client.import_sessions({name: account.session for name, account in sessions.items()})
        await client.start_all()
        await _live_through(fleet, rng, report, faults)
        began = asyncio.get_running_loop().time()
        await eventually(lambda: _all_running(client), RECOVERY, "every account runs again")
    async with fleet.control() as control:
        keys = {account.auth_key_id for account in sessions.values()}

        async def seen() -> bool:
            return await connected_keys(control) == keys

        await eventually(seen, RECOVERY, "the data centre sees all accounts")
    report.recovered_after = asyncio.get_running_loop().time() - began


async def _judged(fleet: Fleet, report: Report) -> list[str]:
    """What the data centre's journal says against the fleet."""
    async with fleet.control() as control:
        verdict = await violations(control)
    report.requests = verdict.requests
    complaints = list(verdict.sentences)
    # Only a frozen process may leave its socket open at the server; a killed or fenced one has closed it.
    if verdict.stale_open and not any("froze worker" in fault for fault in report.faults):
        complaints.append("a socket was left open")
    if verdict.requests <= ACCOUNTS:
        complaints.append("the journal is empty: the judge has seen nothing")
    return complaints


def _sentence(error: BaseException) -> str:
    """An error's words; of a group, those of all its errors."""
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(_sentence(each) for each in error.exceptions)
    return str(error) or repr(error)


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
