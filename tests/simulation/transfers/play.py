"""One history: builds the world from a seed, lets the faults happen, mends everything, and waits until the
transfer is over."""

from __future__ import annotations

import random
from dataclasses import dataclass

from services.scheduler.domain.model import Token
from services.scheduler.domain.transfers import events as e
from services.scheduler.domain.transfers.records import (
    TransferState,
)
from services.scheduler.domain.transfers.rules import TransferRules
from tests.simulation.transfers import faults, people
from tests.simulation.transfers.bugs import NONE, Bug
from tests.simulation.transfers.judge import verdict
from tests.simulation.transfers.leader import Leader
from tests.simulation.transfers.scenery import NAMES, chances_of, fill, record_of
from tests.simulation.transfers.store import Store
from tests.simulation.transfers.telegram import (
    Telegram,
)
from tests.simulation.transfers.workers import Worker
from tests.simulation.transfers.world import World

RULES = TransferRules(
    batch_size=20,
    page_size=20,
    max_per_hour=0,
    hello_wait=12.0,
    send_limit=5.0,
    read_limit=5.0,
    answer_grace=5.0,
)
TTL, SETTLE = 6.0, 4.0
"""T and S, seconds."""
_BUSY = 50_000
"""Events; a history has some thousands."""
_LONG = 30 * 3600.0


@dataclass(frozen=True)
class Verdict:
    """What became of a history."""

    seed: int
    faults: tuple[str, ...]
    lines: tuple[str, ...]
    seconds: float
    calls: int
    undecided: int


