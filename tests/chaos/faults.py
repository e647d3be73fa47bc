"""What can go wrong in a history: each fault breaks something of the fleet, lasts a while, and is mended.

A fault never decides whether the fleet behaved: that is the judge's business (history.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import grpc

from tests.chaos import storage
from tests.support.fleet import Client, Fleet, Service, etcd_healthy, eventually
from tgfleet.gateway.v1 import fleet_pb2

Fault = Callable[[Fleet, random.Random], Coroutine[Any, Any, str]]
"""Breaks something, waits, mends it; gives a sentence of what it did."""

SPAN = 2.0 + 1.0
"""T + S of the fleets under chaos, in seconds: faults last longer and shorter than both."""


def _some(fleet: Fleet, rng: random.Random, kind: str) -> Service:
    """A process of this kind: `worker`, `gateway`, `scheduler`, `registry`, `etcd`."""
    names = [name for name in sorted(fleet.services) if name.split("-")[0] == kind]
    return fleet.services[rng.choice(names)]


async def _kill(service: Service, away: float) -> str:
    service.kill()
    await asyncio.sleep(away)
    service.start()
    return f"killed {service.name} and started it again after {away:.1f} s"


async def _freeze(service: Service, frozen: float) -> str:
    service.signal(signal.SIGSTOP)
    try:
        await asyncio.sleep(frozen)
    finally:
        service.signal(signal.SIGCONT)
    return f"froze {service.name} for {frozen:.1f} s"


async def kill_worker(fleet: Fleet, rng: random.Random) -> str:
    """kill -9 of a worker; another process takes its name a moment later."""
    return await _kill(_some(fleet, rng, "worker"), rng.uniform(0, 2 * SPAN))


async def freeze_worker(fleet: Fleet, rng: random.Random) -> str:
    """SIGSTOP beyond T: others take the worker's sessions while it believes that it holds them."""
    return await _freeze(_some(fleet, rng, "worker"), rng.uniform(2.2, 3 * SPAN))


async def _asked(call: Awaitable[object]) -> bool:
    await call
    return True


async def _wanted_again(client: Client) -> None:
    """Every account is wanted to run, whatever became of an earlier call."""
    await eventually(lambda: _asked(client.start_all(timeout=30)), 60, "StartAll is answered")


async def freeze_starting_worker(fleet: Fleet, rng: random.Random) -> str:
    """SIGSTOP while its sessions start: granted, perhaps connected, not yet reported."""
    worker = _some(fleet, rng, "worker")
    async with fleet.client() as client:
        with contextlib.suppress(grpc.aio.AioRpcError):  # another fault may be in the way
            await client.stop_all(timeout=30)
        starting = asyncio.create_task(client.start_all(timeout=30))
        await asyncio.sleep(rng.uniform(0, 0.3))
        try:
            did = await _freeze(worker, rng.uniform(2.2, 3 * SPAN))
        finally:
            with contextlib.suppress(grpc.aio.AioRpcError):
                await starting
        await _wanted_again(client)
    return f"{did}, during its start"


async def drain_during_kill(fleet: Fleet, rng: random.Random) -> str:
    """One worker is drained while the one that shall take its accounts dies."""
    drained, killed = rng.sample([n for n in sorted(fleet.services) if n.startswith("worker-")], 2)
    away = rng.uniform(0.2, SPAN)
    async with fleet.client() as client:
        request = fleet_pb2.DrainWorkerRequest(worker_id=drained)
        request.timeout.FromSeconds(4)
        draining = asyncio.ensure_future(client.fleet.DrainWorker(request, timeout=20))
        await asyncio.sleep(rng.uniform(0, 0.2))
        did = await _kill(fleet.services[killed], away)
        with contextlib.suppress(grpc.aio.AioRpcError):
            await draining
        undo = fleet_pb2.DrainWorkerRequest(worker_id=drained, undo=True)
        await eventually(lambda: _asked(client.fleet.DrainWorker(undo, timeout=5)), 60, "the drain is undone")
    return f"drained {drained} and {did}"


async def cut_link(fleet: Fleet, rng: random.Random) -> str:
    """A worker loses its registry, by a closed or a half-open link, while its link to Telegram stays up."""
    name, parted, silent = _some(fleet, rng, "worker").name, rng.uniform(1, 3 * SPAN), rng.random() < 0.5
    links = [link for place, link in fleet.links.items() if place.split("/")[0] == name]
    for link in links:
        (link.mute if silent else link.cut)()
    try:
        await asyncio.sleep(parted)
    finally:
        for link in links:
            link.mend()
    return f"{'silenced' if silent else 'cut'} the link of {name} to the registry for {parted:.1f} s"


async def kill_etcd(fleet: Fleet, rng: random.Random) -> str:
    """kill -9 of etcd or one of its members; it comes back with the data it has."""
    member = _some(fleet, rng, "etcd")
    did = await _kill(member, rng.uniform(0, 1.5 * SPAN))
    await etcd_healthy(member)
    return did


async def freeze_etcd(fleet: Fleet, rng: random.Random) -> str:
    """SIGSTOP of etcd or one of its members: connections stay open and say nothing."""
    return await _freeze(_some(fleet, rng, "etcd"), rng.uniform(0.5, 2 * SPAN))


