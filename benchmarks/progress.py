"""How long a look at a transfer takes with 1,000 transfers in the scheduler's SQLite file.

`python -m benchmarks.progress [--transfers 1000] [--looks 500]`. Each transfer has four shards; every other
one has ended. One transfer with its refused messages, as GetTransfer reads one that has ended (a live one is
answered from memory), and a page of 100, as ListTransfers reads it. No bare baseline: the goal is 10 ms.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import uvloop

from benchmarks.measure import Machine
from services.scheduler.adapters.database import open_database
from services.scheduler.adapters.store import SqlStore
from services.scheduler.adapters.transfer_store import SqlTransferStore
from services.scheduler.domain.transfers.records import (
    Changes,
    Chat,
    ShardRecord,
    TransferRecord,
    TransferSpec,
    TransferState,
    Wish,
)

SHARDS = 4


def _transfer(number: int) -> TransferRecord:
    ended = number % 2 == 0
    chat = Chat("@chat", -1_000_000_000_001, "A chat", "channel")
    return TransferRecord(
        transfer_id=f"tr_{number:012}",
        request_id=f"request {number}",
        spec=TransferSpec("@source", "@target", account_ids=tuple(f"acc_{n:012}" for n in range(20))),
        source=chat,
        target=chat,
        target_key=chat.chat_id,
        state=TransferState.COMPLETED if ended else TransferState.RUNNING,
        wish=Wish.RUN,
        created=1_000.0 + number,
        ended=5_000.0 if ended else 0.0,
    )


def _shards(number: int) -> list[ShardRecord]:
    return [
        ShardRecord(f"tr_{number:012}", shard, 1, 250_000, 1_000, done=900, skipped={"SERVICE": 100})
        for shard in range(1, SHARDS + 1)
    ]


async def _looks(what: str, times: int, look: Callable[[], Awaitable[object]]) -> None:
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        assert await look()
        taken.append((time.perf_counter() - began) * 1000)
    taken.sort()
    print(
        f"{what}: median {statistics.median(taken):.2f} ms, "
        f"99 of 100 within {taken[int(len(taken) * 0.99) - 1]:.2f} ms (below 10)"
    )


async def _main(transfers: int, looks: int) -> None:
    machine = Machine()
    with tempfile.TemporaryDirectory(prefix="tgfleet-bench-") as directory:
        database = await open_database(f"sqlite:///{Path(directory)}/scheduler.db")
        store = SqlTransferStore(database)
        term = await SqlStore(database).begin_term("benchmark")
        for number in range(1, transfers + 1):
            await store.commit(term, number, [Changes([_transfer(number)], _shards(number))])
        rng = random.Random(1)
        await _looks("one transfer", looks, lambda: store.get(f"tr_{rng.randint(1, transfers):012}"))
        await _looks(
            "a page of 100",
            looks // 5,
            lambda: store.page([], (1_000.0 + rng.randint(101, transfers), "tr_"), 100),
        )
        await store.close()
        await database.close()
    print(machine.line())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--transfers", type=int, default=1_000)
    parser.add_argument("--looks", type=int, default=500)
    options = parser.parse_args()
    uvloop.run(_main(options.transfers, options.looks))
