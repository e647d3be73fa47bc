"""The door to the pure core of transfers: one event in, commands out. Which function handles which event is
in a table. Nothing here waits, reads a clock or talks to anybody.
"""

import random
from collections.abc import Callable, Mapping
from typing import Any

from services.scheduler.domain.timers import Timer
from services.scheduler.domain.transfers import (
    accounts,
    answers,
    dispatch,
    holding,
    looking,
    reading,
    resolving,
)
from services.scheduler.domain.transfers import events as e
from services.scheduler.domain.transfers.batch import batch_of
from services.scheduler.domain.transfers.choosing.pool import Pool
from services.scheduler.domain.transfers.choosing.words import Explained
from services.scheduler.domain.transfers.commands import Command
from services.scheduler.domain.transfers.orders import Answer, OrderAnswer, Sent
from services.scheduler.domain.transfers.records import TransferPicture
from services.scheduler.domain.transfers.rules import TransferRules
from services.scheduler.domain.transfers.sending import acknowledge_saved, work_of
from services.scheduler.domain.transfers.shards import go_on
from services.scheduler.domain.transfers.state import (
    Batch,
    Desk,
    Outstanding,
    Purpose,
    Shard,
    Transfer,
)
from services.scheduler.domain.transfers.taking_up import take_up_picture
from services.scheduler.domain.transfers.transfers import created, review, wished


class TransferCore:
    """One leader's mind about transfers, for one term. An ended transfer leaves `transfers` once its end is
    on disk."""

    def __init__(
        self,
        rules: TransferRules,
        term: int,
        rng: random.Random,
        picture: TransferPicture,
        *,
        now: float,
        wall: float,
    ) -> None:
        """`now` by the clock that all events will be told with, `wall` the time of day (seconds since 1970).
        The accounts and workers are told by events, at the beginning as later."""
        pool = Pool(picture, prediction=rules.prediction, now=now, wall=wall)
        self.desk = Desk(rules, term, rng, pool)
        self.desk.now, self.desk.wall, self.desk.began = now, wall, now
        take_up_picture(self.desk, picture)

    @property
    def transfers(self) -> Mapping[str, Transfer]:
        """All that have not ended. Only to be read."""
        return self.desk.transfers

    def handle(self, event: e.Event, now: float, wall: float) -> list[Command]:
        """Takes in one event and gives everything that is to be done, in order."""
        self.apply(event, now, wall)
        return self.take()

    def apply(self, event: e.Event, now: float, wall: float) -> None:
        """Takes in one event; what is to be done is collected until `take`."""
        self.desk.now, self.desk.wall = now, wall
        HANDLERS[type(event)](self.desk, event)

    def take(self) -> list[Command]:
        """What is to be done after the events so far, in order; timers that are due fire first."""
        desk = self.desk
        while (timer := desk.timers.pop_due(desk.now)) is not None:
            TIMERS[timer.kind](desk, timer)
        while desk.dirty or desk.freed or desk.review:
            _settle_down(desk)
        for wait in desk.pool.waits_changed():
            desk.saver.wait(wait)
        if not desk.saver.empty:
            commit = desk.saver.commit(desk.pool.models_changed())
            desk.noted.clear()
            if commit is not None:
                desk.out.append(commit)
        out = list(desk.out)
        desk.out.clear()
        return out

    @property
    def next_due(self) -> float | None:
        """When a Tick is needed at the latest; None when none is."""
        return self.desk.timers.next_due

    def explain(self, transfer_id: str, now: float, wall: float) -> list[Explained]:
        """Why each account of a transfer is or is not chosen now; empty for an unknown transfer."""
        transfer = self.desk.transfers.get(transfer_id)
        if transfer is None:
            return []
        prefer = next((shard.record.account_id for shard in transfer.shards.values()), "")
        return self.desk.pool.explain(holding.ask_of(transfer, prefer), now, wall)


def _settle_down(desk: Desk) -> None:
    while desk.dirty:
        shard, _ = desk.dirty.popitem(last=False)
        go_on(desk, shard)
    freed, desk.freed = desk.freed, []
    for account_id in dict.fromkeys(freed):
        for shard in holding.serve(desk, account_id):
            go_on(desk, shard)
            if shard.account_id == account_id:
                break
    if not desk.dirty and not desk.freed:
        while desk.review:
            transfer_id, _ = desk.review.popitem(last=False)
            transfer = desk.transfers.get(transfer_id)
            if transfer is not None:
                review(desk, transfer)


