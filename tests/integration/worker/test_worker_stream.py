"""The stream to the scheduler: hello, heartbeats, idempotent commands, terms, drain, files, facts, and the
shutdown."""

import asyncio
import os
import signal
import sqlite3
from pathlib import Path

from services.testdc.embed import Account, Fault, FaultKind, NewAccount, TestDataCentre
from tests.integration.worker.conftest import MakeWorld
from tests.integration.worker.rig import (
    FAILED,
    RUNNING,
    STOPPED,
    House,
    WorkerProcess,
    environ,
    eventually,
)
from tgfleet.gateway.v1 import result_pb2
from tgfleet.worker.v1 import worker_pb2


def write_session_file(path: Path, account: Account) -> None:
    """As kurigram writes one."""
    with sqlite3.connect(path) as database:
        database.execute(
            "CREATE TABLE sessions (dc_id INTEGER PRIMARY KEY, server_address TEXT, port INTEGER,"
            " api_id INTEGER, test_mode INTEGER, auth_key BLOB, date INTEGER NOT NULL, user_id INTEGER,"
            " is_bot INTEGER)"
        )
        row = (account.dc_id, "149.154.167.51", 443, 12345, 0, account.auth_key, 0, account.user_id, 0)
        database.execute("INSERT INTO sessions VALUES (?,?,?,?,?,?,?,?,?)", row)
    database.close()


async def test_a_broken_stream_is_made_anew_with_the_full_picture(make_world: MakeWorld) -> None:
    w = await make_world()
    account = w.account("acc_one")
    d = w.house.dispatcher
    command = d.start(["acc_one"])
    await d.until_answered(command, "acc_one")
    await eventually(lambda: d.beats >= 2)
    links = w.dc.control.live_connections(account.user_id)
    d.drop_streams()
    await d.until(lambda: len(d.hellos) == 2)
    first, second = d.hellos
    assert first.incarnation == second.incarnation
    assert [(s.account_id, s.state) for s in second.sessions] == [("acc_one", RUNNING)]
    assert second.sessions[0].token.revision > 0
    assert w.dc.control.live_connections(account.user_id) == links, "the client went on meanwhile"


async def test_what_ended_while_the_stream_was_down_is_told_on_the_next(make_world: MakeWorld) -> None:
    w = await make_world(TGFLEET_CONNECT_TIMEOUT="500ms")
    account = w.account("acc_one")
    w.dc.control.set_fault(Fault(FaultKind.SILENT, user_id=account.user_id))
    d = w.house.dispatcher
    command = d.start(["acc_one"])
    await d.until(lambda: d.last("acc_one") is not None)
    d.drop_streams()
    report = await d.until_answered(command, "acc_one")
    assert report.reason == result_pb2.REASON_CONNECT_TIMEOUT


async def test_the_same_start_again_changes_nothing_and_is_answered(make_world: MakeWorld) -> None:
    w = await make_world()
    w.account("acc_one")
    d = w.house.dispatcher
    first = d.start(["acc_one"])
    second = d.start(["acc_one"])
    assert (await d.until_answered(second, "acc_one")).state == RUNNING
    third = d.start(["acc_one"])
    assert (await d.until_answered(third, "acc_one")).state == RUNNING
    assert len(w.house.registry.acquires) == 1
    del first


async def test_stop_of_what_does_not_run_and_start_after_stop(make_world: MakeWorld) -> None:
    w = await make_world()
    w.account("acc_one")
    d = w.house.dispatcher
    command = d.stop(["acc_one"])
    assert (await d.until_answered(command, "acc_one")).state == STOPPED
    await d.until_answered(d.start(["acc_one"]), "acc_one")
    stop, start = d.stop(["acc_one"]), d.start(["acc_one"])
    assert (await d.until_answered(stop, "acc_one")).state == STOPPED
    assert (await d.until_answered(start, "acc_one")).state == RUNNING
    assert not w.dc.control.judge().overlaps


