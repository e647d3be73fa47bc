"""Durable checkpoints of transfers, beside raw batched SQLite: rows a second.

`python -m benchmarks.checkpoint [--rounds 8]`. Bare is Python's own sqlite3 with `synchronous=FULL`, one
thread, 100 rows to a transaction, the values ready as tuples, the same table and statement. Ours is what the
scheduler does when many shards commit at once: a commit for each checkpoint through the committer, which
compares term and number, and lets those that wait share a transaction; each is on disk when it is answered.

Beside it the same rows 100 to a commit, and whole commits as a batch makes them: the checkpoint, the settled
batch, the intent of the next, the account's counts.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sqlite3
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import uvloop

from benchmarks.measure import Machine, in_turn
from services.scheduler.adapters.database import open_database
from services.scheduler.adapters.store import SqlStore
from services.scheduler.adapters.transfer_store import SqlTransferStore
from services.scheduler.committing import Committer
from services.scheduler.domain.transfers.records import (
    BatchRecord,
    BatchState,
    Changes,
    ShardRecord,
    UsageChange,
)

ROWS = 40_000
BATCH = 100
WAITING = 1_000
"""Shards that commit at the same time."""
COMMITS = 4_000

_FIELDS = tuple(ShardRecord.__slots__)
_UPSERT = (
    f"INSERT INTO transfer_shards ({', '.join(_FIELDS)}) VALUES ({', '.join('?' * len(_FIELDS))}) "
    "ON CONFLICT (transfer_id, shard) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in _FIELDS[2:])
)


class _Leads:
    """A leadership that lasts."""

    def valid(self) -> bool:
        return True

    async def lost(self) -> None:
        await asyncio.Event().wait()

    async def resign(self) -> None:
        """Nothing to give up."""


def _shard(number: int, checkpoint: int) -> ShardRecord:
    return ShardRecord(f"tr_{number:012}", 1, 1, 1_000_000, checkpoint, checkpoint // 100, checkpoint)


def bare(folder: Path) -> Callable[[], Awaitable[float]]:
    """The same rows with nothing around them."""
    database = sqlite3.connect(folder / "bare.db", isolation_level=None)
    for pragma in ("journal_mode=WAL", "synchronous=FULL"):
        database.execute(f"PRAGMA {pragma}")
    database.execute(
        "CREATE TABLE transfer_shards (transfer_id TEXT NOT NULL, shard INTEGER NOT NULL, first_id INTEGER, "
        "last_id INTEGER, checkpoint INTEGER, next_batch INTEGER, done BIGINT, skipped TEXT, "
        "account_id TEXT, finished BOOLEAN, PRIMARY KEY (transfer_id, shard))"
    )
    rows = [
        tuple(
            "{}" if name == "skipped" else getattr(_shard(number % WAITING, number), name) for name in _FIELDS
        )
        for number in range(ROWS)
    ]

    async def run() -> float:
        began = time.perf_counter()
        for start in range(0, ROWS, BATCH):
            database.execute("BEGIN IMMEDIATE")
            database.executemany(_UPSERT, rows[start : start + BATCH])
            database.execute("COMMIT")
        return time.perf_counter() - began

    return run


def one_by_one(committer: Committer) -> Callable[[], Awaitable[float]]:
    """A commit for each checkpoint, by as many shards at once: each commits its next when it is told, as the
    core of transfers does."""

    async def run() -> float:
        all_done = asyncio.Event()
        left = ROWS

        def written(number: int, turn: int) -> None:
            nonlocal left
            left -= 1
            if turn + 1 < ROWS // WAITING:
                submit(number, turn + 1)
            elif not left:
                all_done.set()

        def submit(number: int, turn: int) -> None:
            committer.submit(Changes(shards=[_shard(number, turn)]), lambda: written(number, turn))

        began = time.perf_counter()
        for number in range(WAITING):
            submit(number, 0)
        await all_done.wait()
        return time.perf_counter() - began

    return run


def hundreds(committer: Committer) -> Callable[[], Awaitable[float]]:
    """Ten callers, 100 checkpoints to a commit."""

    async def caller(first: int) -> None:
        for turn in range(ROWS // BATCH // 10):
            shards = [_shard(first + number, turn) for number in range(BATCH)]
            await committer.commit(Changes(shards=shards), _nothing)

    async def run() -> float:
        began = time.perf_counter()
        await asyncio.gather(*(caller(number * BATCH) for number in range(10)))
        return time.perf_counter() - began

    return run


async def whole(committer: Committer, waiting: int) -> float:
    """Commits a second as batches make them, by so many shards at once."""
    ids = tuple(range(1, 101))
    random_ids = tuple(random.getrandbits(63) for _ in ids)

    async def shard(number: int) -> None:
        for turn in range(COMMITS // waiting):
            record = _shard(number, turn)
            batches = [
                BatchRecord(
                    record.transfer_id,
                    1,
                    turn + later,
                    state,
                    "acc_a",
                    ids,
                    random_ids,
                    5,
                    100,
                    target_ids=ids,
                )
                for later, state in ((0, BatchState.SETTLED), (1, BatchState.INTENDED))
            ]
            usage = [UsageChange(f"acc_{number}", "2026-11-21", 0, 100)]
            await committer.commit(Changes(shards=[record], batches=batches, usage=usage), _nothing)

    began = time.perf_counter()
    await asyncio.gather(*(shard(number) for number in range(waiting)))
    return COMMITS // waiting * waiting / (time.perf_counter() - began)


def _nothing() -> None:
    """Nobody has to be told."""


async def main(rounds: int) -> None:
    """Prints the figures."""
    machine = Machine()
    with tempfile.TemporaryDirectory() as folder:
        database = await open_database(f"sqlite:///{folder}/ours.db")
        term = await SqlStore(database).begin_term("benchmark")
        store = SqlTransferStore(database)
        committer = Committer(store, _Leads(), term, random.Random(0))
        writing = asyncio.create_task(committer.run())
        raw = bare(Path(folder))
        single = await in_turn(raw, one_by_one(committer), ROWS, rounds)
        grouped = await in_turn(raw, hundreds(committer), ROWS, rounds)
        commits = [(waiting, await whole(committer, waiting)) for waiting in (1, 16, 100)]
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
        await store.close()
        await database.close()
    print(grouped.line("checkpoint rows, 100 to a commit, 10 callers", "goal >= 0.50"))
    print(single.line(f"checkpoint rows, each a commit, {WAITING} shards", "goal >= 0.50"))
    for waiting, rate in commits:
        print(f"whole commits of a batch, {waiting} shards at once: {rate:,.0f}/s")
    print(machine.line())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=8)
    uvloop.run(main(parser.parse_args().rounds))
