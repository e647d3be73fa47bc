"""Which account is next, and what is said about the others. Everything is asked of few accounts (looked at
one by one) and of many (an order is kept): the answers must be the same."""

from __future__ import annotations

import random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.scheduler.domain.transfers.choosing import lanes
from services.scheduler.domain.transfers.choosing.words import Chosen, Nobody, PoolAccount
from tests.unit.scheduler.choosing_stage import CHAT, FORWARD, PoolStage


@pytest.fixture(params=["few", "many"], autouse=True)
def _few_or_many(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "many":
        monkeypatch.setattr(lanes, "FEW", 0)


def test_priority_goes_first_then_who_was_used_longest_ago() -> None:
    stage = PoolStage().add(PoolAccount("high", priority=5), "a", "b", "c")
    assert stage.chosen() == "high"
    stage.wait("high", 60)
    for expected in ("a", "b", "c", "a", "b"):
        assert stage.chosen() == expected
        stage.sent(expected)
        stage.passes(1)
    stage.passes(60)
    assert stage.chosen() == "high"


def test_the_shards_last_account_is_preferred_while_it_may() -> None:
    stage = PoolStage().add(PoolAccount("high", priority=5), "a", "b")
    assert stage.chosen(prefer="b") == "b"
    stage.wait("b", 60)
    assert stage.chosen(prefer="b") == "high"
    assert stage.chosen(prefer="stranger") == "high"


def test_one_that_must_be_started_is_taken_only_when_none_that_runs_can() -> None:
    stage = PoolStage().add(
        PoolAccount("asleep", priority=9, running=False, startable=True),
        PoolAccount("starting", running=False),
        "a",
    )
    assert stage.chosen() == "a"
    stage.wait("a", 60)
    assert stage.choose() == Chosen("asleep", allowance=1_000_000_000, running=False)
    assert stage.nobody(only_running=True).wake == stage.now + 60
    assert stage.reasons("asleep", only_running=True) == ["NOT_RUNNING"]
    assert stage.reasons("starting") == ["NOT_RUNNING"]


def test_each_refusal_says_why_and_until_when() -> None:
    stage = PoolStage().add(
        PoolAccount("off", enabled=False),
        PoolAccount("out", running=False, blocked="NEEDS_LOGIN"),
        "waits",
        "slow",
        "blind",
        "busy",
        PoolAccount("night", allowed_hours=("22:00-06:00",)),
        PoolAccount("capped", daily_cap=50),
    )
    stage.wait("waits", 90)
    stage.wait("slow", 30, chat_id=CHAT)
    stage.pool.deny("tr_1", "blind", "CANNOT_READ")
    stage.pool.occupy("busy", "tr_2/1")
    stage.pool.reserve("capped", "tr_2/1/1", 50, stage.wall)
    said = {name: [(o.reason, o.until) for o in one.obstacles] for name, one in stage.explained().items()}
    assert said == {
        "off": [("DISABLED", 0.0)],
        "out": [("NEEDS_LOGIN", 0.0)],
        "waits": [("FLOOD_WAIT", stage.wall + 90)],
        "slow": [("SLOW_MODE", stage.wall + 30)],
        "blind": [("CANNOT_READ", 0.0)],
        "busy": [("BUSY", 0.0)],
        "night": [("OUTSIDE_HOURS", stage.wall + 10 * 3600)],
        "capped": [("DAILY_CAP", stage.wall + 12 * 3600)],
    }
    nobody = stage.nobody()
    assert (nobody.wake, nobody.reason) == (stage.now + 30, "SLOW_MODE")
    assert "slow can first" in nobody.detail or "slow" in nobody.detail


def test_several_obstacles_are_all_told_and_the_last_to_end_counts() -> None:
    stage = PoolStage().add(PoolAccount("a", enabled=True, allowed_hours=("13:00-14:00",)))
    stage.wait("a", 60)
    assert stage.reasons("a") == ["FLOOD_WAIT", "OUTSIDE_HOURS"]
    assert (stage.nobody().wake, stage.nobody().reason) == (stage.now + 3600, "OUTSIDE_HOURS")


def test_nobody_wakes_by_itself_when_only_a_person_helps() -> None:
    stage = PoolStage().add(PoolAccount("a", enabled=False), PoolAccount("b", enabled=False))
    assert (stage.nobody().wake, stage.nobody().reason) == (None, "DISABLED")
    stage.add(PoolAccount("b"))
    assert stage.chosen() == "b"
    stage.pool.remove("b")
    assert stage.nobody().reason == "DISABLED"
    stage.pool.remove("a")
    assert stage.nobody().reason == "NO_ACCOUNT_LEFT"


@pytest.mark.parametrize("more", [0, 40])
def test_the_same_is_said_whatever_order_a_set_has(more: int) -> None:
    """Sets of names have another order in each process; of reasons as common as each other the first
    account's is said. `more`: of many accounts too."""
    for number in range(30):
        stage = PoolStage()
        for name in range(more // 2 + 1):
            stage.add(PoolAccount(f"a{number}-{name}", "A", enabled=False))
            stage.add(PoolAccount(f"b{number}-{name}", "B", running=False, startable=False))
        assert stage.nobody().reason == "DISABLED"


def test_slow_mode_counts_for_its_chat_and_a_flood_wait_for_its_method_only() -> None:
    stage = PoolStage().add("a")
    stage.wait("a", 30, chat_id=-100999)
    stage.wait("a", 30, method="messages.sendMessage")
    assert stage.chosen() == "a"
    stage.wait("a", 40, method="*")
    assert stage.chosen() == "(FLOOD_WAIT)"
    assert stage.pool.waiting("a", "channels.getMessages", 0, stage.now) == stage.now + 40


def test_what_was_denied_counts_for_its_transfer_until_it_is_forgiven() -> None:
    stage = PoolStage().add("a")
    stage.pool.deny("tr_1", "a", "CANNOT_POST")
    assert stage.chosen() == "(CANNOT_POST)"
    assert stage.chosen(transfer_id="tr_2") == "a"
    stage.pool.forgive("tr_1")
    assert stage.chosen() == "a"


def test_an_account_has_one_holder() -> None:
    stage = PoolStage().add("a")
    assert stage.pool.occupy("a", "tr_1/1")
    assert not stage.pool.occupy("a", "tr_2/1")
    assert stage.pool.occupy("a", "tr_1/1")
    assert stage.pool.allowance(stage.ask(), "a", "tr_1/1", stage.now, stage.wall) > 0
    assert stage.pool.allowance(stage.ask(), "a", "tr_2/1", stage.now, stage.wall) == 0
    stage.pool.free("a", "tr_2/1")
    assert stage.chosen() == "(BUSY)"
    stage.pool.free("a", "tr_1/1")
    assert stage.chosen() == "a"


def test_an_album_needs_room_for_the_whole_of_it() -> None:
    stage = PoolStage().add(PoolAccount("a", daily_cap=105))
    stage.pool.reserve("a", "tr_1/1/1", 100, stage.wall)
    assert stage.choose(count=5) == Chosen("a", 5)
    assert stage.nobody(count=6).reason == "DAILY_CAP"
    assert stage.choose(count=1) == Chosen("a", 5)


def test_ranks_are_the_order_in_which_accounts_are_chosen() -> None:
    stage = PoolStage().add(PoolAccount("a", priority=1), "b", "c", PoolAccount("off", enabled=False))
    stage.sent("b")
    told = stage.explained()
    assert {name: (one.rank, one.chosen) for name, one in told.items()} == {
        "a": (1, True),
        "c": (2, False),
        "b": (3, False),
        "off": (0, False),
    }
    assert next(iter(stage.explained(prefer="b"))) == "b"


def test_who_works_on_the_transfer_is_the_chosen_one() -> None:
    stage = PoolStage().add(PoolAccount("high", priority=5), "a", "b")
    stage.pool.occupy("a", "tr_1/2")
    stage.pool.occupy("b", "tr_2/1")
    told = stage.explained()
    assert {name: (one.rank, one.chosen) for name, one in told.items()} == {
        "a": (1, True),
        "high": (2, False),
        "b": (0, False),
    }
    stage.wait("a", 60)
    assert [name for name, one in stage.explained().items() if one.chosen] == ["high"]


def test_an_account_that_an_earlier_leader_used_is_held_before_anything_is_known_of_it() -> None:
    stage = PoolStage()
    assert stage.pool.occupy("a", "tr_1/1")
    assert not stage.pool.occupy("a", "tr_2/1")
    stage.add("a")
    assert stage.chosen(transfer_id="tr_2") == "(BUSY)"
    stage.pool.free("a", "tr_1/1")
    assert stage.chosen(transfer_id="tr_2") == "a"


@settings(deadline=None)
@example(seed=1850)  # one who may send one message soon, but an album only tomorrow
@given(seed=st.integers(0, 2**32))
def test_few_and_many_always_agree(seed: int) -> None:
    """Random happenings; after each, the order that is kept says what looking at all of them says."""
    rng = random.Random(seed)
    stage = PoolStage(prediction=rng.random() < 0.5)
    names = [f"a{i}" for i in range(8)]
    for step in range(60):
        _happen(rng, stage, rng.choice(names), step)
        stage.passes(rng.choice((0.0, 0.5, 5.0, 60.0, 4000.0)))
        if rng.random() < 0.05:
            stage.wall += rng.choice((-3600.0, 3600.0))
        count = 10 if step % 3 == 0 else 1
        one, other = (_answer(stage, few, count) for few in (0, 100))
        if isinstance(one, Nobody) and isinstance(other, Nobody):
            assert one.wake == other.wake or abs((one.wake or 0) - (other.wake or 0)) < 1e-6
        else:
            assert one == other


def _answer(stage: PoolStage, few: int, count: int) -> Chosen | Nobody:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lanes, "FEW", few)
        return stage.choose(count=count)


def _happen(rng: random.Random, stage: PoolStage, name: str, step: int) -> None:
    kind = rng.randrange(7)
    if kind == 0:
        stage.add(
            PoolAccount(
                name,
                name,
                priority=rng.randrange(3),
                enabled=rng.random() < 0.9,
                running=rng.random() < 0.7,
                startable=rng.random() < 0.5,
                time_zone=rng.choice(("UTC", "Europe/Berlin", "America/New_York")),
                daily_cap=rng.choice((0, 0, 150)),
                allowed_hours=rng.choice(((), (), ("08:00-12:30",), ("22:00-06:00", "12:00-12:30"))),
            )
        )
    elif kind == 1:
        stage.wait(name, rng.choice((1, 30, 600)), chat_id=rng.choice((0, CHAT)))
    elif kind == 2:
        stage.sent(name, rng.randrange(1, 100))
    elif kind == 3:
        stage.pool.occupy(name, f"tr_{step}/1") or stage.pool.free(name, f"tr_{step - 1}/1")
    elif kind == 4:
        stage.pool.reserve(name, f"tr_1/1/{step}", rng.randrange(1, 100), stage.wall)
    elif kind == 5:
        stage.pool.settle(f"tr_1/1/{step - rng.randrange(1, 20)}", rng.randrange(50))
    else:
        stage.pool.note_flood(name, FORWARD, 30, 100, now=stage.now, wall=stage.wall)
