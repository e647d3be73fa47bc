"""Runs the real pool over hidden rules in virtual time: one transfer that never ends, in batches of up to 100
messages, with as many shards as asked for. Counts what a user sees: messages that went through, and waits."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field

from services.scheduler.domain.transfers.choosing.pool import Pool
from services.scheduler.domain.transfers.choosing.words import Ask, Chosen, PoolAccount
from services.scheduler.domain.transfers.records import ModelRecord, TransferPicture, WaitRecord
from tests.support.hidden_policies import Policy

METHOD = "messages.forwardMessages"
BATCH = 100
CALL, PER_MESSAGE = 0.020, 0.001
"""Seconds that a call takes, as issue 4 has the test data centre (20 ms a call, 1 ms a message)."""
WALL = 1_800_000_000.0
ROUNDING = 1e-5
"""Of seconds since 1970 in a float, many times added."""


@dataclass
class Outcome:
    """Of one run."""

    messages: int = 0
    waits: int = 0
    waited: float = 0.0
    calls_inside_waits: int = 0


@dataclass
class Trial:
    """Accounts under hidden rules, time, and a pool that may be exchanged (a restart)."""

    policies: dict[str, Policy]
    prediction: bool
    shards: int = 1
    now: float = 10.0
    models: dict[tuple[str, str], ModelRecord] = field(default_factory=dict)
    told: dict[str, WaitRecord] = field(default_factory=dict)
    """The latest wait of each account."""

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """A new process that has only what was kept."""
        picture = TransferPicture((), (), (), list(self.told.values()), (), list(self.models.values()))
        self.pool = Pool(picture, prediction=self.prediction, now=self.now, wall=WALL + self.now)
        for account_id in self.policies:
            self.pool.update(PoolAccount(account_id, account_id), self.now, WALL + self.now)

    def run(self, seconds: float) -> Outcome:
        """Everybody sends as much as it may for so long; a call under way is finished."""
        outcome, end = Outcome(), self.now + seconds
        due: list[tuple[float, int, str]] = [(self.now, shard, "") for shard in range(self.shards)]
        while due and due[0][0] < end:
            now, shard, account_id = heapq.heappop(due)
            self.now = max(self.now, now)
            heapq.heappush(due, self._step(shard, account_id, end, outcome))
        self.now = max(end, *(when for when, _, _ in due))
        for shard in range(self.shards):
            for account_id in self.policies:
                self.pool.free(account_id, str(shard))
        return outcome

    def _step(self, shard: int, account_id: str, end: float, outcome: Outcome) -> tuple[float, int, str]:
        now, wall = self.now, WALL + self.now
        ask = Ask(str(shard), METHOD, -1, frozenset(self.policies))
        allowance = self.pool.allowance(ask, account_id, str(shard), now, wall) if account_id else 0
        if not allowance:
            if account_id:
                self.pool.free(account_id, str(shard))
            found = self.pool.choose(ask, now, wall)
            if not isinstance(found, Chosen):
                wake = found.wake if found.wake is not None else now + 1.0  # another shard has it
                return min(end, max(wake, now)), shard, ""
            account_id, allowance = found.account_id, found.allowance
            self.pool.occupy(account_id, str(shard))
        return self._call(shard, account_id, min(BATCH, allowance), outcome)

    def _call(self, shard: int, account_id: str, count: int, outcome: Outcome) -> tuple[float, int, str]:
        done = self.now + CALL + PER_MESSAGE * count
        if account_id in self.told and WALL + self.now < self.told[account_id].until - ROUNDING:
            outcome.calls_inside_waits += 1
        wait = self.policies[account_id].call(count, self.now)
        if wait:
            outcome.waits += 1
            outcome.waited += wait
            self.told[account_id] = self.pool.wait(account_id, METHOD, 0, wait, now=done, wall=WALL + done)
            self.pool.note_flood(account_id, METHOD, wait, count, now=done, wall=WALL + done)
            self.pool.free(account_id, str(shard))
        else:
            outcome.messages += count
            self.pool.note_sent(account_id, METHOD, count, done, WALL + done)
        for record in self.pool.models_changed():
            self.models[record.account_id, record.method] = record
        return done, shard, "" if wait else account_id


@dataclass(frozen=True, slots=True)
class Compared:
    """The second of two runs of equal length, with prediction and without."""

    on: Outcome
    off: Outcome

    @property
    def waits(self) -> float:
        """Flood waits with prediction, as a share of those without."""
        return self.on.waits / max(1, self.off.waits)

    @property
    def throughput(self) -> float:
        """The same for messages."""
        return self.on.messages / max(1, self.off.messages)


def compare(
    make: Callable[[], Policy], *, accounts: int, seconds: float, shards: int = 1, pause: float = 0.0
) -> Compared:
    """The first run is there to learn in. Then a pause, and a new process that has what was kept."""

    def second_run(*, prediction: bool) -> Outcome:
        trial = Trial({f"acc_{number}": make() for number in range(accounts)}, prediction, shards)
        trial.run(seconds)
        trial.now += pause
        trial.restart()
        return trial.run(seconds)

    return Compared(second_run(prediction=True), second_run(prediction=False))