async def test_an_older_term_commands_nothing(make_world: MakeWorld) -> None:
    w = await make_world()
    w.account("acc_one")
    d = w.house.dispatcher
    d.term = 5
    await d.until_answered(d.start(["acc_one"]), "acc_one")
    d.send(term=4, stop=worker_pb2.StopSessions(command_id="old", account_ids=["acc_one"]))
    await d.until(lambda: len(d.hellos) == 2)  # the worker leaves a leader of the past
    last = d.last("acc_one")
    assert last is not None
    assert last.state == RUNNING


async def test_drain_and_capacity_refuse_new_sessions(make_world: MakeWorld) -> None:
    w = await make_world(TGFLEET_WORKER_CAPACITY="1")
    w.account("acc_one")
    w.account("acc_two")
    d = w.house.dispatcher
    await d.until_answered(d.start(["acc_one"]), "acc_one")
    full = await d.until_answered(d.start(["acc_two"]), "acc_two")
    assert (full.outcome, full.reason) == (result_pb2.OUTCOME_WAITING, result_pb2.REASON_NO_WORKER_CAPACITY)
    d.send(drain=worker_pb2.Drain(drain=True))
    d.stop(["acc_one"])
    await d.until_state("acc_one", STOPPED)
    drained = await d.until_answered(d.start(["acc_two"]), "acc_two")
    assert "emptied" in drained.detail
    d.drop_streams()
    await d.until(lambda: len(d.hellos) == 2)
    assert d.hellos[-1].draining
    d.send(drain=worker_pb2.Drain(drain=False))
    assert (await d.until_answered(d.start(["acc_two"]), "acc_two")).state == RUNNING


async def test_session_files_are_announced_and_run_without_a_trace(
    make_world: MakeWorld, tmp_path: Path
) -> None:
    w = await make_world(TGFLEET_WORKER_SESSIONS_DIR=str(tmp_path))
    account = w.account("acc_file", in_vault=False)
    d = w.house.dispatcher
    path = tmp_path / "one.session"
    write_session_file(path, account)
    (tmp_path / "bad.session").write_bytes(b"no database at all")
    before = path.read_bytes(), path.stat().st_mode
    await d.until(lambda: d.files)
    announced = {f.file_name: f for f in d.files[-1].files}
    assert announced["one.session"].auth_key_id == account.auth_key_id
    assert announced["one.session"].user_id == account.user_id
    assert announced["bad.session"].problem
    assert not announced["bad.session"].auth_key_id
    command = d.start(["acc_file"], file="one.session")
    assert (await d.until_answered(command, "acc_file")).state == RUNNING
    assert w.house.registry.acquires[0].items[0].auth_key_id == account.auth_key_id
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bad.session", "one.session"]
    assert (path.read_bytes(), path.stat().st_mode) == before


async def test_missing_and_broken_session_files(make_world: MakeWorld, tmp_path: Path) -> None:
    w = await make_world(TGFLEET_WORKER_SESSIONS_DIR=str(tmp_path))
    w.account("acc_file", in_vault=False)
    (tmp_path / "bad.session").write_bytes(b"SQLite format 3\x00" + b"\x01" * 200)
    d = w.house.dispatcher
    for name, reason in (
        ("none.session", result_pb2.REASON_SESSION_MISSING),
        ("bad.session", result_pb2.REASON_SESSION_INVALID),
        ("../bad.session", result_pb2.REASON_SESSION_MISSING),
    ):
        report = await d.until_answered(d.start(["acc_file"], file=name), "acc_file")
        assert (report.state, report.reason) == (FAILED, reason)
    assert not w.house.registry.acquires, "nothing is acquired for a file that cannot be used"


async def test_facts_are_told_until_the_registry_has_them(make_world: MakeWorld) -> None:
    w = await make_world(ttl=30.0)
    account = w.account("acc_one")
    d = w.house.dispatcher
    await d.until_answered(d.start(["acc_one"]), "acc_one")
    await eventually(lambda: "session_ran" in w.house.registry.kinds("acc_one"))
    w.house.registry.down = True
    calls = w.house.registry.fact_calls
    w.dc.control.kill_key(account.auth_key_id, "SESSION_REVOKED")
    w.dc.control.drop_connections(user_id=account.user_id)
    await d.until_state("acc_one", FAILED)
    await eventually(lambda: w.house.registry.fact_calls >= calls + 2)
    w.house.registry.down = False
    await eventually(lambda: w.house.registry.kinds("acc_one").count("session_died") == 1)


