"""The command line of the simulation; see the package's docstring."""

from __future__ import annotations

import argparse
import gc
import logging
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from multiprocessing import get_context

import structlog

from tests.simulation.bugs import BUGS, NONE, Bug
from tests.simulation.play import Verdict, play

_CHUNK = 50


def main() -> int:
    """0 when all was well, or a planted bug was caught."""
    args = _arguments()
    be_quiet()
    bug = BUGS[args.bug] if args.bug else NONE
    if args.seed is not None:
        return _tell(play(args.seed, bug), bug, trace=args.trace)
    began = time.monotonic()
    bad, count, uses = 0, 0, 0
    for verdict in _all(bug, args.first, args.seeds, args.jobs):
        count += 1
        uses += verdict.uses
        if verdict.faults:
            bad += 1
            _tell(verdict, bug, trace=False)
            if args.bug or bad >= args.most:
                break
    took = time.monotonic() - began
    print(f"{count} histories, {uses} uses of keys, {bad} of them wrong, {took:.1f} s")
    if args.bug:
        print(f"planted {args.bug}: {'caught' if bad else 'NOT caught'}")
        return 0 if bad else 1
    return 1 if bad else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("--seed", type=int, help="run this one history")
    parser.add_argument("--trace", action="store_true", help="tell what happened in it")
    parser.add_argument("--seeds", type=int, default=1000, help="how many histories")
    parser.add_argument("--first", type=int, default=1, help="the first one's seed")
    parser.add_argument("--bug", choices=sorted(BUGS), help="plant this bug; 0 when it is caught")
    parser.add_argument("--jobs", type=int, default=1, help="processes at once")
    parser.add_argument("--most", type=int, default=10, help="wrong histories after which to stop")
    return parser.parse_args()


def be_quiet() -> None:
    """What services log in a history is in nobody's interest; and a collection of garbage may come late."""
    quiet = structlog.make_filtering_bound_logger(logging.CRITICAL)
    structlog.configure(wrapper_class=quiet, cache_logger_on_first_use=True)
    gc.set_threshold(50_000, 20, 100)


def _all(bug: Bug, first: int, count: int, jobs: int) -> Iterator[Verdict]:
    seeds = range(first, first + count)
    if jobs == 1:
        yield from (play(seed, bug) for seed in seeds)
        return
    chunks = [(bug.name, seeds[n : n + _CHUNK]) for n in range(0, count, _CHUNK)]
    with ProcessPoolExecutor(jobs, get_context("fork")) as pool:
        for verdicts in pool.map(_chunk, chunks):
            yield from verdicts


def _chunk(work: tuple[str, range]) -> list[Verdict]:
    bug = BUGS[work[0]] if work[0] else NONE
    return [play(seed, bug) for seed in islice(work[1], None)]


def _tell(verdict: Verdict, bug: Bug, *, trace: bool) -> int:
    if trace:
        print("\n".join(verdict.lines))
    print(f"seed {verdict.seed}: trace {verdict.trace[:16]}, {verdict.seconds:.0f} s, {verdict.uses} uses")
    for sentence in verdict.faults[:5]:
        print(f"  {sentence}")
    if verdict.faults and not trace:
        planted = f" --bug {bug.name}" if bug.name else ""
        print(f"  replay: python -m tests.simulation --seed {verdict.seed}{planted} --trace")
    return 1 if verdict.faults else 0


if __name__ == "__main__":
    sys.exit(main())
