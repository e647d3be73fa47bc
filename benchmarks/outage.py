"""Dials at a data centre that goes away and comes back, by its own journal: ours beside bare kurigram.

`python -m benchmarks.outage [--clients 500] [--seconds 60]`. While it is away, the data centre takes
connections and hangs up on every first call, as one that is overloaded does: so each dial is in the journal.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections import Counter
from collections.abc import Sequence

from benchmarks.measure import Machine
from benchmarks.telegram_clients import Side, bare, fleet, new_accounts
from services.testdc.domain.journal import RecordKind
from services.testdc.embed import Account, Fault, FaultKind, TestDataCentre

_COMEBACK_LIMIT = 180.0


def _dials(dc: TestDataCentre, after: int) -> tuple[list[float], int]:
    """When clients dialled since record `after`, and the last record's number."""
    records = dc.control.get_journal(after)
    dialled = [r.time for r in records if r.kind is RecordKind.CONNECTION_OPENED]
    return dialled, records[-1].seq if records else after


def _busiest(times: Sequence[float]) -> int:
    """Most dials in any calendar second."""
    return max(Counter(int(t) for t in times).values(), default=0)


async def _until_all_live(dc: TestDataCentre, accounts: Sequence[Account]) -> None:
    ends = time.monotonic() + _COMEBACK_LIMIT
    while not all(dc.control.live_connections(a.user_id) for a in accounts):
        if time.monotonic() > ends:
            print(f"not all are back within {_COMEBACK_LIMIT:.0f} s")
            return
        await asyncio.sleep(0.1)


async def _outage(dc: TestDataCentre, accounts: Sequence[Account], side: Side, seconds: float) -> None:
    _, mark = _dials(dc, 0)
    fault = dc.control.set_fault(Fault(FaultKind.DROP_BEFORE))
    dc.control.drop_connections()
    await asyncio.sleep(seconds)
    away, mark = _dials(dc, mark)
    dc.control.clear_faults(fault_id=fault.fault_id)
    back_at = time.monotonic()
    await _until_all_live(dc, accounts)
    took = time.monotonic() - back_at
    back, _ = _dials(dc, mark)
    later = [t for t in away if t >= away[0] + seconds / 2]
    print(
        f"{side.name}: while away {len(away)} dials, {len(away) / seconds:.0f} a second "
        f"({len(later) / (seconds / 2):.0f} in the second half, {_busiest(away)} in the busiest second); "
        f"when it came back {len(back)} dials, {_busiest(back)} in the busiest second, all up after "
        f"{took:.1f} s",
        flush=True,
    )


async def _main(clients: int, seconds: float) -> None:
    machine = Machine()
    for side_of in (bare, fleet):
        async with TestDataCentre() as dc:
            accounts = new_accounts(dc, clients)
            async with side_of(dc, accounts) as side:
                await _outage(dc, accounts, side, seconds)
    print(machine.line())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=60.0)
    options = parser.parse_args()
    asyncio.run(_main(options.clients, options.seconds))
