"""The real clock and the fake pass the same suite; the fence errs on the safe side of both."""

import time
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.runtime.clock import Clock, FenceClock, ManualClock, SystemClock


@pytest.mark.parametrize("clock", [SystemClock(), ManualClock()])
class TestEveryClock:
    def test_monotonic_never_goes_back(self, clock: Clock) -> None:
        readings = [clock.monotonic() for _ in range(100)]
        assert readings == sorted(readings)

    def test_wall_time_is_utc(self, clock: Clock) -> None:
        assert clock.wall().utcoffset() == timedelta(0)

    def test_a_fence_starts_at_zero(self, clock: Clock) -> None:
        fence = FenceClock(clock)
        assert 0 <= fence.elapsed(fence.mark()) < 0.5


def test_the_system_clock_runs() -> None:
    clock = SystemClock()
    before, wall = clock.monotonic(), clock.wall()
    time.sleep(0.02)
    assert 0.015 < clock.monotonic() - before < 5
    assert abs(datetime.now(UTC) - wall) < timedelta(seconds=5)


def test_the_system_clock_is_the_one_that_counts_while_suspended() -> None:
    """CLOCK_BOOTTIME on Linux, CLOCK_MONOTONIC_RAW on macOS."""
    boottime = getattr(time, "CLOCK_BOOTTIME", None)
    clock = time.CLOCK_MONOTONIC_RAW if boottime is None else boottime
    assert abs(SystemClock().monotonic() - time.clock_gettime(clock)) < 0.5


@given(st.floats(0, 1e6), st.floats(-1e6, 1e6))
def test_elapsed_is_never_less_than_either_clock_says(seconds: float, jump: float) -> None:
    clock = ManualClock()
    fence = FenceClock(clock)
    mark = fence.mark()
    clock.advance(seconds)
    clock.jump_wall(jump)
    elapsed = fence.elapsed(mark)
    assert elapsed >= seconds - 0.001
    assert elapsed >= seconds + jump - 0.001


def test_setting_the_wall_clock_back_wins_no_time() -> None:
    clock = ManualClock()
    fence = FenceClock(clock)
    mark = fence.mark()
    clock.advance(10)
    clock.jump_wall(-3600)
    assert fence.elapsed(mark) == pytest.approx(10)
