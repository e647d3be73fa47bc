"""Model workers: they carry out orders once each, keep answers until they are acknowledged, die, freeze, and
lose their links. What leaves them may arrive late."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from services.scheduler.domain.model import Token
from services.scheduler.domain.transfers.orders import (
    Answer,
    ChatFacts,
    InspectChats,
    Inspected,
    LookInTarget,
    Order,
    OrderAnswer,
    OrderNotDone,
    OrderRefused,
    OrderUnknown,
    ReadSource,
    SendBatch,
)
from tests.simulation.transfers.telegram import SOURCE, TARGET, Telegram
from tests.simulation.transfers.world import World

if TYPE_CHECKING:
    from tests.simulation.transfers.leader import Leader

LATE = 40.0
"""Seconds by which an effect may come after its call was given up; less than the take-over delay."""


@dataclass
class Chances:
    """How often the link fails one send, and how."""

    request_lost: float = 0.0
    answer_lost: float = 0.0
    late: float = 0.0
    server_error: float = 0.0
    not_done: float = 0.0


@dataclass
class Worker:
    """One worker process after the other under the same name."""

    world: World
    telegram: Telegram
    name: str
    chances: Chances
    incarnation: int = 1
    alive: bool = True
    frozen: bool = False
    leader: Leader | None = None
    attachment: int = 0
    highest_term: int = 0
    running: dict[str, Token] = field(default_factory=dict)
    waits: dict[str, float] = field(default_factory=dict)
    calls: dict[str, float] = field(default_factory=dict)
    """When the call of an order arrived."""
    flying: dict[str, Order] = field(default_factory=dict)
    kept: dict[str, OrderAnswer] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)
    """Orders of this process: none is carried out twice."""
    missed: list[tuple[str, int]] = field(default_factory=list)
    ambush: Callable[[Worker], None] = lambda _worker: None
    """Called at the worst moment: the effect has happened, and nobody knows."""
    library_retries: bool = False
    """A planted bug: the library repeats by itself, and only its last answer is seen."""

    def take(self, term: int, orders: tuple[Order, ...]) -> None:
        """Orders arrive."""
        if not self.alive or term < self.highest_term:
            return
        self.highest_term = term
        for order in orders:
            if order.order_id in self.flying:
                continue
            if order.order_id in self.kept:
                self._send_answer(self.kept[order.order_id])
                continue
            if order.order_id in self.seen:
                continue
            self.seen.add(order.order_id)
            self.flying[order.order_id] = order
            self._begin(order)

    def forget(self, order_ids: tuple[str, ...]) -> None:
        for one in order_ids:
            self.kept.pop(one, None)

    def die(self) -> None:
        self.world.note(self.name, "dies")
        self.alive = False
        self.frozen = False
        self.flying.clear()
        self.kept.clear()
        self.seen.clear()
        self.running.clear()

    def born(self) -> None:
        self.incarnation += 1
        self.alive = True
        self.highest_term = 0

    def thaw(self) -> None:
        self.frozen = False
        missed, self.missed = self.missed, []
        for order_id, incarnation in missed:
            self._answer(order_id, incarnation, OrderUnknown("FENCED"))

    def stop_account(self, account_id: str) -> None:
        """The account leaves: what it was doing is given up."""
        self.running.pop(account_id, None)
        for order_id, order in list(self.flying.items()):
            if order.account_id == account_id:
                self._answer(order_id, self.incarnation, OrderUnknown("STOPPING"))

    def _begin(self, order: Order) -> None:
        token = self.running.get(order.account_id)
        delay = self.world.rng.uniform(0.001, 0.05)
        if token is None or (order.token is not None and order.token != token):
            self.world.after(
                delay, self._answer, order.order_id, self.incarnation, OrderNotDone("NOT_RUNNING")
            )
        elif isinstance(order.work, SendBatch):
            self.world.after(delay, self._send, order, order.work, self.incarnation)
        else:
            self.world.after(delay, self._ask, order, self.incarnation)

    def _gone(self, order_id: str, incarnation: int) -> bool:
        return not self.alive or self.incarnation != incarnation or order_id not in self.flying

    def _ask(self, order: Order, incarnation: int) -> None:
        if self._gone(order.order_id, incarnation):
            return
        work, answer = order.work, OrderUnknown("TIMEOUT")  # type: Answer
        if self.world.chance(self.chances.request_lost):
            pass
        elif isinstance(work, ReadSource):
            answer = self.telegram.read(work)
        elif isinstance(work, LookInTarget):
            answer = self.telegram.look(work)
        elif isinstance(work, InspectChats):
            answer = Inspected(
                ChatFacts(SOURCE, can_read=True),
                ChatFacts(TARGET, can_post=True, top_message_id=self.telegram.top),
            )
        self._answer(order.order_id, incarnation, answer)

    def _send(self, order: Order, work: SendBatch, incarnation: int) -> None:
        """The call leaves. Whatever happens to the process now, it may arrive."""
        if self._gone(order.order_id, incarnation):
            return
        if self.frozen:
            self.missed.append((order.order_id, incarnation))
            return
        chances, rng = self.chances, self.world.rng
        if self.world.now < self.waits.get(order.account_id, 0.0):
            retry = self.leader.wall_of(self.waits[order.account_id]) if self.leader is not None else 0.0
            self._answer(order.order_id, incarnation, OrderNotDone("FLOOD_WAIT", retry))
            return
        if self.world.chance(chances.not_done):
            self._answer(order.order_id, incarnation, OrderNotDone("LINK_DOWN"))
        elif self.world.chance(chances.request_lost):
            self._later(order, incarnation, OrderUnknown("LINK_CLOSED"), rng.uniform(0.1, 3.0))
        elif self.world.chance(chances.late):
            self.world.after(rng.uniform(0.5, LATE), self._late, order.account_id, work)
            self._later(order, incarnation, OrderUnknown("TIMEOUT"), rng.uniform(0.1, 3.0))
        else:
            self.world.after(rng.uniform(0.001, 0.02), self._arrive, order, work, incarnation)

    def _late(self, account_id: str, work: SendBatch) -> None:
        self.world.note(account_id, "late effect of", work.message_ids[0])
        if self.world.now >= self.telegram.limits[account_id].told_until:
            self.telegram.forward(account_id, work)

    def _arrive(self, order: Order, work: SendBatch, incarnation: int) -> None:
        if self.world.chance(self.chances.server_error / 2):
            self._later(order, incarnation, OrderRefused(500, "INTERNAL", 0, ""), 0.05)
            return
        answer: Answer = self.telegram.forward(order.account_id, work)
        self.calls[order.order_id] = self.world.now
        self.ambush(self)
        if self.world.chance(self.chances.server_error / 2):
            answer = OrderRefused(500, "INTERNAL", 0, "")
        if self.world.chance(self.chances.answer_lost):
            answer = OrderUnknown("LINK_CLOSED")
            if self.library_retries:
                answer = self.telegram.forward(order.account_id, work)
        self._later(order, incarnation, answer, self.world.rng.uniform(0.01, 0.2))

    def _told(self, order: Order, seconds: int) -> None:
        """Counts from the call, not from its answer; and of what others were told nobody knows."""
        account_id = order.account_id
        limits = self.telegram.limits[account_id]
        until = self.calls.pop(order.order_id, self.world.now) + seconds
        limits.told_until = max(limits.told_until, until)
        self.waits[account_id] = max(self.waits.get(account_id, 0.0), self.world.now + seconds)

    def _later(self, order: Order, incarnation: int, answer: Answer, delay: float) -> None:
        self.world.after(delay, self._answer, order.order_id, incarnation, answer)

    def _answer(self, order_id: str, incarnation: int, answer: Answer) -> None:
        if self._gone(order_id, incarnation):
            return
        if self.frozen:
            self.missed.append((order_id, incarnation))
            return
        order = self.flying.pop(order_id)
        if isinstance(answer, OrderRefused) and answer.code == 420:
            self._told(order, answer.seconds)
        one = OrderAnswer(order_id, order.account_id, answer)
        self.kept[order_id] = one
        self._send_answer(one)

    def _send_answer(self, one: OrderAnswer) -> None:
        if self.leader is not None and self.attachment:
            for _ in range(2 if self.world.chance(0.05) else 1):
                self.leader.hear(self, self.attachment, one)

    def resend(self) -> None:
        """Right after a hello."""
        for one in list(self.kept.values()):
            self._send_answer(one)
