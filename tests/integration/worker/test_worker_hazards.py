"""Every hazard of TELEGRAM.md section 3 against the worker: the right verdict, within the bound, and never a
lie."""

import asyncio
import time

import pytest

from services.testdc.embed import Fault, FaultKind
from tests.integration.worker.conftest import MakeWorld, World
from tests.integration.worker.rig import FAILED, RECONNECTING, RUNNING, eventually
from tgfleet.gateway.v1 import result_pb2


def calls(w: World, user_id: int) -> int:
    return sum(1 for r in w.dc.control.get_journal() if r.user_id == user_id and r.kind.value == "call")


def dials(w: World, key: str) -> int:
    return sum(1 for r in w.dc.control.get_journal() if r.auth_key_id == key and r.kind.value == "key_bound")


async def started(w: World, account_id: str = "acc_one") -> None:
    command = w.house.dispatcher.start([account_id])
    report = await w.house.dispatcher.until_answered(command, account_id)
    assert report.state == RUNNING


@pytest.mark.parametrize(
    ("fault", "outcome", "reason", "fact"),
    [
        (FaultKind.SESSION_REVOKED, "FAILED", "SESSION_REVOKED", "session_died"),
        (FaultKind.AUTH_KEY_UNREGISTERED, "FAILED", "AUTH_KEY_UNREGISTERED", "session_died"),
        (FaultKind.KEY_UNKNOWN, "FAILED", "AUTH_KEY_UNREGISTERED", "session_died"),
        (FaultKind.BANNED, "FAILED", "ACCOUNT_BANNED", "session_died"),
        (FaultKind.FROZEN, "FAILED", "ACCOUNT_FROZEN", "session_died"),
        (FaultKind.FLOOD_WAIT, "WAITING", "FLOOD_WAIT", "flood_wait"),
        (FaultKind.SILENT, "FAILED", "CONNECT_TIMEOUT", ""),
        (FaultKind.HALF_OPEN, "FAILED", "CONNECT_TIMEOUT", ""),
        (FaultKind.DROP_BEFORE, "FAILED", "CONNECT_TIMEOUT", ""),
        (FaultKind.RPC_ERROR, "FAILED", "CONNECT_TIMEOUT", ""),
    ],
)
async def test_a_start_that_fails_says_why_in_time(
    make_world: MakeWorld, fault: FaultKind, outcome: str, reason: str, fact: str
) -> None:
    w = await make_world(TGFLEET_CONNECT_TIMEOUT="2s")
    account = w.account("acc_one")
    w.dc.control.set_fault(Fault(fault, user_id=account.user_id, seconds=40, code=500, error="INTERNAL"))
    began = time.monotonic()
    command = w.house.dispatcher.start(["acc_one"])
    report = await w.house.dispatcher.until_answered(command, "acc_one")
    assert time.monotonic() - began < 6
    assert report.state == FAILED
    assert report.outcome == result_pb2.Outcome.Value(f"OUTCOME_{outcome}")
    assert report.reason == result_pb2.Reason.Value(f"REASON_{reason}")
    assert report.detail.endswith(".")
    assert report.HasField("retry_time") == (reason == "FLOOD_WAIT")
    if fact:
        await eventually(lambda: fact in w.house.registry.kinds("acc_one"))
    # Nothing of it may go on: no dial after the verdict.
    if (
        fault is not FaultKind.HALF_OPEN
    ):  # there the data centre itself does not read that the link was closed
        assert not w.dc.control.live_connections(account.user_id)
    before = calls(w, account.user_id)
    await asyncio.sleep(0.5)
    assert calls(w, account.user_id) == before
    assert dials(w, account.auth_key_id) <= 6, "no storm of restarts"
    await eventually(lambda: not w.house.registry.holders)


