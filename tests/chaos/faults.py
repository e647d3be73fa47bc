"""What can go wrong in a history: each fault breaks something of the fleet, lasts a while, and is mended.

A fault never decides whether the fleet behaved: that is the judge's business (history.py).
"""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import Awaitable, Callable

from tests.support.fleet import Fleet, port_open

Fault = Callable[[Fleet, random.Random], Awaitable[str]]
"""Breaks something, waits, mends it; gives a sentence of what it did."""

SPAN = 2.0 + 1.0
"""T + S of the fleets under chaos, in seconds: faults last longer and shorter than both."""


def _some_worker(fleet: Fleet, rng: random.Random) -> str:
    return rng.choice([name for name in sorted(fleet.services) if name.startswith("worker-")])


async def kill_worker(fleet: Fleet, rng: random.Random) -> str:
    """kill -9 of a worker; another process takes its name a moment later."""
    name, away = _some_worker(fleet, rng), rng.uniform(0, 2 * SPAN)
    fleet.services[name].kill()
    await asyncio.sleep(away)
    fleet.services[name].start()
    return f"killed {name} and started it again after {away:.1f} s"


async def freeze_worker(fleet: Fleet, rng: random.Random) -> str:
    """SIGSTOP beyond T: others take the worker's sessions while it believes that it holds them."""
    name, frozen = _some_worker(fleet, rng), rng.uniform(2.2, 3 * SPAN)
    fleet.services[name].signal(signal.SIGSTOP)
    try:
        await asyncio.sleep(frozen)
    finally:
        fleet.services[name].signal(signal.SIGCONT)
    return f"froze {name} for {frozen:.1f} s"


async def cut_link(fleet: Fleet, rng: random.Random) -> str:
    """A worker loses its registry, by a closed or by a silent link, while its link to Telegram stays up."""
    name, parted, silent = _some_worker(fleet, rng), rng.uniform(1, 3 * SPAN), rng.random() < 0.5
    link = fleet.links[name]
    (link.mute if silent else link.cut)()
    try:
        await asyncio.sleep(parted)
    finally:
        link.mend()
    return f"{'silenced' if silent else 'cut'} the link of {name} to the registry for {parted:.1f} s"


async def kill_etcd(fleet: Fleet, rng: random.Random) -> str:
    """kill -9 of etcd; it comes back with the data it has."""
    away = rng.uniform(0, 1.5 * SPAN)
    fleet.services["etcd"].kill()
    await asyncio.sleep(away)
    fleet.services["etcd"].start()
    await port_open(fleet.services["etcd"])
    return f"killed etcd and started it again after {away:.1f} s"


async def kill_leader(fleet: Fleet, rng: random.Random) -> str:
    """kill -9 of the leading scheduler; a standby takes over, the killed one comes back as a standby."""
    leader, away = await fleet.leader(), rng.uniform(0, SPAN)
    leader.kill()
    await asyncio.sleep(away)
    leader.start()
    return f"killed the leading {leader.name} and started it again after {away:.1f} s"


FAULTS: dict[str, Fault] = {
    "kill-worker": kill_worker,
    "freeze-worker": freeze_worker,
    "cut-link": cut_link,
    "kill-etcd": kill_etcd,
    "kill-leader": kill_leader,
}
