"""Random histories: whatever happens, the core keeps its promises, and ends where people want it."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from services.scheduler.domain import events as e
from services.scheduler.domain.model import CallKind
from tests.unit.scheduler.world import World

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
    st.tuples(st.just("step"), st.sampled_from([0.25, 1.0, 4.0, 9.0])),
)


def play(world: World, move: tuple) -> None:  # type: ignore[type-arg]
    kind, *rest = move
    if kind == "call":
        world.call(*rest)
    elif kind == "save":
        world.save_wish()
    elif kind == "step":
        world.step(*rest)
    else:
        target = world.workers[rest[0]]
        if kind == "kill" and target.alive:
            world.kill(target)
        elif kind == "revive" and not target.alive:
            world.revive(target)
        elif kind == "cut":
            target.reachable = False
            world.drop_stream(target)
        elif kind == "mend":
            target.reachable = True
        elif kind == "drain":
            world.feed(e.DrainStarted(target.worker_id, world.now + 5))
        elif kind == "undrain":
            world.feed(e.DrainUndone(target.worker_id))


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
