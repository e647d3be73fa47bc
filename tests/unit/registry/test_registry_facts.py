"""What facts mean for an account: the rules of TELEGRAM.md section 2 and DESIGN sections 3 and 4."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from services.registry.domain.account import NOT_BLOCKED, Account, FloodWait, Reason
from services.registry.domain.days import day_of
from services.registry.domain.facts import (
    DUPLICATE_COOLDOWN,
    RAISED_SETTLE,
    STOP_WINDOW,
    Death,
    Fact,
    Kind,
    SessionDied,
    SessionRan,
    WorkerCrashed,
    enable,
    must_stop_starts,
    observe,
)
from services.registry.domain.floods import MAX_WAIT, active, clamp, longest

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
ACCOUNT = Account(account_id="acc_a", name="a", create_time=NOW, update_time=NOW, auth_key_id="00" * 8)
SECOND = timedelta(seconds=1)
DUPLICATED = SessionDied(Reason.AUTH_KEY_DUPLICATED)


def fact(kind: Kind, at: datetime = NOW) -> Fact:
    return Fact("f", "acc_a", at, "w1", kind)


def seen(account: Account, kind: Kind, at: datetime = NOW) -> Account:
    return observe(account, fact(kind, at), at)


@pytest.mark.parametrize("reason", [Reason.AUTH_KEY_UNREGISTERED, Reason.SESSION_REVOKED])
def test_a_lost_login_needs_a_login(reason: Reason) -> None:
    block = seen(ACCOUNT, SessionDied(reason)).block
    assert (block.reason, block.cause, block.retry_time) == (Reason.NEEDS_LOGIN, reason, None)
    assert block.detail.endswith(".")
    assert block.forbids_start(NOW + timedelta(days=365))


@pytest.mark.parametrize("reason", [Reason.ACCOUNT_BANNED, Reason.ACCOUNT_FROZEN])
def test_a_ban_or_freeze_is_remembered_without_a_block(reason: Reason) -> None:
    account = seen(ACCOUNT, SessionDied(reason))
    assert not account.block.forbids_start(NOW)
    assert (account.block.reason, account.block.cause) == (Reason.UNSPECIFIED, reason)
    assert account.block.detail
    blocked = seen(ACCOUNT, SessionDied(Reason.SESSION_REVOKED))
    assert seen(blocked, SessionDied(reason)).block == blocked.block


def test_double_use_sets_aside_with_one_try_and_a_longer_settle_time() -> None:
    account = seen(ACCOUNT, DUPLICATED)
    assert account.block.reason is Reason.QUARANTINED
    assert account.block.retry_time == NOW + DUPLICATE_COOLDOWN
    assert account.settle == RAISED_SETTLE
    assert account.block.forbids_start(NOW + DUPLICATE_COOLDOWN - SECOND)
    assert not account.block.forbids_start(NOW + DUPLICATE_COOLDOWN)


def test_another_report_of_the_same_death_changes_nothing() -> None:
    account = seen(ACCOUNT, DUPLICATED)
    assert seen(account, DUPLICATED, NOW + timedelta(minutes=5)).block == account.block
    late = observe(account, fact(DUPLICATED, NOW + SECOND), NOW + timedelta(hours=2))
    assert late.block == account.block


def test_a_probe_that_dies_of_double_use_needs_a_login() -> None:
    after = NOW + DUPLICATE_COOLDOWN + SECOND
    account = seen(seen(ACCOUNT, DUPLICATED), DUPLICATED, after)
    assert account.block.reason is Reason.NEEDS_LOGIN
    assert account.block.cause is Reason.AUTH_KEY_DUPLICATED
    assert seen(account, DUPLICATED, after + timedelta(hours=1)).block == account.block


def test_a_probe_that_runs_ends_the_block_and_keeps_the_settle_time() -> None:
    account = seen(ACCOUNT, DUPLICATED)
    ran = seen(account, SessionRan(42, stable=False), NOW + DUPLICATE_COOLDOWN + SECOND)
    assert ran.block == NOT_BLOCKED
    assert ran.settle == RAISED_SETTLE
    assert (ran.user_id, ran.last_worker_id) == (42, "w1")


def test_a_late_report_of_an_earlier_run_does_not_end_a_block() -> None:
    account = seen(ACCOUNT, SessionDied(Reason.SESSION_REVOKED))
    late = observe(account, fact(SessionRan(42, stable=True), NOW - SECOND), NOW + SECOND)
    assert late.block == account.block


def test_the_user_of_a_session_is_learned_once() -> None:
    assert seen(replace(ACCOUNT, user_id=7), SessionRan(42, stable=False)).user_id == 7


def test_three_crashes_in_a_row_set_aside_until_enabled() -> None:
    account = ACCOUNT
    for streak in (1, 2):
        account = seen(account, WorkerCrashed("i"))
        assert (account.crash_streak, account.block) == (streak, NOT_BLOCKED)
    account = seen(account, WorkerCrashed("i"))
    assert account.block.reason is Reason.QUARANTINED
    assert account.block.forbids_start(NOW + timedelta(days=365))
    assert seen(account, SessionRan(1, stable=False), NOW + SECOND).block == account.block
    again = enable(account, enabled=True)
    assert (again.crash_streak, again.block) == (0, NOT_BLOCKED)


def test_a_stable_run_forgets_crashes_and_an_unstable_one_does_not() -> None:
    account = seen(seen(ACCOUNT, WorkerCrashed("i")), WorkerCrashed("j"))
    assert seen(account, SessionRan(1, stable=False)).crash_streak == 2
    assert seen(account, SessionRan(1, stable=True)).crash_streak == 0


def test_enabling_does_not_bring_back_a_lost_login_and_disabling_ends_the_wish() -> None:
    lost = seen(ACCOUNT, SessionDied(Reason.SESSION_REVOKED))
    assert enable(lost, enabled=True).block == lost.block
    wanted = replace(ACCOUNT, wanted_running=True, wanted_chatting=True)
    off = enable(wanted, enabled=False)
    assert (off.enabled, off.wanted_running, off.wanted_chatting) == (False, False, True)


@pytest.mark.parametrize(
    ("deaths", "stops"),
    [
        ([], False),
        ([("k1", 0)], False),
        ([("k1", 0), ("k1", 1)], False),
        ([("k1", 0), ("k2", 10)], True),
        ([("k1", 0), ("k2", 11)], False),
        ([("k2", 12), ("k1", 0), ("k3", 5)], True),
    ],
)
def test_two_keys_within_ten_minutes_stop_all_starts(deaths: list[tuple[str, int]], stops: bool) -> None:
    found = [Death(key, NOW + timedelta(minutes=minutes)) for key, minutes in deaths]
    assert must_stop_starts(found, None) is stops
    assert not must_stop_starts(found, NOW + timedelta(minutes=12))


def test_a_death_before_the_resumption_does_not_count() -> None:
    found = [Death("k1", NOW), Death("k2", NOW + STOP_WINDOW / 2)]
    assert not must_stop_starts(found, NOW)


def wait(seconds: float, method: str = "m", chat_id: int = 0) -> FloodWait:
    return FloodWait(method, chat_id, NOW + timedelta(seconds=seconds))


def test_waits_are_clamped() -> None:
    assert clamp(wait(30), NOW, NOW) == wait(30)
    assert clamp(wait(-5), NOW, NOW) == wait(1)
    assert clamp(wait(1e9), NOW, NOW) == FloodWait("m", 0, NOW + MAX_WAIT)
    assert clamp(wait(30), NOW, NOW + timedelta(minutes=1)) is None
    assert clamp(wait(1e9), NOW + timedelta(days=99), NOW) == FloodWait("m", 0, NOW + MAX_WAIT)
    unknown = clamp(wait(30, method="x\n"), NOW, NOW)
    assert unknown is not None
    assert unknown.method == "*"


def test_of_two_waits_the_longer_counts_and_ended_ones_do_not_show() -> None:
    assert longest([wait(5), wait(9), wait(7), wait(3, chat_id=-1)]) == [wait(9), wait(3, chat_id=-1)]
    assert active([wait(9), wait(5), wait(0)], NOW) == (wait(5), wait(9))


def test_the_day_is_that_of_the_account() -> None:
    late = datetime(2026, 11, 20, 23, 30, tzinfo=UTC)
    assert day_of(late, "UTC") == "2026-11-20"
    assert day_of(late, "Asia/Tokyo") == "2026-11-21"
    assert day_of(late, "America/New_York") == "2026-11-20"
    assert day_of(late, "Gone/Zone") == "2026-11-20"
