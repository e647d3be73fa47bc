"""Days and allowed hours in an account's time zone, over midnight and over changes of the clock."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.scheduler.domain.transfers.choosing import hours
from services.scheduler.domain.transfers.choosing.words import PoolAccount
from tests.unit.scheduler.choosing_stage import PoolStage, at

BERLIN = "Europe/Berlin"
ZONES = (BERLIN, "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "America/Havana", "UTC")


def local(text: str, zone: str, fold: int = 0) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp()


@pytest.mark.parametrize(
    ("allowed", "time", "expected"),
    [
        ((), "2026-11-20T03:00", True),
        (("08:00-22:30",), "2026-11-20T08:00", True),
        (("08:00-22:30",), "2026-11-20T22:29", True),
        (("08:00-22:30",), "2026-11-20T22:30", False),
        (("22:00-06:00",), "2026-11-20T23:59", True),
        (("22:00-06:00",), "2026-11-20T05:59", True),
        (("22:00-06:00",), "2026-11-20T06:00", False),
        (("08:00-10:00", "12:00-13:00"), "2026-11-20T12:30", True),
        (("08:00-10:00", "12:00-13:00"), "2026-11-20T11:00", False),
        (("00:00-24:00",), "2026-11-20T23:59", True),
        (("09:00-09:00",), "2026-11-20T03:00", True),
        (("nonsense",), "2026-11-20T03:00", False),
        (("25:00-26:00",), "2026-11-20T01:30", False),
    ],
)
def test_within_the_hours_or_not(allowed: tuple[str, ...], time: str, *, expected: bool) -> None:
    assert hours.is_open(allowed, local(time, BERLIN), BERLIN) is expected


@pytest.mark.parametrize(
    ("allowed", "time", "opens"),
    [
        ("08:00-22:00", "2026-11-20T23:00", "2026-11-21T08:00"),
        ("08:00-22:00", "2026-11-20T03:00", "2026-11-20T08:00"),
        ("22:00-06:00", "2026-11-20T12:00", "2026-11-20T22:00"),
        # 2026-03-29, Berlin: 02:00 becomes 03:00.
        ("02:30-05:00", "2026-03-28T12:00", "2026-03-29T03:00"),
        ("08:00-09:00", "2026-03-28T12:00", "2026-03-29T08:00"),
        # 2026-10-25, Berlin: 03:00 becomes 02:00.
        ("02:30-02:45", "2026-10-25T01:00", "2026-10-25T02:30"),
    ],
)
def test_when_it_opens(allowed: str, time: str, opens: str) -> None:
    assert hours.opens_at((allowed,), local(time, BERLIN), BERLIN) == local(opens, BERLIN)


def test_an_hour_that_comes_twice_opens_twice() -> None:
    first_end = local("2026-10-25T02:50", BERLIN)
    assert hours.opens_at(("02:30-02:45",), first_end, BERLIN) == local("2026-10-25T02:30", BERLIN, fold=1)


def test_hours_that_can_not_be_read_never_open_and_an_unknown_zone_is_utc() -> None:
    assert hours.opens_at(("nonsense",), at("2026-11-20T12:00"), BERLIN) is None
    assert hours.day_of(at("2026-11-20T23:30"), "Mars/Olympus") == "2026-11-20"
    assert hours.day_of(at("2026-11-20T23:30"), BERLIN) == "2026-11-21"
    assert hours.day_of(at("2026-11-20T23:30"), "") == "2026-11-20"


@settings(max_examples=60, deadline=None)
@given(
    zone=st.sampled_from(ZONES),
    start=st.integers(0, 1439),
    length=st.integers(1, 1439),
    minutes=st.integers(0, 366 * 1440),
)
def test_it_opens_at_the_first_minute_that_is_open(zone: str, start: int, length: int, minutes: int) -> None:
    end = (start + length) % 1440
    allowed = (f"{start // 60:02}:{start % 60:02}-{end // 60:02}:{end % 60:02}",)
    wall = at("2026-01-01T00:00") + minutes * 60
    if hours.is_open(allowed, wall, zone):
        return
    expected = next(m for m in range(1, 3 * 1440) if hours.is_open(allowed, wall + m * 60, zone))
    assert hours.opens_at(allowed, wall, zone) == wall + expected * 60


@settings(max_examples=60, deadline=None)
@given(zone=st.sampled_from(ZONES), minutes=st.integers(0, 366 * 1440))
def test_the_next_day_begins_at_midnight(zone: str, minutes: int) -> None:
    wall = at("2026-01-01T00:00") + minutes * 60
    end, today = hours.next_day(wall, zone), hours.day_of(wall, zone)
    tomorrow = (datetime.fromisoformat(today) + timedelta(days=1)).date().isoformat()
    assert hours.day_of(end, zone) == tomorrow
    assert hours.day_of(end - 1, zone) == today
    assert 0 < end - wall <= 25 * 3600


def test_the_pool_wakes_when_the_hours_open() -> None:
    stage = PoolStage(wall=local("2026-03-28T23:30", BERLIN))
    stage.add(PoolAccount("a", time_zone=BERLIN, allowed_hours=("02:30-05:00",)))
    wake = stage.nobody().wake
    assert wake is not None
    stage.passes(wake - stage.now - 1)
    assert stage.chosen() == "(OUTSIDE_HOURS)"
    stage.passes(1)
    assert stage.chosen() == "a"