def _attached(desk: Desk, event: e.Attached) -> None:
    _lost(desk, dispatch.attached(desk, event))
    for name in event.order_ids:
        shard, batch, attempt = _batch_of(desk, name)
        if shard is None or batch is None or name in desk.orders or attempt != batch.record.attempt:
            continue
        batch.order_id, batch.waits_for_hello = name, False
        dispatch.adopt(
            desk, shard, event, batch.record.account_id, work=work_of(shard, batch.record), name=name
        )
    for shard in desk.shards():
        if shard.current is not None and shard.current.waits_for_hello:
            desk.touch(shard)


def _detached(desk: Desk, event: e.Detached) -> None:
    desk.attached.pop(event.worker_id, None)
    if event.lost:
        _lost(desk, dispatch.lost(desk, event.worker_id))


def _lost(desk: Desk, orders: list[Outstanding]) -> None:
    for one in orders:
        ENDS[one.purpose](desk, one, None)


def _answered(desk: Desk, event: e.Answered) -> None:
    name = event.answer.order_id
    if name in desk.acknowledging:
        return
    shard, batch, attempt = _batch_of(desk, name)
    out = desk.orders.pop(name, None)
    if out is not None:
        ENDS[out.purpose](desk, out, event.answer.answer)
    elif shard is not None and batch is not None:
        _late(desk, shard, batch, attempt, event.answer)
    if batch is None:
        dispatch.acknowledge(desk, event.worker_id, [name])
    elif batch.delivered and shard is not None and shard.current is batch:
        desk.acknowledging.add(name)
        batch.answers.append((event.worker_id, name))
    else:
        acknowledge_saved(desk, event.worker_id, name)


def _late(desk: Desk, shard: Shard, batch: Batch, attempt: int, answer: OrderAnswer) -> None:
    """An answer to a transmission that was given up for lost, or that an earlier leader ordered."""
    if attempt == batch.record.attempt and not batch.order_id and batch.given:
        answers.take_in(desk, shard, batch, answer.answer)
    elif isinstance(answer.answer, Sent):
        answers.took(desk, shard, batch, answer.answer)
        desk.touch(shard)


def _batch_of(desk: Desk, name: str) -> tuple[Shard | None, Batch | None, int]:
    parts = batch_of(name)
    if parts is None:
        return None, None, 0
    shard = desk.find(f"{parts[0]}/{parts[1]}")
    if shard is None or shard.current is None or shard.current.record.batch != parts[2]:
        return shard, None, parts[3]
    return shard, shard.current, parts[3]


def _committed(desk: Desk, event: e.Committed) -> None:
    for act in desk.saver.committed(event.commit_id):
        act()


def _by_person(desk: Desk, event: e.SettledByPerson) -> None:
    shard = desk.find(f"{event.transfer_id}/{event.shard}")
    if shard is not None and shard.batch is not None and shard.batch.batch == event.batch:
        resolving.by_person(desk, shard, was_sent=event.sent)


def _tick(_desk: Desk, _event: e.Tick) -> None:
    """Timers fire in `take`."""


def _shard_due(desk: Desk, timer: Timer) -> None:
    shard = desk.find(timer.key)
    if shard is not None:
        if shard.timer is not None and shard.timer <= desk.now:
            shard.timer = None
        desk.touch(shard)


End = Callable[[Desk, Outstanding, Answer | None], None]

ENDS: dict[Purpose, End] = {
    Purpose.INSPECT: reading.inspected,
    Purpose.READ: reading.page_read,
    Purpose.SEND: answers.attempt_ended,
    Purpose.LOOK: looking.looked,
}

HANDLERS: dict[type[Any], Callable[[Desk, Any], None]] = {
    e.AccountChanged: accounts.changed,
    e.AccountGone: accounts.gone,
    e.Attached: _attached,
    e.Detached: _detached,
    e.Answered: _answered,
    e.Committed: _committed,
    e.TransferCreated: created,
    e.Wished: wished,
    e.SettledByPerson: _by_person,
    e.Tick: _tick,
}

TIMERS: dict[str, Callable[[Desk, Timer], None]] = {
    "shard": _shard_due,
    "idle": lambda desk, timer: holding.idle(desk, timer.key),
    "overdue": lambda desk, timer: dispatch.overdue(desk, timer.key),
}