async def cut_etcd_member(fleet: Fleet, rng: random.Random) -> str:
    """Nobody reaches one of three members, neither clients nor its peers; a single one is frozen instead."""
    member, parted, silent = _some(fleet, rng, "etcd"), rng.uniform(1, 3 * SPAN), rng.random() < 0.5
    if member.name not in fleet.links:
        return await _freeze(member, parted / 2)
    links = [fleet.links[member.name], fleet.links[f"{member.name}-peer"]]
    for link in links:
        (link.mute if silent else link.cut)()
    try:
        await asyncio.sleep(parted)
    finally:
        for link in links:
            link.mend()
    return f"{'silenced' if silent else 'cut'} the links to {member.name} for {parted:.1f} s"


async def kill_leader(fleet: Fleet, rng: random.Random) -> str:
    """kill -9 of the leading scheduler; a standby takes over, the killed one comes back as a standby."""
    return await _kill(await fleet.leader(), rng.uniform(0, SPAN))


async def freeze_leader(fleet: Fleet, rng: random.Random) -> str:
    """SIGSTOP of the leading scheduler beyond its time: it wakes up deposed, its term obeyed by nobody."""
    return await _freeze(await fleet.leader(), rng.uniform(1, 3 * SPAN))


async def kill_registry(fleet: Fleet, rng: random.Random) -> str:
    """kill -9 of a registry; of two, the other one goes on."""
    return await _kill(_some(fleet, rng, "registry"), rng.uniform(0, 1.5 * SPAN))


async def freeze_registry(fleet: Fleet, rng: random.Random) -> str:
    """SIGSTOP of a registry: calls to it hang instead of failing."""
    return await _freeze(_some(fleet, rng, "registry"), rng.uniform(0.5, 3 * SPAN))


async def freeze_gateway(fleet: Fleet, rng: random.Random) -> str:
    """SIGSTOP of a gateway: only callers notice."""
    return await _freeze(_some(fleet, rng, "gateway"), rng.uniform(0.5, SPAN))


async def lock_database(fleet: Fleet, rng: random.Random) -> str:
    """Somebody else holds SQLite's write lock, as a backup tool or a shell would; PostgreSQL is frozen."""
    name, held = rng.choice(("registry", "scheduler")), rng.uniform(0.5, 2 * SPAN)
    if fleet.postgres is not None:
        async with storage.frozen(fleet.postgres):
            await asyncio.sleep(held)
        return f"froze PostgreSQL for {held:.1f} s"
    async with storage.locked(fleet.directory / f"{name}.db"):
        await asyncio.sleep(held)
    return f"held the write lock of {name}.db for {held:.1f} s"


async def kill_database(fleet: Fleet, rng: random.Random) -> str:
    """kill -9 of PostgreSQL, with both databases in it; with SQLite, of the process that writes one."""
    away = rng.uniform(0, 1.5 * SPAN)
    if fleet.postgres is None:
        service = await fleet.leader() if rng.random() < 0.5 else _some(fleet, rng, "registry")
        return await _kill(service, away)
    async with storage.killed(fleet.postgres):
        await asyncio.sleep(away)
    return f"killed PostgreSQL and started it again after {away:.1f} s"


async def fill_disk(fleet: Fleet, rng: random.Random) -> str:
    """SQLite's journal cannot grow: every write past its end fails, as on a full disk. PostgreSQL, which
    gives up when its disk is full, is killed instead."""
    if fleet.postgres is not None:
        return await kill_database(fleet, rng)
    service, full = _some(fleet, rng, "registry"), rng.uniform(0.5, 2 * SPAN)
    with storage.no_room_for(service.pid):
        await asyncio.sleep(full)
    return f"left {service.name} no room to write for {full:.1f} s"


FAULTS: dict[str, Fault] = {
    "cut-etcd-member": cut_etcd_member,
    "cut-link": cut_link,
    "drain-during-kill": drain_during_kill,
    "fill-disk": fill_disk,
    "freeze-etcd": freeze_etcd,
    "freeze-gateway": freeze_gateway,
    "freeze-leader": freeze_leader,
    "freeze-registry": freeze_registry,
    "freeze-starting-worker": freeze_starting_worker,
    "freeze-worker": freeze_worker,
    "kill-database": kill_database,
    "kill-etcd": kill_etcd,
    "kill-leader": kill_leader,
    "kill-registry": kill_registry,
    "kill-worker": kill_worker,
    "lock-database": lock_database,
}

TOUCHES: dict[str, frozenset[str]] = {
    name: frozenset(
        kind
        for kind in ("worker", "etcd", "registry", "leader", "gateway")
        if kind in name
        or (
            name in ("drain-during-kill", "freeze-starting-worker")
            and kind in ("worker", "leader", "registry")
        )
        or (name in ("fill-disk", "kill-database", "lock-database") and kind in ("registry", "leader"))
        or (name == "cut-link" and kind == "worker")
    )
    for name in FAULTS
}
"""What a fault plays with: two at once never fight over the same."""