class Play:
    """A world and its seed."""

    def __init__(self, seed: int, bug: Bug = NONE) -> None:
        self.seed, self.bug = seed, bug
        self.rng = rng = random.Random(seed)
        self.world = World(random.Random(rng.random()))
        self.store = Store()
        self.wall_shift = 0.0
        self.clock_jumps = rng.random() < 0.2
        """Then no leader is replaced: only a living process promises anything about its clock."""
        self.copies = rng.random() < 0.4
        self.telegram = Telegram(
            self.world,
            channel_source=rng.random() < 0.7,
            copies=self.copies,
            answers_original=rng.random() < 0.5,
            expiry=rng.choice([660.0, 3600.0, 86400.0]),
        )
        self.posts = 0
        self.repeating_texts = rng.random() < 0.15
        """Texts that occur again and again make evidence ambiguous, for copies and from groups."""
        self.accounts = [f"a{n}" for n in range(1, rng.randint(1, 4) + 1)]
        chances = chances_of(rng)
        if bug.library_retries:
            chances.answer_lost = 0.4
        self.workers = {
            name: Worker(self.world, self.telegram, name, chances, library_retries=bug.library_retries)
            for name in ("w1", "w2")
        }
        self.tokens = 0
        self.attachments = 0
        self.gone: set[str] = set()
        self.leader: Leader | None = None
        self.names = NAMES[: rng.choice([1, 1, 2])]
        self.parallel = rng.choice([1, 1, 1, 2, 3])
        self.calm = False
        self.undecided = 0
        self.told = 0
        """Events that leaders took in."""
        self.wrong: list[str] = []
        self.ambushes = faults.ambushes(rng)
        for worker in self.workers.values():
            worker.ambush = self._ambush
        fill(self)

    def _ambush(self, worker: Worker) -> None:
        kind = self.ambushes.get(self.telegram.calls)
        if kind is not None:
            self.world.note("in the middle of call", self.telegram.calls)
            kind(self, worker)

    def run(self) -> Verdict:
        """The whole history."""
        with self.bug.planted():
            for name in self.names:
                record, shards = record_of(self, name)
                self.store.transfers[name] = record
                self.store.shards |= {(name, one.shard): one for one in shards}
            self.lead()
            for account_id in self.accounts:
                self.world.after(self.rng.uniform(0, 3), self.start_account, account_id)
            faults.draw(self, random.Random(self.rng.random()))
            people.operator(self)
            self.world.after(self.rng.uniform(0.1, 5.0), people.others_post, self)
            over = self.world.run(_LONG, self._over)
        if self.told > _BUSY:
            self.wrong.append(f"a busy loop: {self.told} events")
        if not over:
            self.wrong.append(f"not over after {_LONG:.0f} s: {self.store.transfers}")
        wrong = self.wrong + [
            fault
            for name in self.names
            for fault in verdict(self.telegram, self.store, name, in_order=self.parallel == 1)
        ]
        return Verdict(
            self.seed,
            tuple(wrong),
            tuple(self.world.lines),
            self.world.now,
            self.telegram.calls,
            self.undecided,
        )

    def _over(self) -> bool:
        rows = self.store.transfers.values()
        return bool(self.wrong) or all(row.state is TransferState.COMPLETED for row in rows)

    def runs(self, account_id: str) -> bool:
        """Whether it runs anywhere."""
        return any(account_id in worker.running for worker in self.workers.values())

    # What happens to processes and accounts.

    def lead(self) -> None:
        """A new leader takes over; workers find it one after the other."""
        term = self.store.term + 1
        self.world.note("leader", term)
        self.leader = Leader(self, term, RULES)
        for account_id in self.accounts:
            self.leader.tell(e.AccountChanged(self.view(account_id)))
        for worker in self.workers.values():
            worker.leader, worker.attachment = None, 0
            self.world.after(self.rng.uniform(0.0, 4.0), self.attach, worker, self.leader)

    def kill_leader(self) -> None:
        if self.leader is not None:
            self.world.note("the leader dies")
            self.leader.alive = False
            self.leader = None
            self.world.after(self.rng.uniform(0.1, 8.0), self.lead)

    def attach(self, worker: Worker, leader: Leader | None) -> None:
        """A worker's hello."""
        if leader is None or leader is not self.leader or not worker.alive or worker.frozen:
            return
        self.attachments += 1
        worker.leader, worker.attachment = leader, self.attachments
        worker.highest_term = max(worker.highest_term, leader.term)
        leader.tell(
            e.Attached(
                worker.name, f"{worker.name}-{worker.incarnation}", self.attachments, tuple(worker.flying)
            )
        )
        for account_id in list(worker.running):
            leader.tell(e.AccountChanged(self.view(account_id)))
        worker.resend()

    def detach(self, worker: Worker, *, lost: bool) -> None:
        if self.leader is None:
            return
        worker.attachment = 0
        self.leader.tell(e.Detached(worker.name, lost))
        for account_id in self.accounts:
            self.leader.tell(e.AccountChanged(self.view(account_id)))

    def kill_worker(self, worker: Worker) -> None:
        if not worker.alive:
            return
        accounts = list(worker.running)
        worker.die()
        self.detach(worker, lost=False)
        back = self.rng.uniform(0.5, 20.0)
        self.world.after(back, self._revive, worker)
        self.world.after(TTL, self._given_up, worker, worker.incarnation)
        for account_id in accounts:
            self.world.after(TTL + SETTLE + self.rng.uniform(0.0, 2.0), self.start_account, account_id)

    def _given_up(self, worker: Worker, incarnation: int) -> None:
        if worker.incarnation == incarnation and not worker.alive:
            self.detach(worker, lost=True)

    def _revive(self, worker: Worker) -> None:
        worker.born()
        self.world.note(worker.name, "is back")
        self.attach(worker, self.leader)

    def freeze_worker(self, worker: Worker, seconds: float) -> None:
        """Its leases run out when it is frozen for longer than T."""
        if not worker.alive or worker.frozen:
            return
        self.world.note(worker.name, "freezes for", round(seconds, 1))
        worker.frozen = True
        self.detach(worker, lost=False)
        if seconds > TTL:
            accounts = list(worker.running)
            for account_id in accounts:
                self.world.after(TTL + SETTLE + self.rng.uniform(0, 2), self._moved, account_id, worker)
            self.world.after(TTL, self._lost_frozen, worker)
        self.world.after(seconds, self._thaw, worker)

    def _lost_frozen(self, worker: Worker) -> None:
        if worker.frozen:
            worker.running.clear()
            self.detach(worker, lost=True)

    def _moved(self, account_id: str, _worker: Worker) -> None:
        if not self.runs(account_id):
            self.start_account(account_id)

    def _thaw(self, worker: Worker) -> None:
        if worker.alive and worker.frozen:
            self.world.note(worker.name, "thaws")
            worker.thaw()
            self.attach(worker, self.leader)

    def cut(self, worker: Worker) -> None:
        """Its stream breaks, and is made anew."""
        if worker.alive and not worker.frozen and worker.attachment:
            self.world.note("stream of", worker.name, "breaks")
            self.detach(worker, lost=False)
            self.world.after(self.rng.uniform(0.05, 3.0), self._attach_again, worker)

    def _attach_again(self, worker: Worker) -> None:
        if not worker.attachment:
            self.attach(worker, self.leader)

    def start_account(self, account_id: str) -> None:
        """It runs somewhere."""
        if self.runs(account_id) or account_id in self.gone:
            return
        able = [worker for worker in self.workers.values() if worker.alive and not worker.frozen]
        if not able:
            self.world.after(2.0, self.start_account, account_id)
            return
        worker = self.rng.choice(able)
        self.tokens += 1
        worker.running[account_id] = Token(1, self.tokens)
        wait = self.telegram.limits[account_id].told_until
        worker.waits[account_id] = wait
        if self.leader is not None and worker.leader is self.leader and worker.attachment:
            self.leader.tell(e.AccountChanged(self.view(account_id)))

    def stop_account(self, account_id: str) -> None:
        """The operator disables it."""
        self.world.note(account_id, "is disabled")
        self.gone.add(account_id)
        for worker in self.workers.values():
            worker.stop_account(account_id)
        if self.leader is not None:
            self.leader.tell(e.AccountChanged(self.view(account_id)))

    def enable_account(self, account_id: str) -> None:
        self.world.note(account_id, "is enabled")
        self.gone.discard(account_id)
        self.start_account(account_id)

    def borrow(self, account_id: str) -> None:
        """Every account here is wanted anyway."""

    def view(self, account_id: str) -> e.AccountView:
        """What the leader is told of an account."""
        for worker in self.workers.values():
            token = worker.running.get(account_id)
            if token is not None and worker.attachment and worker.leader is self.leader:
                return e.AccountView(
                    account_id,
                    account_id.upper(),
                    wanted=True,
                    running=True,
                    worker_id=worker.name,
                    attachment=worker.attachment,
                    token=token,
                    user_id=self.telegram.users[account_id],
                )
        return e.AccountView(
            account_id,
            account_id.upper(),
            enabled=account_id not in self.gone,
            wanted=True,
            user_id=self.telegram.users[account_id],
        )
