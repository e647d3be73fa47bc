"""What goes wrong in a history: a list of faults with their times, drawn from the seed, and how each is
done and undone.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.simulation.play import Play

BEGIN, END = 2.0, 24.0
"""Seconds between which faults begin; by END all are undone."""


def draw(play: Play, rng: random.Random) -> None:
    """Puts the faults of a history into the calendar."""
    for _ in range(rng.randint(2, 8)):
        at = BEGIN + (END - BEGIN) * rng.random()
        span = min(END - at, 0.2 + 9.0 * rng.random() ** 2)
        kind = rng.choices(_KINDS, _WEIGHTS)[0]
        kind(play, rng, at, span)
    for _ in range(rng.randint(0, 3)):
        at = BEGIN + (END - BEGIN) * rng.random()
        account = rng.choice(play.accounts)
        play.at(at, play.want, account, rng.random() < 0.5)


def _somebody(play: Play, rng: random.Random) -> str:
    names = [*play.workers, *play.workers, *play.registries, *play.schedulers, "etcd", "db"]
    return rng.choice(names)


def _freeze(play: Play, rng: random.Random, at: float, span: float) -> None:
    name = _somebody(play, rng)
    play.at(at, play.freeze, name)
    play.at(at + span, play.thaw, name, span if play.clocks_stand_still and name != "etcd" else 0.0)


def _kill(play: Play, rng: random.Random, at: float, span: float) -> None:
    name = _somebody(play, rng)
    play.at(at, play.kill, name)
    play.at(at + (span if rng.random() < 0.5 else 0.2), play.start, name)


def _cut(play: Play, rng: random.Random, at: float, span: float) -> None:
    worker = rng.choice(play.workers)
    pairs = rng.choice(
        [
            [(worker, name) for name in play.registries],
            [(worker, name) for name in play.schedulers],
            [(worker, name) for name in (*play.registries, *play.schedulers)],
            [(rng.choice(play.registries), rng.choice(["etcd", "db"]))],
            [(rng.choice(play.schedulers), rng.choice(["etcd", "db"]))],
            [(worker, rng.choice(play.registries))],
            [(worker, "telegram")],
        ]
    )
    ways = rng.choice(["both", "both", "there", "back"])
    cut = [(b, a) if ways == "back" and b != "telegram" else (a, b) for a, b in pairs]
    if ways == "both":
        cut += [(b, a) for a, b in pairs]
    play.at(at, play.cut, cut)
    play.at(at + span, play.mend, cut)


def _cut_and_freeze(play: Play, rng: random.Random, at: float, span: float) -> None:
    """A worker that loses its registries, and is frozen right after, comes back past its deadline."""
    worker = rng.choice(play.workers)
    cut = [(worker, name) for name in play.registries]
    play.at(at, play.cut, cut)
    play.at(at + span + 2.0, play.mend, cut)
    play.at(at + 0.5, play.freeze, worker)
    play.at(at + 0.5 + span, play.thaw, worker, span if play.clocks_stand_still else 0.0)


def _lose_etcd(play: Play, rng: random.Random, at: float, span: float) -> None:
    play.at(at, play.kill, "etcd")
    play.at(at + span / 3, play.wipe if rng.random() < 0.6 else play.restore, rng.randrange(8))
    play.at(at + span / 3, play.start, "etcd")


def _set_database_back(play: Play, rng: random.Random, at: float, span: float) -> None:
    """Its registry's part, as marked by docs/operations-keys.md; registries, worse than there, may run on."""
    play.at(at, play.kill, "db")
    for name in play.registries if rng.random() < 0.3 else ():
        play.at(at, play.kill, name)
        play.at(at + span / 2, play.start, name)
    play.at(at + span / 3, play.restore_database, rng.randrange(8))
    play.at(at + span / 3, play.start, "db")


def _slow(play: Play, rng: random.Random, at: float, span: float) -> None:
    play.at(at, play.slow, 0.3 + 2.0 * rng.random())
    play.at(at + span, play.slow, 0.0)


def _jump(play: Play, rng: random.Random, at: float, span: float) -> None:
    if not play.clocks_stand_still:
        name = rng.choice([*play.workers, *play.registries, *play.schedulers])
        play.at(at, play.jump, name, rng.choice([-20.0, -5.0, -1.0, 1.0, 5.0, 20.0]))


_Kind = Callable[["Play", random.Random, float, float], None]
_KINDS: list[_Kind] = [
    _freeze,
    _kill,
    _cut,
    _cut_and_freeze,
    _lose_etcd,
    _set_database_back,
    _slow,
    _jump,
]
_WEIGHTS = [5, 5, 5, 1, 2, 1, 1, 2]
