"""What services rely on of a database, on SQLite and on PostgreSQL: all or nothing, in order, also when calls
are cancelled, when several processes write, and when the database goes away and comes back."""

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from services.runtime.database import LIMIT, Database, locate, open_database
from services.runtime.errors import InvalidArgument, SettingsError, TgfleetError, Unavailable
from tests.support.postgres import PostgresProcess

SETTING = "TGFLEET_TEST_DATABASE_URL"
RAISE = text("UPDATE counter SET n = n + 1 RETURNING n")


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresProcess]:
    with PostgresProcess() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/t.db"
    else:
        server: PostgresProcess = request.getfixturevalue("postgres")
        url = server.new_database()
    opened = await made(url)
    yield opened
    await opened.close()


async def made(url: str) -> Database:
    database = again(url)
    async with database.write() as tx:
        await tx.execute(text("CREATE TABLE counter (n INTEGER NOT NULL)"))
        await tx.execute(text("CREATE TABLE seen (n INTEGER PRIMARY KEY, note TEXT)"))
        await tx.execute(text("INSERT INTO counter VALUES (0)"))
    return database


def again(url: str) -> Database:
    return open_database(locate(url, service="test", setting=SETTING))


async def count_up(database: Database) -> None:
    """Reads, waits a moment, writes: lost updates and gaps would show."""
    async with database.write() as tx:
        number = (await tx.execute(RAISE)).scalar_one()
        await asyncio.sleep(0)
        await tx.execute(text("INSERT INTO seen (n) VALUES (:n)"), {"n": number})


async def numbers(database: Database) -> tuple[int, list[int]]:
    async with database.read() as tx:
        last = (await tx.execute(text("SELECT n FROM counter"))).scalar_one()
        rows = (await tx.execute(text("SELECT n FROM seen ORDER BY n"))).all()
    return last, [row.n for row in rows]


async def test_what_raises_or_is_cancelled_leaves_nothing_and_blocks_nobody(database: Database) -> None:
    for _ in range(10):
        calls = [asyncio.create_task(count_up(database)) for _ in range(6)]
        await asyncio.sleep(0.002)
        for call in calls[::2]:
            call.cancel()
        await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), LIMIT)

    async def fail() -> None:
        async with database.write() as tx:
            await tx.execute(RAISE)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    await count_up(database)
    last, seen = await numbers(database)
    assert seen == list(range(1, last + 1))
    assert last >= 31


async def test_a_reader_sees_one_moment(database: Database) -> None:
    async with database.read() as tx:
        before = (await tx.execute(text("SELECT n FROM counter"))).scalar_one()
        await count_up(database)
        assert (await tx.execute(text("SELECT count(*) FROM seen"))).scalar_one() == before == 0


async def test_a_failed_statement_is_unavailable_and_the_next_one_works(database: Database) -> None:
    with pytest.raises(Unavailable) as raised:
        async with database.write() as tx:
            await tx.execute(text("SELECT * FROM no_such_table"))
    assert raised.value.reason == "DATABASE_UNAVAILABLE"
    await count_up(database)


async def test_revisions_of_two_processes_are_committed_in_order_and_without_gaps(
    postgres: PostgresProcess,
) -> None:
    url = postgres.new_database()
    one, two, reader = await made(url), again(url), again(url)
    writing = asyncio.gather(*(count_up(database) for _ in range(40) for database in (one, two)))
    while not writing.done():
        last, seen = await numbers(reader)
        assert seen == list(range(1, last + 1))
    await writing
    assert (await numbers(reader))[0] == 80
    for database in (one, two, reader):
        await database.close()


async def test_a_process_frozen_in_a_transaction_holds_the_others_up_for_seconds_only(
    postgres: PostgresProcess,
) -> None:
    url = postgres.new_database()
    frozen, other = await made(url), again(url)
    began = time.monotonic()

    async def freeze() -> None:
        async with frozen.write() as tx:
            await tx.execute(RAISE)
            await count_up(other)

    with pytest.raises(Unavailable):
        await freeze()
    assert time.monotonic() - began < LIMIT
    assert await numbers(other) == (1, [1])  # the frozen one's change is gone
    await frozen.close()
    await other.close()


@pytest.mark.parametrize("how", ["kill", "stop", "freeze"])
async def test_postgresql_goes_away_and_comes_back(how: str) -> None:
    with PostgresProcess() as server:
        database = await made(server.new_database())
        await count_up(database)
        getattr(server, how)()
        began = time.monotonic()
        failed = await asyncio.gather(*(_reason(database) for _ in range(4)))
        assert time.monotonic() - began < LIMIT + 1
        assert failed == ["DATABASE_UNAVAILABLE"] * 4
        if how == "freeze":
            server.thaw()
        else:
            server.start()
        await count_up(database)  # at once, with the same object
        last, seen = await numbers(database)
        assert seen == list(range(1, last + 1))
        await database.close()


async def test_a_commit_that_postgresql_loses_is_all_or_nothing() -> None:
    with PostgresProcess() as server:
        database = await made(server.new_database())
        calls = [asyncio.create_task(_reason(database)) for _ in range(30)]
        await asyncio.sleep(0.05)
        server.kill()
        reasons = await asyncio.gather(*calls)
        server.start()
        last, seen = await numbers(database)
        assert seen == list(range(1, last + 1))
        assert last >= reasons.count("")
        await database.close()


async def test_a_locked_sqlite_file_fails_in_time_and_recovers(tmp_path: Path) -> None:
    database = await made(f"sqlite:///{tmp_path}/t.db")
    with contextlib.closing(sqlite3.connect(tmp_path / "t.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        assert await asyncio.gather(*(_reason(database) for _ in range(3))) == ["DATABASE_UNAVAILABLE"] * 3
        assert time.monotonic() - began < LIMIT + 1
        assert await numbers(database) == (0, [])  # reading goes on
        other.execute("ROLLBACK")
    await count_up(database)
    assert await numbers(database) == (1, [1])
    await database.close()


async def test_a_text_that_postgresql_cannot_keep_is_bad_input(postgres: PostgresProcess) -> None:
    database = await made(postgres.new_database())
    with pytest.raises(InvalidArgument):
        async with database.read() as tx:
            await tx.execute(text("SELECT n FROM seen WHERE note = :note"), {"note": "a\0b"})
    await database.close()


async def test_a_refused_password_is_told_and_not_shown(
    postgres: PostgresProcess, capfd: pytest.CaptureFixture[str]
) -> None:
    wrong = postgres.url("postgres").replace(postgres.password, "canary-wrong")
    for url in (wrong, wrong.replace("/postgres", "/none?port=canary-wrong")):
        database = again(url)
        with pytest.raises(SettingsError) as raised:
            await _use(database)
        assert SETTING in raised.value.message
        assert "canary" not in f"{raised.value!r} {raised.value.message} {database.location!r}"
        await database.close()
    assert "canary" not in "".join(capfd.readouterr())


@pytest.mark.parametrize(
    "url", ["", "canary", "mysql://u:canary@h/d", "postgresql://u:canary@h:x/d", "sqlite://"]
)
def test_a_bad_url_is_one_sentence_without_the_url(url: str) -> None:
    with pytest.raises(SettingsError) as raised:
        locate(url, service="test", setting=SETTING)
    assert SETTING in raised.value.message
    assert "canary" not in raised.value.message


async def _use(database: Database) -> None:
    async with database.read():
        pass


async def _reason(database: Database) -> str:
    try:
        await count_up(database)
    except TgfleetError as error:
        return error.reason
    return ""