async def test_a_closed_port_is_a_timeout_and_nothing_was_used(make_world: MakeWorld) -> None:
    w = await make_world(TGFLEET_CONNECT_TIMEOUT="1s", TGFLEET_TELEGRAM_DC="127.0.0.1:9")
    w.account("acc_one")
    command = w.house.dispatcher.start(["acc_one"])
    report = await w.house.dispatcher.until_answered(command, "acc_one")
    assert report.reason == result_pb2.REASON_CONNECT_TIMEOUT
    assert [r.clean for r in w.house.registry.releases] == [True], "not a byte was sent"


async def test_a_broken_proxy_is_never_bypassed(make_world: MakeWorld) -> None:
    w = await make_world(TGFLEET_CONNECT_TIMEOUT="1s")
    account = w.account("acc_one", proxy="socks5://user:hunter2@127.0.0.1:9")
    command = w.house.dispatcher.start(["acc_one"])
    report = await w.house.dispatcher.until_answered(command, "acc_one")
    assert report.reason == result_pb2.REASON_PROXY_ERROR
    assert calls(w, account.user_id) == 0
    assert "hunter2" not in report.detail


async def test_the_wrong_user_is_no_start(make_world: MakeWorld) -> None:
    w = await make_world()
    w.account("acc_one", user_id=42)
    command = w.house.dispatcher.start(["acc_one"])
    report = await w.house.dispatcher.until_answered(command, "acc_one")
    assert report.reason == result_pb2.REASON_SESSION_INVALID
    assert "42" in report.detail


async def test_no_data_centre_means_no_dial(make_world: MakeWorld) -> None:
    w = await make_world(TGFLEET_TELEGRAM_DC="")
    w.account("acc_one")
    command = w.house.dispatcher.start(["acc_one"])
    report = await w.house.dispatcher.until_answered(command, "acc_one")
    assert report.reason == result_pb2.REASON_INTERNAL
    assert "TGFLEET_TELEGRAM_LIVE" in report.detail
    assert w.house.registry.releases[-1].clean


@pytest.mark.parametrize(
    ("death", "reason"),
    [
        ("AUTH_KEY_DUPLICATED", "AUTH_KEY_DUPLICATED"),
        ("SESSION_REVOKED", "SESSION_REVOKED"),
        ("USER_DEACTIVATED_BAN", "ACCOUNT_BANNED"),
        ("", "AUTH_KEY_UNREGISTERED"),
    ],
)
async def test_a_session_dead_on_reconnect_is_reported(
    make_world: MakeWorld, death: str, reason: str
) -> None:
    w = await make_world()
    account = w.account("acc_one")
    await started(w)
    w.dc.control.kill_key(account.auth_key_id, death)
    w.dc.control.drop_connections(user_id=account.user_id)
    began = time.monotonic()
    report = await w.house.dispatcher.until_state("acc_one", FAILED)
    assert time.monotonic() - began < 10
    assert report.reason == result_pb2.Reason.Value(f"REASON_{reason}")
    await eventually(lambda: "session_died" in w.house.registry.kinds("acc_one"))
    assert "link_lost" in w.house.registry.kinds("acc_one")


async def test_a_404_on_a_live_link_heals_when_the_key_is_known_after_all(make_world: MakeWorld) -> None:
    w = await make_world()
    account = w.account("acc_one")
    await started(w)
    w.dc.control.set_fault(Fault(FaultKind.KEY_UNKNOWN, user_id=account.user_id))
    w.dc.control.clear_faults(user_id=account.user_id)
    report = await w.house.dispatcher.until_state("acc_one", RECONNECTING)
    assert report.reason == result_pb2.REASON_UNSPECIFIED
    await w.house.dispatcher.until_state("acc_one", RUNNING)
    causes = [
        f.link_lost.cause for f in w.house.registry.facts.values() if f.WhichOneof("kind") == "link_lost"
    ]
    await eventually(lambda: "link_lost" in w.house.registry.kinds("acc_one"))
    causes = [
        f.link_lost.cause for f in w.house.registry.facts.values() if f.WhichOneof("kind") == "link_lost"
    ]
    assert causes == ["TRANSPORT_404"]


