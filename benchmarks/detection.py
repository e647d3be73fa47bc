"""How soon a broken session is noticed: our worker beside bare kurigram, on one test data centre.

`python -m benchmarks.detection [--seconds 60]`. All cases run side by side. Ours has noticed when the worker
reports another state, with its cause. Of a bare client, an API call is made in the moment of the trouble: it
has noticed when that call ends in any way, or when the library itself says that the client is not connected.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.telegram_clients import new_accounts
from services.testdc.embed import Account, Fault, FaultKind, TestDataCentre
from tests.integration.worker.rig import (
    FAILED,
    RECONNECTING,
    RUNNING,
    House,
    WorkerProcess,
    environ,
    eventually,
)
from tests.support.testdc import make_kurigram
from tgfleet.gateway.v1 import result_pb2

_POLL = 0.05

Trouble = Callable[[TestDataCentre, Account], None]


def _dead(reason: str) -> Trouble:
    def make(dc: TestDataCentre, account: Account) -> None:
        dc.control.kill_key(account.auth_key_id, reason)
        dc.control.drop_connections(user_id=account.user_id)

    return make


def _unknown_for_a_moment(dc: TestDataCentre, account: Account) -> None:
    dc.control.set_fault(Fault(FaultKind.KEY_UNKNOWN, user_id=account.user_id))
    dc.control.clear_faults(user_id=account.user_id)


def _link(kind: FaultKind) -> Trouble:
    def make(dc: TestDataCentre, account: Account) -> None:
        link = dc.control.live_connections(account.user_id)[0]
        dc.control.set_fault(Fault(kind, connection_id=link))

    return make


CASES: dict[str, tuple[Trouble, float]] = {
    "401 on reconnect": (_dead("SESSION_REVOKED"), 10.0),
    "406 on reconnect": (_dead("AUTH_KEY_DUPLICATED"), 10.0),
    "-404 on a live link (deaf receive loop)": (_unknown_for_a_moment, 10.0),
    "half-open link": (_link(FaultKind.HALF_OPEN), 30.0),
    "silent data centre": (_link(FaultKind.SILENT), 30.0),
}
"""What happens, and within which seconds ours must have noticed (issue 3)."""


@dataclass(frozen=True)
class Noticed:
    """Seconds, None for not at all; and as what."""

    seconds: float | None
    as_what: str = ""


async def _ours(house: House, name: str, began: float, limit: float) -> Noticed:
    told = house.dispatcher

    def news() -> Any:
        return next(
            (r for r in told.reports if r.account_id == name and r.state in {RECONNECTING, FAILED}), None
        )

    try:
        await told.until(news, limit)
    except TimeoutError:
        return Noticed(None)
    seconds = time.monotonic() - began
    report = await told.until_state(name, RUNNING, FAILED, limit=limit)
    causes = await eventually(lambda: _causes(house, name), limit)
    end = "running again" if report.state == RUNNING else result_pb2.Reason.Name(report.reason)[7:]
    return Noticed(seconds, f"{causes[0]}, then {end}")


def _causes(house: House, name: str) -> list[str]:
    facts = house.registry.facts.values()
    return [f.link_lost.cause for f in facts if f.account_id == name and f.WhichOneof("kind") == "link_lost"]


async def _bare(client: Any, began: float, limit: float) -> Noticed:
    call = asyncio.create_task(client.get_me())
    try:
        while time.monotonic() - began < limit:
            if call.done():
                what = "the call was answered" if call.exception() is None else repr(call.exception())[:60]
                return Noticed(time.monotonic() - began, what)
            if not client.is_connected:
                return Noticed(time.monotonic() - began, "not connected")
            await asyncio.sleep(_POLL)
        return Noticed(None)
    finally:
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)


def _line(name: str, goal: float, ours: Noticed, bare: Noticed, limit: float) -> str:
    def say(noticed: Noticed) -> str:
        if noticed.seconds is None:
            return f"not within {limit:.0f} s"
        return f"{noticed.seconds:.1f} s ({noticed.as_what})"

    return f"{name}: ours {say(ours)}, at most {goal:.0f} s; bare {say(bare)}"


async def _run(dc: TestDataCentre, house: House, limit: float) -> None:
    mine, theirs = new_accounts(dc, len(CASES)), new_accounts(dc, len(CASES))
    names = [f"acc_{n}" for n in range(len(CASES))]
    for name, account in zip(names, mine, strict=True):
        house.enrol(name, account)
    command = house.dispatcher.start(names)
    clients = [make_kurigram(dc, account.pyrogram_session) for account in theirs]
    for name, client in zip(names, clients, strict=True):
        await house.dispatcher.until_answered(command, name)
        await client.start()
    began = time.monotonic()
    for (trouble, _), one, other in zip(CASES.values(), mine, theirs, strict=True):
        trouble(dc, one)
        trouble(dc, other)
    ours = asyncio.gather(*(_ours(house, name, began, limit) for name in names))
    bare = asyncio.gather(*(_bare(client, began, limit) for client in clients))
    for (name, (_, goal)), seen, other_seen in zip(CASES.items(), await ours, await bare, strict=True):
        print(_line(name, goal, seen, other_seen, limit))


async def _main(limit: float) -> None:
    # The library starts background tasks that nobody awaits; what it says of their end is not ours to show.
    logging.getLogger("pyrogram").setLevel(logging.CRITICAL)
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    async with TestDataCentre() as dc, House(30, 30) as house:
        defaults = {
            "TGFLEET_CONNECT_TIMEOUT": "30s",
            "TGFLEET_PING_INTERVAL": "30s",
            "TGFLEET_PROBE_INTERVAL": "5m",
        }
        async with WorkerProcess(environ(house, dc, **defaults)):
            await house.dispatcher.until(lambda: house.dispatcher.hellos, 30)
            await _run(dc, house, limit)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    asyncio.run(_main(parser.parse_args().seconds))
