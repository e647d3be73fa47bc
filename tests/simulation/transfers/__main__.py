"""`python -m tests.simulation.transfers --seeds N --first K`: plays histories; a seed that fails says how to
play it again with all that happened (`--show`)."""

from __future__ import annotations

import argparse
import sys
import time

from tests.simulation.transfers.play import Play


def main() -> int:
    """Plays. 1 when a seed failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.transfers")
    parser.add_argument("--seeds", type=int, default=1000)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--show", action="store_true", help="print what happened")
    options = parser.parse_args()
    began, failed, undecided = time.perf_counter(), 0, 0
    for seed in range(options.first, options.first + options.seeds):
        found = Play(seed).run()
        undecided += found.undecided
        if options.show:
            print("\n".join(found.lines))
        if found.faults:
            failed += 1
            print(f"seed {seed}: {'; '.join(found.faults[:5])}")
            print(f"  again: python -m tests.simulation.transfers --seeds 1 --first {seed} --show")
    spent = time.perf_counter() - began
    print(f"{options.seeds} histories, {failed} failed, {undecided} undecided batches, {spent:.1f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
