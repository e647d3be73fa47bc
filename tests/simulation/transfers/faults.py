"""What goes wrong in a history, drawn from its seed."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING

from services.scheduler.domain.transfers import events as e
from services.scheduler.domain.transfers.records import Wish

if TYPE_CHECKING:
    from tests.simulation.transfers.play import Play
    from tests.simulation.transfers.workers import Worker


def draw(play: Play, rng: random.Random) -> None:
    """Puts faults into the calendar."""
    for _ in range(rng.randint(0, 12)):
        at = rng.choice([rng.uniform(2, 30), rng.uniform(2, 300), rng.uniform(2, 2000)])
        kind = rng.choice(_KINDS)
        play.world.after(at, kind, play, rng)
    if rng.random() < 0.15:
        play.world.after(rng.uniform(2, 20), _verdict, play, rng)
    if play.clock_jumps:
        for _ in range(3):
            play.world.after(rng.uniform(1, 200), _jump, play, rng)


def ambushes(rng: random.Random) -> dict[int, Callable[[Play, Worker], None]]:
    """What goes wrong right after an effect, by the number of the call."""
    return {rng.randint(1, 40): rng.choice(_AMBUSHES) for _ in range(rng.randint(0, 5))}


def _kill_it(play: Play, worker: Worker) -> None:
    play.kill_worker(worker)


def _freeze_it(play: Play, worker: Worker) -> None:
    play.freeze_worker(worker, play.rng.choice([2.0, 15.0, 60.0]))


def _cut_it(play: Play, worker: Worker) -> None:
    play.cut(worker)


def _behead(play: Play, _worker: Worker) -> None:
    if not play.clock_jumps:
        play.kill_leader()


def _behead_and_kill(play: Play, worker: Worker) -> None:
    play.kill_worker(worker)
    _behead(play, worker)


def _disable_it(play: Play, worker: Worker) -> None:
    for account_id in list(worker.running)[:1]:
        play.stop_account(account_id)
        play.world.after(play.rng.choice([3.0, 100.0, 1500.0]), play.enable_account, account_id)


def _lose_and_disable(play: Play, worker: Worker) -> None:
    accounts = list(worker.running)
    play.kill_worker(worker)
    for account_id in accounts:
        play.stop_account(account_id)
        play.world.after(play.rng.choice([30.0, 500.0, 3000.0]), play.enable_account, account_id)


_AMBUSHES = (_kill_it, _freeze_it, _cut_it, _behead, _behead_and_kill, _disable_it, _lose_and_disable)


def _worker(play: Play, rng: random.Random) -> None:
    play.kill_worker(rng.choice(list(play.workers.values())))


def _freeze(play: Play, rng: random.Random) -> None:
    play.freeze_worker(rng.choice(list(play.workers.values())), rng.choice([1.0, 4.0, 15.0, 90.0]))


def _cut(play: Play, rng: random.Random) -> None:
    play.cut(rng.choice(list(play.workers.values())))


def _leader(play: Play, _rng: random.Random) -> None:
    if not play.clock_jumps:
        play.kill_leader()


def _disable(play: Play, rng: random.Random) -> None:
    account_id = rng.choice(play.accounts)
    if account_id not in play.gone:
        play.stop_account(account_id)
        play.world.after(rng.choice([3.0, 100.0, 1500.0]), play.enable_account, account_id)


def _delete(play: Play, rng: random.Random) -> None:
    """People delete messages of the source."""
    for one in rng.sample(sorted(play.telegram.source), min(3, len(play.telegram.source))):
        if not play.telegram.source[one].grouped_id:
            del play.telegram.source[one]
            play.telegram.deleted += 1


def _wish(play: Play, rng: random.Random) -> None:
    if play.leader is not None:
        name = rng.choice(play.names)
        play.world.note("somebody pauses", name)
        play.leader.tell(e.Wished(name, Wish.PAUSE))
        if rng.random() < 0.5:
            play.leader.tell(e.Wished(name, Wish.RUN))


def _verdict(play: Play, rng: random.Random) -> None:
    play.telegram.limits[rng.choice(play.accounts)].verdict = True


def _jump(play: Play, rng: random.Random) -> None:
    play.wall_shift += rng.choice([-3600.0, 3600.0])
    play.world.note("the wall clock jumps", play.wall_shift)


_KINDS = (_worker, _worker, _freeze, _freeze, _cut, _cut, _leader, _leader, _leader, _disable, _delete, _wish)
