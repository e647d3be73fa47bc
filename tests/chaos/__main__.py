"""`make chaos HISTORIES=n SEED=s`: runs n histories of the fleet and n of transfers, with the seeds s,
s+1, ... and reports each. `KIND=fleet` or `KIND=transfers` runs one of the two.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.chaos.history import run_history
from tests.chaos.transfer_history import run_transfer_history


async def _fleet(seed: int, directory: Path) -> str:
    report = await run_history(seed, directory)
    outcome = f"all running after {report.recovered_after:.1f} s, {report.requests} requests judged"
    return f"{report.layout}, {outcome}: {'; '.join(report.faults)}"


async def _transfer(seed: int, directory: Path) -> str:
    report = await run_transfer_history(seed, directory)
    outcome = f"{report.how}: {report.done} moved and {report.skipped} skipped in {report.took:.1f} s"
    return f"{outcome}: {'; '.join(report.faults)}"


KINDS: dict[str, Callable[[int, Path], Awaitable[str]]] = {"fleet": _fleet, "transfers": _transfer}


async def _main(kind: str, histories: int, seed: int) -> int:
    failed: list[int] = []
    for number in range(seed, seed + histories):
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="tgfleet-chaos-", ignore_cleanup_errors=True) as directory:
            try:
                said = await KINDS[kind](number, Path(directory))
            except Exception:  # noqa: BLE001 - whatever went wrong is the report of this seed
                failed.append(number)
                traceback.print_exc()
                print(f"{kind} seed {number}: FAILED after {time.monotonic() - began:.0f} s", flush=True)
            else:
                print(f"{kind} seed {number}: ok, {time.monotonic() - began:.0f} s, {said}", flush=True)
    print(
        f"{kind}: {histories - len(failed)} passed, {len(failed)} failed"
        + (f": seeds {failed}" if failed else ""),
        flush=True,
    )
    return 1 if failed else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--histories", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kind", choices=[*KINDS, "both"], default="both")
    options = parser.parse_args()
    kinds = list(KINDS) if options.kind == "both" else [options.kind]
    codes = [asyncio.run(_main(kind, options.histories, options.seed)) for kind in kinds]
    sys.exit(max(codes))
