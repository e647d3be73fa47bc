"""When a lease store counts as lost, and where new sessions go."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from services.registry.domain.leasing import (
    Generation,
    HeldLease,
    StoreView,
    Token,
    lease_slots,
    loss_of,
    store_ttl,
)

GENERATION = Generation(
    3, datetime(2026, 1, 1, tzinfo=UTC), cluster_id=11, high_water=500, mirrored=True, waits=True
)
SAME = StoreView(cluster_id=11, mirror=3, mark=500)
SETTLE = timedelta(seconds=30)


def test_the_same_store_is_not_lost() -> None:
    assert loss_of(GENERATION, SAME) == ""
    assert loss_of(GENERATION, replace(SAME, mark=10_000)) == ""


@pytest.mark.parametrize(
    "view",
    [
        replace(SAME, mirror=None),
        replace(SAME, mirror=2),
        replace(SAME, mirror=4),
        replace(SAME, cluster_id=12),
        replace(SAME, mark=499),
    ],
)
def test_a_store_that_lost_anything_is_found_out(view: StoreView) -> None:
    assert loss_of(GENERATION, view)


def test_tokens_are_ordered_by_generation_then_revision() -> None:
    assert Token(1, 900) < Token(2, 5) < Token(2, 6)


def test_the_store_keeps_leases_for_both_times_rounded_up() -> None:
    assert store_ttl(timedelta(seconds=2), timedelta(seconds=1)) == 3
    assert store_ttl(timedelta(seconds=1.2), timedelta(seconds=1)) == 3


def test_held_leases_are_filled_up_to_their_limit() -> None:
    held = (
        HeldLease(1, 1000, SETTLE),
        HeldLease(2, 998, SETTLE),
        HeldLease(3, 0, timedelta(minutes=30)),
        HeldLease(4, -50, SETTLE),
    )
    assert lease_slots(held, SETTLE, 3) == ([2, 2, 4], 0)
    assert lease_slots(held[:2], SETTLE, 5) == ([2, 2], 3)
    assert lease_slots((), SETTLE, 2) == ([], 2)
    slots, missing = lease_slots(held[3:], SETTLE, 1001)
    assert (len(slots), missing) == (1000, 1)
