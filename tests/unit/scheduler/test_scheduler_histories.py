"""Random histories: whatever happens, the core keeps its promises, and ends where people want it."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from services.scheduler.domain import events as e
from services.scheduler.domain.model import CallKind
from tests.unit.scheduler.world import SimWorker, World

NAMES = ["a", "b", "d"]
WORKERS = ["w1", "w2", "w3"]

names = st.lists(st.sampled_from(NAMES), min_size=1, unique=True)
worker = st.sampled_from(WORKERS)
action = st.one_of(
    st.tuples(
        st.just("call"),
        st.sampled_from(list(CallKind)),
        names,
        st.sampled_from([0.5, 3.0, 20.0]),
        st.sampled_from([0.0, 5.0]),
    ),
    st.tuples(st.just("save")),
    st.tuples(st.just("kill"), worker),
    st.tuples(st.just("revive"), worker),
    st.tuples(st.just("cut"), worker),
    st.tuples(st.just("mend"), worker),
    st.tuples(st.just("drain"), worker),
    st.tuples(st.just("undrain"), worker),
    st.tuples(st.just("take over")),
    st.tuples(st.just("step"), st.sampled_from([0.25, 1.0, 4.0, 9.0])),
)


def play(world: World, move: tuple) -> None:  # type: ignore[type-arg]
    kind, *rest = move
    if kind in PLAYS:
        PLAYS[kind](world, *rest)
    else:
        ON_WORKER[kind](world, world.workers[rest[0]])


def cut(world: World, target: SimWorker) -> None:
    target.reachable = False
    world.drop_stream(target)


def mend(_world: World, target: SimWorker) -> None:
    target.reachable = True


PLAYS: dict[str, Callable[..., None]] = {
    "call": World.call,
    "save": World.save_wish,
    "step": World.step,
    "take over": World.take_over,
}
ON_WORKER: dict[str, Callable[[World, SimWorker], None]] = {
    "kill": lambda world, target: world.kill(target) if target.alive else None,
    "revive": lambda world, target: None if target.alive else world.revive(target),
    "cut": cut,
    "mend": mend,
    "drain": lambda world, target: world.feed(e.DrainStarted(target.worker_id, world.now + 5)),
    "undrain": lambda world, target: world.feed(e.DrainUndone(target.worker_id)),
}


@settings(max_examples=150, deadline=None)
@given(st.lists(action, max_size=40), st.integers(0, 1000))
def test_promises_hold_in_every_history(moves: list[tuple], seed: int) -> None:  # type: ignore[type-arg]
    world = World(NAMES, WORKERS, seed)
    world.step(0.5)
    for move in moves:
        play(world, move)
    world.heal()
    world.step(60)
    world.check_wanted_is_observed()
