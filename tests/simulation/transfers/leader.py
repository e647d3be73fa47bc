"""A model scheduler: the shipped core, fed and obeyed as the shipped driver does it, on the model database.
It can die at any moment; a commit that was under way is then on disk or not."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING

from services.scheduler.domain.transfers import commands as c
from services.scheduler.domain.transfers import events as e
from services.scheduler.domain.transfers.core import TransferCore
from services.scheduler.domain.transfers.orders import OrderAnswer
from services.scheduler.domain.transfers.rules import TransferRules

if TYPE_CHECKING:
    from tests.simulation.transfers.play import Play
    from tests.simulation.transfers.workers import Worker

WALL = 1_800_000_000.0


class Leader:
    """One term."""

    def __init__(self, play: Play, term: int, rules: TransferRules) -> None:
        self.play = play
        self.world = play.world
        self.term = term
        self.alive = True
        self._shift = play.rng.uniform(0, 5000)
        self._ticking: float | None = None
        self._busy_until = 0.0
        self._lost = False
        """A commit went down with the process: so do all after it."""
        store = play.store
        store.term = term
        self.core = TransferCore(
            rules, term, random.Random(term), store.load(self.wall), now=self.now, wall=self.wall
        )

    @property
    def now(self) -> float:
        return self.world.now + self._shift

    @property
    def wall(self) -> float:
        return WALL + self.world.now + self.play.wall_shift

    def wall_of(self, when: float) -> float:
        return WALL + when + self.play.wall_shift

    def tell(self, event: e.Event) -> None:
        """The core takes in an event, and its commands are carried out."""
        if not self.alive:
            return
        self.play.told += 1
        for command in self.core.handle(event, self.now, self.wall):
            self._carry(command)
        self._plan_tick()

    def hear(self, worker: Worker, attachment: int, answer: OrderAnswer) -> None:
        """An answer is on its way here."""
        self.world.after(self._latency(), self._heard, worker, attachment, answer)

    def _heard(self, worker: Worker, attachment: int, answer: OrderAnswer) -> None:
        if worker.attachment == attachment and worker.leader is self:
            self.tell(e.Answered(worker.name, attachment, answer))

    def _carry(self, command: c.Command) -> None:
        if isinstance(command, c.Commit):
            slow = self.world.rng.uniform(0.5, 2.0) if self.world.chance(0.01) else 0.0
            delay = max(self._busy_until - self.world.now, 0.0) + self.world.rng.uniform(0.0005, 0.004) + slow
            self._busy_until = self.world.now + delay
            self.world.after(delay, self._write, command)
        elif isinstance(command, c.GiveOrders):
            self._to(command, lambda worker: worker.take(self.term, tuple(command.orders)))
        elif isinstance(command, c.Acknowledge):
            self._to(command, lambda worker: worker.forget(tuple(command.order_ids)))
        elif isinstance(command, c.Borrow):
            self.play.borrow(command.account_id)

    def _to(self, command: c.GiveOrders | c.Acknowledge, do: Callable[[Worker], None]) -> None:
        self.world.after(self._latency(), self._deliver, command.worker_id, command.attachment, do)

    def _deliver(self, name: str, attachment: int, do: Callable[[Worker], None]) -> None:
        worker = self.play.workers[name]
        if worker.attachment == attachment and worker.leader is self and worker.alive:
            do(worker)

    def _write(self, command: c.Commit) -> None:
        self._lost = self._lost or (not self.alive and self.world.chance(0.5))
        if self._lost:
            return
        if self.play.store.commit(self.term, command.changes) and self.alive:
            self.tell(e.Committed(command.commit_id))

    def _latency(self) -> float:
        return self.world.rng.uniform(0.0005, 0.003)

    def _plan_tick(self) -> None:
        due = self.core.next_due
        if due is None:
            return
        when = due - self._shift
        if self._ticking is None or when < self._ticking - 1e-9 or self._ticking < self.world.now:
            self._ticking = when
            self.world.after(max(0.0, when - self.world.now) + 1e-6, self._tick)

    def _tick(self) -> None:
        self._ticking = None
        self.tell(e.Tick())
