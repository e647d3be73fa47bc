"""The next of 100,000 accounts, none, a tenth and half of them flooded, beside a bare query of SQLite over a
partial index.

`python -m benchmarks.next_account [--accounts 100000] [--rounds 12]`. Bare is one row of an index over ready
accounts in the order of choice, and an update that moves the row to its end. Ours is the pool that transfers
use: choose, occupy, count a batch, settle it, note the use, free; all filters are asked, and the order is
kept meanwhile. Then 16 askers at once take accounts out and keep them: none may be given twice.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sqlite3
import time
from collections.abc import Callable

from benchmarks.measure import Machine, Ratios, in_turn, ratios_of
from services.scheduler.domain.transfers.choosing.pool import Pool
from services.scheduler.domain.transfers.choosing.words import Ask, Chosen, PoolAccount
from services.scheduler.domain.transfers.records import TransferPicture

METHOD, CHAT, WALL = "messages.forwardMessages", -1001, 1_800_000_000.0
TURNS, ASKERS = 2_000, 16
SHARES = (0.0, 0.1, 0.5)
GOAL = 1.5


class Bare:
    """A table with a partial index over those that are ready."""

    def __init__(self, accounts: int, flooded: float) -> None:
        self._db = sqlite3.connect(":memory:", isolation_level=None)
        self._db.execute("CREATE TABLE a (id TEXT PRIMARY KEY, priority INT, used REAL, waits INT)")
        rng = random.Random(1)
        rows = [(name, rng.randrange(3), 0.0, int(rng.random() < flooded)) for name in names(accounts)]
        self._db.executemany("INSERT INTO a VALUES (?, ?, ?, ?)", rows)
        self._db.execute("CREATE INDEX ready ON a (priority DESC, used, id) WHERE waits = 0")

    def turn(self, number: int) -> None:
        """One account is chosen and used."""
        query = "SELECT id FROM a WHERE waits = 0 ORDER BY priority DESC, used, id LIMIT 1"
        (name,) = self._db.execute(query).fetchone()
        self._db.execute("UPDATE a SET used = ? WHERE id = ?", (float(number + 1), name))


class Ours:
    """The pool."""

    def __init__(self, accounts: int, flooded: float) -> None:
        self.now = 100.0
        rng = random.Random(1)
        self.pool = Pool(TransferPicture((), (), (), (), (), ()), prediction=True, now=self.now, wall=WALL)
        for name in names(accounts):
            self.pool.update(PoolAccount(name, name, priority=rng.randrange(3)), self.now, WALL)
            if rng.random() < flooded:
                seconds = rng.uniform(600, 3600)
                self.pool.wait(name, METHOD, 0, seconds, now=self.now, wall=WALL)
        self.ask = Ask("tr_1", METHOD, CHAT, frozenset(names(accounts)))
        self.pool.choose(self.ask, self.now, WALL)  # the order is made at the first question

    def turn(self, number: int) -> None:
        """One account is chosen and used."""
        now = self.now = self.now + 0.001
        wall, key = WALL + now, f"tr_1/1/{number}"
        found = self.pool.choose(self.ask, now, wall)
        assert isinstance(found, Chosen)
        self.pool.occupy(found.account_id, "tr_1/1")
        self.pool.reserve(found.account_id, key, 100, wall)
        self.pool.settle(key, 100)
        self.pool.note_sent(found.account_id, METHOD, 100, now, wall)
        self.pool.free(found.account_id, "tr_1/1")


def names(accounts: int) -> list[str]:
    """Their ids."""
    return [f"acc_{number:012d}" for number in range(accounts)]


def timed(turn: Callable[[int], None], turns: int) -> float:
    """Seconds of so many turns."""
    began = time.perf_counter()
    for number in range(turns):
        turn(number)
    return time.perf_counter() - began


async def beside(bare: Bare, ours: Ours, rounds: int) -> Ratios:
    """Bare and ours in turn, at the same share of flooded accounts."""

    async def run(turn: Callable[[int], None]) -> float:
        return timed(turn, TURNS)

    return await in_turn(lambda: run(bare.turn), lambda: run(ours.turn), TURNS, rounds)


def flooded_against_none(pools: dict[float, Ours], share: float, rounds: int) -> Ratios:
    """Ours with that share flooded as "ours", with none flooded as "bare"."""
    seconds = [(timed(pools[0.0].turn, TURNS), timed(pools[share].turn, TURNS)) for _ in range(rounds + 1)]
    return ratios_of(seconds[1:], TURNS)


async def askers(ours: Ours, wanted: int) -> int:
    """How many accounts were given to more than one of 16 askers, each of whom keeps what it gets."""
    given: list[str] = []

    async def one(asker: int) -> None:
        for _ in range(wanted // ASKERS):
            found = ours.pool.choose(ours.ask, ours.now, WALL + ours.now)
            assert isinstance(found, Chosen)
            if ours.pool.occupy(found.account_id, f"tr_1/{asker}"):
                given.append(found.account_id)
            await asyncio.sleep(0)

    await asyncio.gather(*(one(asker) for asker in range(ASKERS)))
    return len(given) - len(set(given))


async def main(accounts: int, rounds: int) -> None:
    machine = Machine()
    pools = {share: Ours(accounts, share) for share in SHARES}
    for share in SHARES:
        found = await beside(Bare(accounts, share), pools[share], rounds)
        print(found.line(f"next of {accounts:,}, {share:.0%} flooded", "no goal"))
        print(f"    a turn takes {1e6 / found.bare:.1f} us bare, {1e6 / found.ours:.1f} us ours")
    for share in SHARES[1:]:
        ratios = flooded_against_none(pools, share, rounds)
        print(f"{share:.0%} flooded costs {1 / ratios.ratio:.2f} of none flooded (at most {GOAL})")
    repeated = await askers(pools[0.5], 8_000)
    print(f"{ASKERS} askers: {repeated} accounts given twice (none may be)")
    print(machine.line())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accounts", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=12)
    options = parser.parse_args()
    asyncio.run(main(options.accounts, options.rounds))
