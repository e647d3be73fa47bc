"""Many accounts: the kept order, and many who ask at once."""

from __future__ import annotations

import asyncio
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from services.scheduler.domain.transfers.choosing import lanes
from services.scheduler.domain.transfers.choosing.heaps import NameHeap
from services.scheduler.domain.transfers.choosing.words import Chosen, PoolAccount
from tests.unit.scheduler.choosing_stage import FORWARD, PoolStage

MANY = 2_000


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("abcdefgh"), st.one_of(st.none(), st.integers(0, 5))), max_size=300)
)
def test_a_heap_is_what_a_sorted_list_would_be(changes: list[tuple[str, int | None]]) -> None:
    heap: NameHeap[int] = NameHeap()
    model: dict[str, int] = {}
    for name, key in changes:
        if key is None:
            heap.discard(name)
            model.pop(name, None)
        else:
            heap.put(name, key)
            model[name] = key
        expected = sorted((key, name) for name, key in model.items())
        assert heap.first() == (expected[0] if expected else None)
        seen = list(dict.fromkeys(heap.upwards()))
        assert seen == [name for _, name in expected]
        assert len(heap) == len(model)


def test_what_is_old_is_swept_out() -> None:
    heap: NameHeap[int] = NameHeap()
    for key in range(10_000):
        heap.put("a", key)
    assert len(heap._heap) < 100


def many(stage: PoolStage, flooded: float = 0.0) -> PoolStage:
    rng = random.Random(7)
    stage.add(*(PoolAccount(f"a{number:05}", priority=number % 3) for number in range(MANY)))
    for account_id in sorted(stage.ids):
        if rng.random() < flooded:
            stage.wait(account_id, 600 + rng.random())
    return stage


async def test_sixteen_askers_never_get_the_same_account() -> None:
    stage = many(PoolStage(), flooded=0.5)
    given_out: list[str] = []

    async def asker(number: int) -> None:
        while True:
            found = stage.choose()
            if not isinstance(found, Chosen):
                return
            assert stage.pool.occupy(found.account_id, f"tr_1/{number}")
            given_out.append(found.account_id)
            await asyncio.sleep(0)

    await asyncio.gather(*(asker(number) for number in range(16)))
    assert len(given_out) == len(set(given_out))
    free = [one for one in stage.ids if stage.pool.waiting(one, FORWARD, 0, stage.now) is None]
    assert sorted(given_out) == sorted(free)
    priorities = [int(account_id[1:]) % 3 for account_id in given_out]
    assert priorities == sorted(priorities, reverse=True)


def test_the_next_of_many_is_found_by_looking_at_one() -> None:
    """Behaviour that the speed rests on (benchmarks/next_account.py): a question judges only what changed."""
    stage = many(PoolStage(), flooded=0.5)
    assert len(stage.ids) > lanes.FEW
    stage.chosen()
    lane = next(iter(stage.pool._lanes._lanes.values()))
    judged: list[str] = []
    settle = lane.settle
    lane.settle = lambda judge, now: settle(lambda one: judged.append(one) or judge(one), now)  # type: ignore[method-assign, func-returns-value]
    for _ in range(100):
        account_id = stage.chosen()
        stage.sent(account_id)
        stage.passes(0.01)
    assert len(judged) <= 100


def test_those_whose_waits_end_come_back_by_themselves() -> None:
    stage = PoolStage().add(*(f"a{number}" for number in range(100)))
    for number in range(100):
        stage.wait(f"a{number}", 10 + number)
    for number in range(100):
        nobody = stage.nobody()
        assert nobody.wake is not None
        stage.passes(nobody.wake - stage.now)
        assert stage.chosen() == f"a{number}"
        stage.pool.occupy(f"a{number}", "tr_1/1")


def test_more_transfers_than_orders_are_kept_for_get_their_answers_all_the_same() -> None:
    stage = PoolStage().add(*(f"a{number:02}" for number in range(60)))
    for number in range(300):
        assert stage.chosen(transfer_id=f"tr_{number}") == "a00"
    assert len(stage.pool._lanes._lanes) <= 128
    stage.wait("a00", 60)
    assert {stage.chosen(transfer_id=f"tr_{number}") for number in range(300)} == {"a01"}