async def test_a_stop_on_a_dead_link_is_not_called_clean(make_world: MakeWorld) -> None:
    w = await make_world(TGFLEET_PING_INTERVAL="30s", TGFLEET_PROBE_INTERVAL="30s")
    account = w.account("acc_one")
    d = w.house.dispatcher
    await d.until_answered(d.start(["acc_one"]), "acc_one")
    link = w.dc.control.live_connections(account.user_id)[0]
    w.dc.control.set_fault(Fault(FaultKind.HALF_OPEN, connection_id=link))
    d.stop(["acc_one"])
    report = await d.until_state("acc_one", STOPPED)
    assert not report.released
    assert [r.clean for r in w.house.registry.releases] == [False]


async def test_sigterm_stops_cleanly_and_gives_everything_back() -> None:
    async with TestDataCentre() as dc, House() as house:
        ids = [f"acc_{n}" for n in range(30)]
        users = []
        for account_id in ids:
            account = dc.control.create_account(NewAccount(first_name=account_id))
            users.append(account.user_id)
            house.enrol(account_id, account)
        async with WorkerProcess(environ(house, dc, TGFLEET_LOG_FORMAT="json")) as worker:
            await house.dispatcher.until(lambda: house.dispatcher.hellos)
            command = house.dispatcher.start(ids)
            for account_id in ids:
                await house.dispatcher.until_answered(command, account_id)
            assert await worker.stop() == 0
        assert len(house.registry.releases) == 30
        assert all(r.clean for r in house.registry.releases)
        assert not house.registry.holders
        assert {house.dispatcher.last(a).state for a in ids} == {STOPPED}  # type: ignore[union-attr]
        assert not [u for u in users if dc.control.live_connections(u)]
        assert b"0123456789abcdef0123456789abcdef" not in worker.log
        assert b"Traceback" not in worker.log, worker.log.decode()


async def test_sigterm_does_not_wait_for_a_registry_that_is_away() -> None:
    async with TestDataCentre() as dc, House(ttl=30.0) as house:
        account = dc.control.create_account(NewAccount(first_name="A"))
        house.enrol("acc_one", account)
        async with WorkerProcess(environ(house, dc)) as worker:
            await house.dispatcher.until(lambda: house.dispatcher.hellos)
            await house.dispatcher.until_answered(house.dispatcher.start(["acc_one"]), "acc_one")
            house.registry.down = True
            assert await worker.stop() == 0
        assert not dc.control.live_connections(account.user_id)
        last = house.dispatcher.last("acc_one")
        assert last is not None
        assert (last.state, last.released) == (STOPPED, False)


async def test_bad_chat_rules_stop_the_start_with_a_sentence(tmp_path: Path) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text("rules:\n  - pattern: '(unclosed'\n    reply: hi\n")
    async with TestDataCentre() as dc, House() as house:
        async with WorkerProcess(environ(house, dc, TGFLEET_CHAT_RULES_FILE=str(rules))) as worker:
            assert worker.process is not None
            async with asyncio.timeout(15):
                assert await worker.process.wait() == 2
        assert b"rule 1: the pattern is not RE2" in worker.log


async def test_a_killed_worker_leaves_what_it_held() -> None:
    async with TestDataCentre() as dc, House() as house:
        account = dc.control.create_account(NewAccount(first_name="A"))
        house.enrol("acc_one", account)
        async with WorkerProcess(environ(house, dc)) as worker:
            await house.dispatcher.until(lambda: house.dispatcher.hellos)
            await house.dispatcher.until_answered(house.dispatcher.start(["acc_one"]), "acc_one")
            assert worker.process is not None
            os.kill(worker.process.pid, signal.SIGKILL)
            await worker.process.wait()
        assert not house.registry.releases
        assert house.registry.holders
