"""One suite for all stores of transfers: in memory, on SQLite, on PostgreSQL."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from services.runtime import migrations
from services.runtime.errors import Aborted, Unavailable
from services.scheduler.adapters.database import FOLDER, open_database
from services.scheduler.adapters.memory_transfer_store import MemoryTransferStore
from services.scheduler.adapters.models import METADATA
from services.scheduler.adapters.store import SqlStore
from services.scheduler.adapters.transfer_store import SqlTransferStore
from services.scheduler.domain.transfers.records import (
    BatchRecord,
    BatchState,
    Candidate,
    Changes,
    Chat,
    LendingChange,
    Mode,
    ModelRecord,
    RefusedMessage,
    ShardRecord,
    TargetCount,
    TransferRecord,
    TransferSpec,
    TransferState,
    Usage,
    UsageChange,
    WaitRecord,
    Wish,
)
from services.scheduler.ports import TransferStore
from tests.support.postgres import PostgresProcess


class Opened:
    """A store with the term that counts."""

    def __init__(self, store: TransferStore, begin_term: Callable[[], Awaitable[int]]) -> None:
        self.store = store
        self.begin_term = begin_term
        self.term = 0
        self.number = 0

    async def commit(self, *changes: Changes) -> None:
        if not self.term:
            self.term = await self.begin_term()
        self.number += 1
        await self.store.commit(self.term, self.number, changes)


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresProcess]:
    with PostgresProcess() as server:
        yield server


def sql_url(kind: str, folder: Path, request: pytest.FixtureRequest) -> str:
    if kind == "sqlite":
        return f"sqlite:///{folder}/scheduler.db"
    server: PostgresProcess = request.getfixturevalue("postgres")
    return server.new_database()


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
async def opened(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Opened]:
    if request.param == "memory":
        memory = MemoryTransferStore()

        async def begin_term() -> int:
            return memory.begin_term()

        yield Opened(memory, begin_term)
        return
    database = await open_database(sql_url(request.param, tmp_path, request))
    store = SqlTransferStore(database)
    yield Opened(store, lambda: SqlStore(database).begin_term("test"))
    await store.close()
    await database.close()


SPEC = TransferSpec(
    "@source",
    "-1001234567890",
    mode=Mode.COPY,
    media=("PHOTO", "VIDEO"),
    match="käse|\"'",
    account_ids=("acc_a", "acc_b"),
    match_labels={"team": "x"},
    range_kind="dates",
    range_since=1.5,
    parallel=3,
    max_per_hour=7,
    strict=True,
)


def transfer(number: int = 1, **fields: object) -> TransferRecord:
    record = TransferRecord(
        transfer_id=f"tr_{number:012}",
        request_id=f"request {number}",
        spec=SPEC,
        source=Chat("@source", -1001, "Quelle ü", "channel"),
        target=Chat("@target", -1002, "Ziel", "supergroup"),
        target_key=-1002_000_000_000_000,
        state=TransferState.RUNNING,
        wish=Wish.RUN,
        created=1000.0 + number,
        candidates=(
            Candidate("acc_a", usable=True),
            Candidate("acc_b", usable=False, reason="CANNOT_READ", detail="No."),
        ),
    )
    return replace(record, **fields)  # type: ignore[arg-type]


def shard(number: int = 1, shard: int = 1, **fields: object) -> ShardRecord:
    return replace(ShardRecord(f"tr_{number:012}", shard, 1, 1000, 0), **fields)  # type: ignore[arg-type]


def batch(batch: int = 1, **fields: object) -> BatchRecord:
    record = BatchRecord(
        transfer_id=f"tr_{1:012}",
        shard=1,
        batch=batch,
        state=BatchState.INTENDED,
        account_id="acc_a",
        message_ids=(5, 7, 2**31 - 1),
        random_ids=(-(2**63), 1, 2**63 - 1),
        target_top_id=77,
        through_id=9,
        skipped={"SERVICE": 2},
        order_id=f"tr/1/{batch}/1",
        attempt=1,
        first_sent=12.25,
    )
    return replace(record, **fields)  # type: ignore[arg-type]


async def test_a_new_leader_finds_all_that_has_not_ended(opened: Opened) -> None:
    wait = WaitRecord("acc_a", "messages.forwardMessages", 0, time.time() + 60, 60.0)
    model = ModelRecord("acc_a", "messages.forwardMessages", '{"x":1}')
    first = transfer()
    ended = transfer(2, state=TransferState.COMPLETED, ended=5.0)
    parts = [shard(), shard(1, 2, skipped={"DELETED": 3}, account_id="acc_b", finished=True)]
    open_batch = batch(3, target_ids=(1, 0, 2), refused={7: "MEDIA_EMPTY"}, detail="Who knows?")
    await opened.commit(
        Changes([first, ended], [*parts, shard(2)], [open_batch], [wait], [], [model]),
        Changes(batches=[replace(batch(4), transfer_id=ended.transfer_id)]),
    )
    picture = await opened.store.load()
    assert list(picture.transfers) == [first]
    assert sorted(picture.shards, key=lambda one: one.shard) == parts
    assert list(picture.batches) == [open_batch]
    assert list(picture.waits) == [wait]
    assert list(picture.models) == [model]


async def test_rows_are_replaced_and_the_last_word_counts(opened: Opened) -> None:
    await opened.commit(Changes([transfer()], [shard()], [batch()]))
    later = transfer(state=TransferState.PAUSED, wish=Wish.PAUSE, reason="PEER_FLOOD", wake=4.5)
    await opened.commit(
        Changes([transfer(state=TransferState.WAITING)], [shard(checkpoint=5)], [batch(attempt=2)]),
        Changes([later], [shard(checkpoint=9, done=3, next_batch=2)], [batch(attempt=3)]),
    )
    picture = await opened.store.load()
    assert list(picture.transfers) == [later]
    assert list(picture.shards) == [shard(checkpoint=9, done=3, next_batch=2)]
    assert list(picture.batches) == [batch(attempt=3)]


async def test_a_settled_batch_leaves_only_the_messages_that_were_refused(opened: Opened) -> None:
    await opened.commit(Changes([transfer()], [shard()], [batch(1), batch(2)]))
    refused = {5: "MEDIA_EMPTY", 7: "MESSAGE_ID_INVALID"}
    settled = batch(1, state=BatchState.SETTLED, refused=refused)
    await opened.commit(Changes(batches=[settled]), Changes(batches=[batch(3)]))
    assert sorted(one.batch for one in (await opened.store.load()).batches) == [2, 3]
    found = await opened.store.get(transfer().transfer_id)
    assert found is not None
    assert list(found[2]) == [RefusedMessage(7, "MESSAGE_ID_INVALID"), RefusedMessage(5, "MEDIA_EMPTY")]


async def test_a_batch_intended_and_settled_in_one_write_is_gone(opened: Opened) -> None:
    await opened.commit(
        Changes([transfer()], [shard()], [batch(1)]),
        Changes(batches=[batch(1, state=BatchState.SETTLED)]),
    )
    assert list((await opened.store.load()).batches) == []


async def test_only_the_latest_hundred_refused_messages_are_shown(opened: Opened) -> None:
    refused = dict.fromkeys(range(1, 151), "MEDIA_EMPTY")
    await opened.commit(Changes([transfer()], [shard()], [batch(state=BatchState.SETTLED, refused=refused)]))
    found = await opened.store.get(transfer().transfer_id)
    assert found is not None
    assert [one.message_id for one in found[2]] == list(range(150, 50, -1))


async def test_counts_are_added_and_a_later_day_begins_anew(opened: Opened) -> None:
    day, next_day = "2026-11-20", "2026-11-21"
    await opened.commit(
        Changes(usage=[UsageChange("acc_a", day, reserved=100), UsageChange("acc_b", day, reserved=5)])
    )
    await opened.commit(
        Changes(usage=[UsageChange("acc_a", day, -100, 99)]),
        Changes(usage=[UsageChange("acc_a", day, reserved=50)]),
    )
    assert Usage("acc_a", day, 50, 99, 99) in (await opened.store.load()).usage
    await opened.commit(Changes(usage=[UsageChange("acc_a", next_day, reserved=10)]))
    await opened.commit(Changes(usage=[UsageChange("acc_a", day, -50, 50)]))
    await opened.commit(Changes(usage=[UsageChange("acc_a", next_day, -10, 8)]))
    usage = sorted((await opened.store.load()).usage, key=lambda one: one.account_id)
    assert usage == [Usage("acc_a", next_day, 0, 8, 157), Usage("acc_b", day, 5, 0, 0)]


async def test_a_commit_that_is_repeated_counts_once(opened: Opened) -> None:
    counts = Changes(usage=[UsageChange("acc_a", "2026-11-20", reserved=100)])
    await opened.commit(counts)
    await opened.store.commit(opened.term, opened.number, [counts])
    assert list((await opened.store.load()).usage) == [Usage("acc_a", "2026-11-20", 100, 0, 0)]


async def test_numbers_begin_anew_with_each_term(opened: Opened) -> None:
    counts = Changes(usage=[UsageChange("acc_a", "2026-11-20", reserved=100)])
    for _ in range(3):
        await opened.commit(counts)
    later = await opened.begin_term()
    await opened.store.commit(later, 1, [counts])
    assert next(iter((await opened.store.load()).usage)).reserved == 400


async def test_a_commit_of_an_older_term_writes_nothing(opened: Opened) -> None:
    await opened.commit(Changes([transfer()], [shard()]))
    await opened.begin_term()
    with pytest.raises(Aborted) as raised:
        await opened.commit(Changes([transfer(2)], [shard(checkpoint=5)]))
    assert raised.value.reason == "TERM_LOST"
    assert await opened.store.get(transfer(2).transfer_id) is None
    assert list((await opened.store.load()).shards) == [shard()]


async def test_waits_that_are_over_or_were_ended_are_not_taken_up(opened: Opened) -> None:
    method = "messages.forwardMessages"
    future = time.time() + 60
    running = WaitRecord("acc_a", method, -1001, future, 60.0)
    await opened.commit(
        Changes(
            waits=[
                running,
                WaitRecord("acc_a", method, 0, time.time() - 1, 60.0),
                WaitRecord("acc_b", method, 0, future, 60.0),
            ]
        )
    )
    await opened.commit(Changes(waits=[WaitRecord("acc_b", method, 0, future, 0.0)]))
    assert list((await opened.store.load()).waits) == [running]


async def test_counts_of_a_target_are_added_by_the_minute_and_kept_for_an_hour(opened: Opened) -> None:
    minute = time.time() // 60 * 60
    await opened.commit(
        Changes(targets=[TargetCount(-1001, minute - 60, 100), TargetCount(-1002, minute, 7)]),
        Changes(targets=[TargetCount(-1001, minute - 60, 50)]),
    )
    await opened.commit(Changes(targets=[TargetCount(-1001, minute - 60, -30)]))
    targets = sorted((await opened.store.load()).targets, key=lambda one: one.target_key)
    assert targets == [TargetCount(-1002, minute, 7), TargetCount(-1001, minute - 60, 120)]
    await opened.commit(Changes(targets=[TargetCount(-1001, minute + 7200, 1)]))
    targets = sorted((await opened.store.load()).targets, key=lambda one: one.target_key)
    assert targets == [TargetCount(-1002, minute, 7), TargetCount(-1001, minute + 7200, 1)]


async def test_who_was_stopped_by_a_person_is_kept_until_it_is_lent_again(opened: Opened) -> None:
    stopped = [LendingChange("acc_a", lendable=False), LendingChange("acc_b", lendable=False)]
    await opened.commit(Changes(lending=stopped), Changes(lending=stopped))
    assert sorted((await opened.store.load()).unlendable) == ["acc_a", "acc_b"]
    await opened.commit(Changes(lending=[LendingChange("acc_a", lendable=True)]))
    assert list((await opened.store.load()).unlendable) == ["acc_b"]


async def test_a_request_is_found_also_when_its_transfer_has_ended(opened: Opened) -> None:
    ended = transfer(state=TransferState.CANCELLED, ended=9.0)
    nameless = [transfer(7, request_id=""), transfer(8, request_id="")]
    await opened.commit(Changes([ended, *nameless], [shard()]))
    assert await opened.store.find_request("request 1") == ended
    assert await opened.store.find_request("request 2") is None
    assert await opened.store.find_request("") is None


async def test_pages_go_from_the_newest_to_the_oldest(opened: Opened) -> None:
    same_moment = [transfer(number, created=5.0) for number in (3, 1, 2)]
    newest = transfer(9, created=6.0, state=TransferState.FAILED, ended=7.0)
    await opened.commit(Changes([*same_moment, newest], [shard(1, 2), shard(1, 1), shard(9)]))
    first = await opened.store.page([], None, 2)
    assert [(one.transfer_id[-1], len(parts)) for one, parts in first] == [("9", 1), ("3", 0)]
    last = first[-1][0]
    rest = await opened.store.page([], (last.created, last.transfer_id), 10)
    assert [one.transfer_id[-1] for one, _ in rest] == ["2", "1"]
    assert [part.shard for part in rest[-1][1]] == [1, 2]
    failed = await opened.store.page([TransferState.FAILED, TransferState.PAUSED], None, 10)
    assert [one for one, _ in failed] == [newest]


async def test_what_was_written_does_not_change_with_its_record(opened: Opened) -> None:
    record, part = transfer(), shard()
    await opened.commit(Changes([record], [part]))
    record.reason, part.checkpoint = "CHANGED", 500
    part.skipped["X"] = 1
    found = await opened.store.get(record.transfer_id)
    assert found is not None
    assert (found[0].reason, found[1][0].checkpoint, dict(found[1][0].skipped)) == ("", 0, {})


async def test_progress_is_told_quickly_with_a_thousand_transfers(opened: Opened) -> None:
    many = [transfer(number) for number in range(1000)]
    await opened.commit(Changes(many, [shard(number, part) for number in range(1000) for part in (1, 2)]))
    took = []
    for number in range(100, 140):
        began = time.perf_counter()
        assert await opened.store.get(many[number].transfer_id) is not None
        took.append(time.perf_counter() - began)
    assert min(took) < 0.01  # a busy machine slows some of them, a slow query all


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_the_migration_goes_down_and_up_with_data(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    database = await open_database(sql_url(kind, tmp_path, request))
    terms, store = SqlStore(database), SqlTransferStore(database)
    await store.commit(await terms.begin_term("one"), 1, [Changes([transfer()], [shard()], [batch()])])
    assert await migrations.differences(database, METADATA) == []
    await migrations.downgrade(database, FOLDER, "0001")
    with pytest.raises(Unavailable):
        await store.load()
    await migrations.upgrade(database, FOLDER)
    assert await migrations.differences(database, METADATA) == []
    assert list((await store.load()).transfers) == []
    assert await terms.begin_term("two") == 2
    await store.commit(2, 1, [Changes([transfer()], [shard()], [batch()])])
    assert list((await store.load()).batches) == [batch()]
    await store.close()
    await database.close()
