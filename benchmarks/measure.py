"""What all benchmarks share: rounds in turn, medians, how busy the machine was.

The figures of a shared machine drift by half within minutes, so nothing here compares two runs: ours and the
bare baseline take turns within one run, each round gives one ratio, and the median of the ratios counts.
"""

from __future__ import annotations

import gc
import os
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

Run = Callable[[], Awaitable[float]]
"""Does a fixed piece of work; gives the seconds that count."""


@dataclass(frozen=True, slots=True)
class Ratios:
    """What rounds in turn gave. Rates are pieces of work a second."""

    bare: float
    ours: float
    ratio: float
    lowest: float
    highest: float

    def line(self, what: str, goal: str) -> str:
        """For people."""
        return (
            f"{what}: bare {self.bare:,.0f}/s, ours {self.ours:,.0f}/s, ratio {self.ratio:.2f} "
            f"({self.lowest:.2f}..{self.highest:.2f}; {goal})"
        )


async def in_turn(bare: Run, ours: Run, pieces: int, rounds: int) -> Ratios:
    """Medians of `rounds` rounds after one to warm up; who begins alternates. `pieces` of work a round."""
    return ratios_of(await timed_in_turn(bare, ours, rounds), pieces)


async def timed_in_turn(bare: Run, ours: Run, rounds: int) -> list[tuple[float, float]]:
    """The seconds (bare, ours) of each round."""
    seconds: list[tuple[float, float]] = []
    for number in range(rounds + 1):
        gc.collect()
        if number % 2:
            first = await bare()
            pair = (first, await ours())
        else:
            first = await ours()
            pair = (await bare(), first)
        if number:
            seconds.append(pair)
    return seconds


def ratios_of(seconds: Sequence[tuple[float, float]], pieces: int) -> Ratios:
    """From the seconds (bare, ours) of each round."""
    ratios = [bare / ours for bare, ours in seconds]
    return Ratios(
        pieces / statistics.median(bare for bare, _ in seconds),
        pieces / statistics.median(ours for _, ours in seconds),
        statistics.median(ratios),
        min(ratios),
        max(ratios),
    )


def cpu_seconds(pid: int) -> float:
    """User and system time that a process has used. To the nanosecond where the scheduler keeps that (Linux);
    else in ticks of 10 ms, which are dealt out by chance on a busy machine."""
    spent = 0
    try:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            spent += int((thread / "schedstat").read_text().split()[0])
    except OSError:
        times = psutil.Process(pid).cpu_times()
        return float(times.user + times.system)
    return spent / 1e9


class Machine:
    """Says how busy the machine was from here to `line`."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        psutil.cpu_percent()

    def line(self) -> str:
        """For people."""
        busy, load = psutil.cpu_percent(), os.getloadavg()[0]
        return (
            f"machine: {os.cpu_count()} cores, {busy:.0f} % busy, load {load:.1f}, "
            f"{time.monotonic() - self._began:.0f} s"
        )
