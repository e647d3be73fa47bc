"""A stage for the pure core of transfers: virtual time, commits that a test lets happen, and workers that
answer what a test tells them to answer. Orders to read and to inspect are answered from a made-up source
unless a test says otherwise."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from services.scheduler.domain.model import Token
from services.scheduler.domain.transfers import commands as c
from services.scheduler.domain.transfers import events as e
from services.scheduler.domain.transfers import orders as o
from services.scheduler.domain.transfers.core import TransferCore
from services.scheduler.domain.transfers.records import (
    Changes,
    Chat,
    ShardRecord,
    TransferPicture,
    TransferRecord,
    TransferSpec,
    TransferState,
    Wish,
)
from services.scheduler.domain.transfers.rules import TransferRules
from services.scheduler.domain.transfers.state import Shard, Transfer

T = TypeVar("T")

RULES = TransferRules(batch_size=10, page_size=10, max_per_hour=0, prediction=False)
WALL = 1_800_000_000.0
NAME = "tr_1"
SOURCE, TARGET = -1001, -1002
EMPTY = TransferPicture([], [], [], [], [], [])


class Stage:
    """The core, and everything around it."""

    def __init__(self, rules: TransferRules = RULES, picture: TransferPicture = EMPTY, term: int = 1) -> None:
        self.now = 1000.0
        self.shift = 0.0
        self.core = TransferCore(rules, term, random.Random(1), picture, now=self.now, wall=self.wall)
        self.log: list[c.Command] = []
        self.sends: list[o.Order] = []
        self.looks: list[o.Order] = []
        self.reads: list[o.Order] = []
        self.commits: list[c.Commit] = []
        self.written: list[Changes] = []
        self.hold_commits = False
        self.hold_reads = False
        self.migrated = 0
        self.endless = False
        """Every id is a message."""
        self.messages: dict[int, o.SourceMessage] = {}
        self.top = 500
        self.views: dict[str, e.AccountView] = {}
        self._attachments = 0

    @property
    def wall(self) -> float:
        return WALL + self.now - 1000.0 + self.shift

    # What happens.

    def feed(self, event: e.Event) -> list[c.Command]:
        """One event, and all that follows from it at once."""
        new = self.core.handle(event, self.now, self.wall)
        self.log.extend(new)
        for command in list(new):
            self._obey(command, new)
        return new

    def attach(self, worker_id: str = "w1", incarnation: str = "", order_ids: Sequence[str] = ()) -> None:
        self._attachments += 1
        self.feed(e.Attached(worker_id, incarnation or f"{worker_id}-1", self._attachments, order_ids))

    def run(self, *account_ids: str, worker_id: str = "w1", **fields: Any) -> None:
        """These accounts run on a worker."""
        if worker_id not in self.core.desk.attached:
            self.attach(worker_id)
        attachment = self.core.desk.attached[worker_id][0]
        for one in account_ids:
            self.view(
                one,
                running=True,
                worker_id=worker_id,
                attachment=attachment,
                token=Token(1, 1),
                **{"wanted": True, **fields},
            )

    def view(self, account_id: str, **fields: Any) -> None:
        """Something of an account changed."""
        before = self.views.get(account_id) or e.AccountView(account_id, account_id.upper(), wanted=True)
        self.views[account_id] = replace(before, **fields)
        self.feed(e.AccountChanged(self.views[account_id]))

    def stop(self, account_id: str, **fields: Any) -> None:
        """It runs no more."""
        self.view(account_id, running=False, worker_id="", attachment=0, token=None, **fields)

    def create(
        self,
        ids: Iterable[int] = range(1, 41),
        *accounts: str,
        name: str = NAME,
        shards: Sequence[tuple[int, int]] = (),
        kind: str = "channel",
        target_kind: str = "supergroup",
        **spec: Any,
    ) -> Transfer:
        """A transfer of these messages."""
        for one in ids:
            self.messages.setdefault(one, o.SourceMessage(one))
        record = TransferRecord(
            name,
            "",
            TransferSpec("s", "t", account_ids=accounts or ("a1",), **spec),
            Chat("s", SOURCE, "Source", kind),
            Chat("t", TARGET, "Target", target_kind),
            TARGET,
            TransferState.RUNNING,
            Wish.RUN,
            self.wall,
        )
        cuts = shards or [(1, max(self.messages))]
        rows = [ShardRecord(name, n, first, last, first - 1) for n, (first, last) in enumerate(cuts, 1)]
        self.feed(e.TransferCreated(record, rows))
        return self.core.transfers[name]

    def commit(self) -> list[c.Command]:
        """The oldest commit reaches the disk."""
        command = self.commits.pop(0)
        self.written.append(command.changes)
        return self.feed(e.Committed(command.commit_id))

    def answer(self, order: o.Order, answer: o.Answer, worker_id: str = "w1") -> list[c.Command]:
        attachment = self.core.desk.attached.get(worker_id, (0, 0.0))[0]
        given = o.OrderAnswer(order.order_id, order.account_id, answer)
        return self.feed(e.Answered(worker_id, attachment, given))

    def sent(self, order: o.Order | None = None) -> list[c.Command]:
        """The oldest send succeeds."""
        order = order or self.sends.pop(0)
        if order in self.sends:
            self.sends.remove(order)
        ids = send_of(order).message_ids
        self.top += len(ids)
        return self.answer(order, o.Sent(ids, tuple(range(self.top - len(ids) + 1, self.top + 1))))

    def refuse(self, name: str, code: int = 400, seconds: int = 0) -> list[c.Command]:
        """The oldest send is refused."""
        return self.answer(self.sends.pop(0), o.OrderRefused(code, name, seconds, "messages.forwardMessages"))

    def flood(self, seconds: int = 100) -> list[c.Command]:
        return self.refuse("FLOOD_WAIT_X", 420, seconds)

    def unknown(self) -> o.Order:
        """Nobody knows what became of the oldest send."""
        order = self.sends.pop(0)
        self.answer(order, o.OrderUnknown("LINK_CLOSED"))
        return order

    def pass_time(self, seconds: float) -> None:
        """Time passes; timers fire when they are due."""
        until = self.now + seconds
        while (due := self.core.next_due) is not None and due <= until:
            self.now = max(self.now, due)
            self.feed(e.Tick())
        self.now = until
        self.feed(e.Tick())

    def finish(self, name: str = NAME) -> None:
        """Every send succeeds until nothing is sent any more."""
        for _ in range(10_000):
            if not self.sends:
                return
            self.sent()
        raise AssertionError(f"{name} never ends")

    # What is seen.

    def transfer(self, name: str = NAME) -> Transfer:
        return self.core.transfers[name]

    def shard(self, number: int = 1, name: str = NAME) -> Shard:
        return self.core.transfers[name].shards[number]

    def state(self, name: str = NAME) -> TransferState:
        return self.core.transfers[name].record.state

    def of(self, kind: type[T]) -> list[T]:
        """Everything of that kind so far."""
        return [command for command in self.log if isinstance(command, kind)]

    def last_row(self, name: str = NAME) -> TransferRecord:
        """As it is on disk."""
        return [row for changes in self.written for row in changes.transfers if row.transfer_id == name][-1]

    def _obey(self, command: c.Command, new: list[c.Command]) -> None:
        if isinstance(command, c.Commit):
            self.commits.append(command)
            if not self.hold_commits:
                new.extend(self.commit())
        elif isinstance(command, c.GiveOrders):
            for order in command.orders:
                new.extend(self._order(order))

    def obey(self, order: o.Order) -> None:
        """Carries out a reading that was held back."""
        self._order(order)

    def _order(self, order: o.Order) -> list[c.Command]:
        work = order.work
        if isinstance(work, o.SendBatch):
            self.sends.append(order)
        elif isinstance(work, o.LookInTarget):
            self.looks.append(order)
        elif self.hold_reads:
            self.reads.append(order)
        elif isinstance(work, o.ReadSource):
            return self.answer(order, self.page(work), self._worker(order))
        else:
            target = o.ChatFacts(
                TARGET, can_post=True, top_message_id=self.top, migrated_to_chat_id=self.migrated
            )
            inspected = o.Inspected(o.ChatFacts(SOURCE, can_read=True), target)
            return self.answer(order, inspected, self._worker(order))
        return []

    def _worker(self, order: o.Order) -> str:
        return self.views[order.account_id].worker_id

    def page(self, work: o.ReadSource) -> o.SourcePage:
        last = work.through_id or max(self.messages, default=0)
        if self.endless:
            last = min(last, work.after_id + work.limit)
            found = [o.SourceMessage(one) for one in range(work.after_id + 1, last + 1)]
            return o.SourcePage(found, last, end=last == work.through_id)
        ids = [one for one in sorted(self.messages) if work.after_id < one <= last]
        taken = ids[: work.limit]
        end = len(taken) == len(ids)
        return o.SourcePage([self.messages[one] for one in taken], last if end else taken[-1], end)


def send_of(order: o.Order) -> o.SendBatch:
    """What a send sends."""
    assert isinstance(order.work, o.SendBatch)
    return order.work
