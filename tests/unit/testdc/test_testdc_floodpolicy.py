"""Hidden budgets in virtual time: what goes through, what waits are told, and that they end."""

from __future__ import annotations

from dataclasses import replace
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.testdc.domain.costs import Cost, CostBook
from services.testdc.domain.floodpolicy import FloodPolicy, FloodState, Shape, draw
from services.testdc.domain.floods import FloodBook
from services.testdc.domain.waits import WaitBook

BUCKET = FloodPolicy(Shape.BUCKET, budget=1_000, period=1_000, wait=60)
WINDOW = FloodPolicy(Shape.WINDOW, budget=1_000, period=3_600, wait=1)


def _send_until_told(policy: FloodPolicy, state: FloodState, now: float, batch: int = 100) -> tuple[int, int]:
    """Batches as fast as can be; how many messages went through, and the wait."""
    sent = 0
    while not (wait := policy.ask(state, batch, now)):
        policy.charge(state, batch, now)
        sent += batch
    return sent, wait


@pytest.mark.parametrize("policy", [BUCKET, WINDOW])
def test_a_budget_goes_through_at_once_and_again_after_the_wait(policy: FloodPolicy) -> None:
    state = FloodState()
    sent, wait = _send_until_told(policy, state, now=50.0)
    assert sent == 1_000
    assert wait == (60 if policy is BUCKET else 3_600)
    assert policy.left(state, 50.0 + wait / 2) == 0
    assert _send_until_told(policy, state, now=50.0 + wait)[0] == 1_000


def test_a_slow_sender_is_never_told_to_wait() -> None:
    state = FloodState()
    for second in range(0, 100_000, 100):
        assert BUCKET.ask(state, 100, second) == 0
        BUCKET.charge(state, 100, second)


def test_what_is_left_of_a_wait_is_told_and_punished() -> None:
    state = FloodState()
    _send_until_told(BUCKET, state, 0)
    assert BUCKET.ask(state, 100, 20.5) == 40
    harsh = replace(BUCKET, punishment=2.0)
    assert harsh.ask(state, 100, 30) == 60
    assert harsh.ask(state, 100, 89) == 2
    assert harsh.ask(state, 100, 91) == 0


def test_waits_grow_until_they_are_forgiven() -> None:
    policy, state, now = replace(BUCKET, escalation=2.0, forgiven_after=5_000), FloodState(), 1e6
    waits = []
    for _ in range(3):
        _, wait = _send_until_told(policy, state, now)
        waits.append(wait)
        now += wait
    assert waits == [60, 120, 240]
    assert _send_until_told(policy, state, now + 6_000)[1] == 60


def test_a_bucket_that_recovers_in_part() -> None:
    policy, state = replace(BUCKET, recovered=0.3, period=1e9), FloodState()
    _send_until_told(policy, state, 0)
    assert _send_until_told(policy, state, 60)[0] == 300


def test_calls_can_be_counted_instead() -> None:
    policy = replace(WINDOW, counts_calls=True, budget=3)
    assert _send_until_told(policy, FloodState(), 0)[0] == 300


def test_a_single_call_above_the_budget_goes_through() -> None:
    """Otherwise nobody could ever send it."""
    assert _send_until_told(replace(BUCKET, budget=50), FloodState(), 0)[0] == 100


@given(st.integers(), st.integers(min_value=1, max_value=100))
def test_drawn_policies_are_the_same_again_and_sane(seed: int, batch: int) -> None:
    policy = draw(seed)
    assert policy == draw(seed)
    state, now, waited = FloodState(), 0.0, 0
    for _ in range(5):
        sent, wait = _send_until_told(policy, state, now, batch)
        assert 1 <= wait <= policy.longest + 1
        assert sent <= policy.budget
        now += wait
        waited += wait
    assert policy.ask(state, 1, now) == 0
    assert waited >= 5


def test_drawn_policies_differ_and_scale() -> None:
    drawn = [draw(seed) for seed in range(50)]
    assert {policy.shape for policy in drawn} == set(Shape)
    assert 500 < median(policy.budget for policy in drawn) < 1_500
    quick = draw(7, time_scale=0.01)
    assert quick.budget == draw(7).budget
    assert quick.period == pytest.approx(draw(7).period / 100)


def test_policies_hold_for_their_account_and_methods() -> None:
    book = FloodBook()
    book.set(replace(WINDOW, budget=100), ("messages.forwardMessages",))
    book.charge(1, "messages.forwardMessages", 100, now=0)
    told = book.ask(1, "messages.forwardMessages", 1, now=1)
    assert told is not None
    assert (told[0], told[1].name) == (3_599, "FLOOD_WAIT_3599")
    assert book.ask(2, "messages.forwardMessages", 1, now=1) is None
    assert book.ask(1, "messages.getHistory", 1, now=1) is None
    assert book.ask(0, "messages.forwardMessages", 1, now=1) is None
    assert book.clear() == 1
    assert book.ask(1, "messages.forwardMessages", 1, now=1) is None


def test_costs_are_served_one_after_another_for_each_client() -> None:
    book = CostBook()
    book.set("messages.forwardMessages", Cost(0.02, 0.001))
    assert book.take("a", "messages.forwardMessages", 100, now=10) == pytest.approx(0.12)
    assert book.take("a", "messages.forwardMessages", 1, now=10.1) == pytest.approx(0.041)
    assert book.take("b", "messages.forwardMessages", 1, now=10.1) == pytest.approx(0.021)
    assert book.take("a", "messages.getHistory", 1, now=10) == 0
    book.set("messages.forwardMessages", Cost(0, 0))
    assert book.take("a", "messages.forwardMessages", 1, now=10) == 0


def test_a_wait_of_slow_mode_holds_in_its_chat_alone() -> None:
    book = WaitBook()
    book.note(1, "messages.forwardMessages", "channel:5", until=20)
    assert book.left(1, "messages.forwardMessages", "channel:5", now=15) == 5
    assert book.left(1, "messages.forwardMessages", "channel:6", now=15) == 0
    book.note(1, "messages.forwardMessages", "", until=17)
    assert book.left(1, "messages.forwardMessages", "channel:6", now=15) == 2
    assert book.left(2, "messages.forwardMessages", "channel:5", now=15) == 0
