"""What is tried again, when, and how often."""

from __future__ import annotations

import random

import pytest

from services.scheduler.domain.model import Outcome, Reason, Report, Rules, SessionState
from services.scheduler.domain.retries import backoff, classify
from tests.unit.scheduler.stage import Stage, accounts, outcomes, started


def refused(reason: Reason, outcome: Outcome = Outcome.FAILED, retry: float = 0.0) -> Stage:
    stage = Stage(accounts("a"))
    stage.attach("w1")
    stage.start_all("a")
    stage.refuses("w1", "a", outcome, reason, retry=stage.wall + retry if retry else 0.0)
    stage.commands.clear()
    return stage


def test_every_reason_is_classified() -> None:
    for reason in Reason:
        classify(reason)


@pytest.mark.parametrize("reason", [Reason.SETTLING, Reason.LEASE_HELD, Reason.FLOOD_WAIT])
def test_a_named_moment_is_met_soon_after(reason: Reason) -> None:
    stage = refused(reason, Outcome.WAITING, retry=17.0)
    stage.pass_time(16.9)
    assert started(stage.commands) == {}
    stage.pass_time(0.4)
    assert started(stage.commands) == {"w1": ["a"]}


def test_a_held_lease_without_a_moment_is_asked_for_again_within_half_a_settle_time() -> None:
    stage = refused(Reason.LEASE_HELD, Outcome.WAITING)
    stage.pass_time(stage.core.fleet.rules.lease_settle / 2)
    assert started(stage.commands) == {"w1": ["a"]}


def test_settling_may_go_on_for_longer_than_any_count_of_attempts() -> None:
    stage = refused(Reason.SETTLING, Outcome.WAITING, retry=1.0)
    for _ in range(60):
        stage.commands.clear()
        stage.pass_time(1.5)
        assert started(stage.commands) == {"w1": ["a"]}
        stage.refuses("w1", "a", Outcome.WAITING, Reason.SETTLING, retry=stage.wall + 1.0)


def test_failures_back_off_and_end_after_twenty() -> None:
    stage = refused(Reason.CONNECT_TIMEOUT)
    pauses = []
    for _ in range(20):
        before = stage.now
        while not started(stage.commands):
            stage.pass_time(0.25)
            assert stage.now - before < 400
        pauses.append(stage.now - before)
        stage.commands.clear()
        stage.refuses("w1", "a", Outcome.FAILED, Reason.CONNECT_TIMEOUT)
    assert pauses[0] <= 1.5
    assert 150 <= max(pauses) <= 301
    stage.pass_time(3600)
    assert started(stage.commands) == {}
    verdict = stage.entry("a").verdict
    assert verdict is not None
    assert "gave up after 21 attempts" in verdict.detail


def test_a_person_ends_backoff_and_rest_at_once() -> None:
    for reason in (Reason.CONNECT_TIMEOUT, Reason.ACCOUNT_BANNED):
        stage = refused(reason)
        stage.start_all("a")
        assert started(stage.commands) == {"w1": ["a"]}


@pytest.mark.parametrize(
    "reason",
    [
        Reason.SESSION_INVALID,
        Reason.SECRET_UNREADABLE,
        Reason.AUTH_KEY_UNREGISTERED,
        Reason.AUTH_KEY_DUPLICATED,
        Reason.SESSION_REVOKED,
        Reason.ACCOUNT_BANNED,
        Reason.ACCOUNT_FROZEN,
    ],
)
def test_permanent_failures_rest_until_something_changes(reason: Reason) -> None:
    stage = refused(reason)
    stage.pass_time(24 * 3600)
    assert started(stage.commands) == {}
    stage.change("a", received_today=5)
    assert started(stage.commands) == {}
    stage.change("a", auth_key_id="another")
    assert started(stage.commands) == {"w1": ["a"]}


def test_a_session_that_ends_by_itself_is_started_again() -> None:
    stage = Stage(accounts("a"))
    stage.attach("w1")
    stage.up("w1", "a")
    stage.commands.clear()
    stage.refuses("w1", "a", Outcome.FAILED, Reason.CONNECT_TIMEOUT)
    stage.pass_time(1.1)
    assert started(stage.commands) == {"w1": ["a"]}


def test_an_end_of_an_earlier_start_does_not_end_the_present_one() -> None:
    stage = Stage(accounts("a"))
    stage.attach("w1")
    call = stage.start_all("a")
    stage.refuses("w1", "a", Outcome.FAILED, Reason.CONNECT_TIMEOUT)
    assert outcomes(call) == {"a": "FAILED/CONNECT_TIMEOUT"}
    old = stage.entry("a").command_id
    again = stage.start_all("a")
    assert stage.entry("a").command_id != old
    stage.report("w1", Report("a", SessionState.STOPPED, None, old, Outcome.FAILED, Reason.CONNECT_TIMEOUT))
    assert outcomes(again) == {}


def test_a_quarantine_gets_one_probe_when_its_time_has_come() -> None:
    stage = Stage(accounts("a", wanted_running=True))
    stage.attach("w1")
    stage.commands.clear()
    stage.refuses("w1", "a", Outcome.FAILED, Reason.AUTH_KEY_DUPLICATED)
    until = stage.wall + 1800
    stage.change("a", block_reason=Reason.QUARANTINED, block_retry=until)
    stage.pass_time(1799)
    assert started(stage.commands) == {}
    stage.pass_time(2)
    assert started(stage.commands) == {"w1": ["a"]}
    stage.commands.clear()
    stage.refuses("w1", "a", Outcome.FAILED, Reason.CONNECT_TIMEOUT)
    stage.pass_time(3600)
    assert started(stage.commands) == {}


def test_backoff_grows_from_its_base_to_its_cap_with_jitter() -> None:
    rng, rules = random.Random(0), Rules()
    for attempt in range(1, 30):
        full = min(rules.backoff_cap, rules.backoff_base * 2 ** (attempt - 1))
        assert full / 2 <= backoff(attempt, rules, rng) <= full


def test_starts_that_were_refused_their_lease_do_not_use_up_the_start_rate() -> None:
    names = [f"a{n}" for n in range(20)]
    stage = Stage(accounts(*names), rules=Rules(start_rate=1.0, start_burst=20))
    stage.attach("w1")
    stage.start_all()
    for name in names:
        stage.refuses("w1", name, Outcome.WAITING, Reason.SETTLING, retry=stage.wall + 1)
    stage.commands.clear()
    stage.pass_time(1.3)
    assert sorted(started(stage.commands)["w1"]) == sorted(names)
