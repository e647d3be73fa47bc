"""`make chaos HISTORIES=n SEED=s`: runs n histories with the seeds s, s+1, ... and reports each."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
import traceback
from pathlib import Path

from tests.chaos.history import run_history


async def _main(histories: int, seed: int) -> int:
    failed: list[int] = []
    for number in range(seed, seed + histories):
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="tgfleet-chaos-", ignore_cleanup_errors=True) as directory:
            try:
                report = await run_history(number, Path(directory))
            except Exception:  # noqa: BLE001 - whatever went wrong is the report of this seed
                failed.append(number)
                traceback.print_exc()
                print(f"seed {number}: FAILED after {time.monotonic() - began:.0f} s", flush=True)
            else:
                took = f"{time.monotonic() - began:.0f} s, all running after {report.recovered_after:.1f} s"
                print(f"seed {number}: ok, {took}, {report.requests} requests judged: ", end="")
                print("; ".join(report.faults), flush=True)
    print(
        f"{histories - len(failed)} passed, {len(failed)} failed" + (f": seeds {failed}" if failed else ""),
        flush=True,
    )
    return 1 if failed else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--histories", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    sys.exit(asyncio.run(_main(options.histories, options.seed)))