@pytest.mark.parametrize("fault", [FaultKind.HALF_OPEN, FaultKind.SILENT])
async def test_a_link_that_stops_answering_is_made_anew(make_world: MakeWorld, fault: FaultKind) -> None:
    w = await make_world()
    account = w.account("acc_one")
    await started(w)
    link = w.dc.control.live_connections(account.user_id)[0]
    w.dc.control.set_fault(Fault(fault, connection_id=link))
    began = time.monotonic()
    await w.house.dispatcher.until_state("acc_one", RECONNECTING)
    assert time.monotonic() - began < 4, "twice the ping interval of 1 s, and a little"
    await w.house.dispatcher.until_state("acc_one", RUNNING)
    await eventually(lambda: "link_lost" in w.house.registry.kinds("acc_one"))
    lost = next(f for f in w.house.registry.facts.values() if f.WhichOneof("kind") == "link_lost").link_lost
    assert lost.cause == "PING_TIMEOUT"
    assert lost.reconnected
    kinds = [e.disconnected.reconnected for e in w.house.dispatcher.events if e.HasField("disconnected")]
    assert kinds == [False, True]


async def test_a_dropped_link_comes_back_under_the_same_grant(make_world: MakeWorld) -> None:
    w = await make_world()
    account = w.account("acc_one")
    await started(w)
    for _ in range(3):
        w.dc.control.drop_connections(user_id=account.user_id)
        await w.house.dispatcher.until_state("acc_one", RECONNECTING)
        await w.house.dispatcher.until_state("acc_one", RUNNING)
    assert len(w.house.registry.acquires) == 1
    assert not w.dc.control.judge().overlaps


async def test_a_flood_on_reconnect_ends_the_session_until_then(make_world: MakeWorld) -> None:
    w = await make_world()
    account = w.account("acc_one")
    await started(w)
    w.dc.control.set_fault(Fault(FaultKind.FLOOD_WAIT, user_id=account.user_id, seconds=60))
    w.dc.control.drop_connections(user_id=account.user_id)
    report = await w.house.dispatcher.until_state("acc_one", FAILED)
    assert report.outcome == result_pb2.OUTCOME_WAITING
    assert report.reason == result_pb2.REASON_FLOOD_WAIT
    assert abs(report.retry_time.ToSeconds() - time.time() - 60) < 10
    before = calls(w, account.user_id)
    await asyncio.sleep(0.5)
    assert calls(w, account.user_id) == before


async def test_a_wait_that_still_runs_is_not_tried(make_world: MakeWorld) -> None:
    w = await make_world()
    until = int(time.time()) + 300
    wait = result_pb2.FloodWait(method="initConnection")
    wait.until_time.FromSeconds(until)
    other = result_pb2.FloodWait(method="messages.forwardMessages")
    other.until_time.FromSeconds(until)
    held = w.account("acc_held", waits=[wait])
    w.account("acc_free", waits=[other])
    command = w.house.dispatcher.start(["acc_held", "acc_free"])
    report = await w.house.dispatcher.until_answered(command, "acc_held")
    assert report.reason == result_pb2.REASON_FLOOD_WAIT
    assert report.retry_time.ToSeconds() == until
    assert calls(w, held.user_id) == 0
    free = await w.house.dispatcher.until_answered(command, "acc_free")
    assert free.state == RUNNING, "a forwarding wait does not block a start"


async def test_a_session_that_dies_of_double_use_while_idle_is_found_by_the_probe(
    make_world: MakeWorld,
) -> None:
    w = await make_world(TGFLEET_PROBE_INTERVAL="500ms")
    account = w.account("acc_one")
    await started(w)
    w.dc.control.set_fault(Fault(FaultKind.SESSION_REVOKED, user_id=account.user_id))
    report = await w.house.dispatcher.until_state("acc_one", FAILED)
    assert report.reason == result_pb2.REASON_SESSION_REVOKED
