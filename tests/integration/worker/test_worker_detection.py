"""How soon trouble is seen with the settings that a worker has when nobody sets any, and where it ends.

All cases run side by side in one worker, because a half-open link takes its 20 s to be told from a quiet one.
"""

import asyncio
import gc
import time
from dataclasses import dataclass

import pytest

from services.testdc.embed import Account, Fault, FaultKind
from services.worker.adapters.telegram_session import WatchedSession
from services.worker.settings import Settings
from tests.integration.worker.conftest import MakeWorld, World
from tests.integration.worker.rig import FAILED, RECONNECTING, RUNNING, eventually
from tgfleet.gateway.v1 import result_pb2

SOON, HALF_OPEN = 10.0, 30.0
"""Seconds that issue 3 gives."""


@dataclass(frozen=True)
class Case:
    """What happens to an account, what is seen of it, by when, and where it ends."""

    name: str
    cause: str
    within: float
    ends: int
    reason: str = ""


CASES = [
    Case("unregistered", "LINK_CLOSED", SOON, FAILED, "AUTH_KEY_UNREGISTERED"),
    Case("revoked", "LINK_CLOSED", SOON, FAILED, "SESSION_REVOKED"),
    Case("duplicated", "LINK_CLOSED", SOON, FAILED, "AUTH_KEY_DUPLICATED"),
    Case("unknown_key", "TRANSPORT_404", SOON, FAILED, "AUTH_KEY_UNREGISTERED"),
    Case("hiccup_404", "TRANSPORT_404", SOON, RUNNING),
    Case("deaf", "LINK_CLOSED", SOON, RUNNING),
    Case("half_open", "PING_TIMEOUT", HALF_OPEN, RUNNING),
    Case("silent", "PING_TIMEOUT", HALF_OPEN, RUNNING),
]


def _trouble(w: World, name: str, account: Account) -> None:
    control, user_id = w.dc.control, account.user_id
    deaths = {
        "unregistered": "AUTH_KEY_UNREGISTERED",
        "revoked": "SESSION_REVOKED",
        "duplicated": "AUTH_KEY_DUPLICATED",
    }
    if name in deaths:
        control.kill_key(account.auth_key_id, deaths[name])
        control.drop_connections(user_id=user_id)
    elif name == "unknown_key":
        control.set_fault(Fault(FaultKind.KEY_UNKNOWN, user_id=user_id))
    elif name == "hiccup_404":
        control.set_fault(Fault(FaultKind.KEY_UNKNOWN, user_id=user_id))
        control.clear_faults(user_id=user_id)
    elif name == "deaf":  # nothing that a data centre sends ends the loop alone; a bug in the library does
        for session in (o for o in gc.get_objects() if isinstance(o, WatchedSession)):
            if session.auth_key == account.auth_key:
                session.recv_task.cancel()
    else:
        link = control.live_connections(user_id)[0]
        kind = FaultKind.HALF_OPEN if name == "half_open" else FaultKind.SILENT
        control.set_fault(Fault(kind, connection_id=link))


def _causes(w: World, name: str) -> list[str]:
    facts = w.house.registry.facts.values()
    return [f.link_lost.cause for f in facts if f.account_id == name and f.WhichOneof("kind") == "link_lost"]


async def _seen(w: World, case: Case, began: float) -> float:
    """Seconds until it was told; checks how it ends."""
    told = w.house.dispatcher
    seen = (RECONNECTING, FAILED) if case.ends == RUNNING else (FAILED,)
    await told.until(
        lambda: any(r.account_id == case.name and r.state in seen for r in told.reports), case.within + 5
    )
    took = time.monotonic() - began
    report = await told.until_state(case.name, case.ends)
    if case.reason:
        assert report.reason == result_pb2.Reason.Value(f"REASON_{case.reason}")
        await eventually(lambda: "session_died" in w.house.registry.kinds(case.name))
    await eventually(lambda: _causes(w, case.name), what=f"{case.name} has a cause")
    assert _causes(w, case.name) == [case.cause], case.name
    return took


@pytest.mark.timeout(90)
async def test_every_trouble_is_seen_in_time_with_default_settings(make_world: MakeWorld) -> None:
    defaults = {
        f"TGFLEET_{name.upper()}": f"{getattr(Settings, name).total_seconds()}s"
        for name in ("connect_timeout", "ping_interval", "probe_interval")
    }
    w = await make_world(ttl=30.0, settle=30.0, **defaults)
    accounts = {case.name: w.account(case.name) for case in CASES}
    command = w.house.dispatcher.start(accounts)
    for name in accounts:
        assert (await w.house.dispatcher.until_answered(command, name)).state == RUNNING
    began = time.monotonic()
    for name, account in accounts.items():
        _trouble(w, name, account)
    took = await asyncio.gather(*(_seen(w, case, began) for case in CASES))
    late = {c.name: t for c, t in zip(CASES, took, strict=True) if t > c.within}
    assert not late
