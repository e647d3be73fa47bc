"""The scheduler's use cases: what happens between a request and the core. Knows no protobuf of requests."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from services.runtime.errors import NotFound
from services.scheduler.domain import drains, results
from services.scheduler.domain import events as e
from services.scheduler.domain.accounts import Entry
from services.scheduler.domain.calls import FleetCall
from services.scheduler.domain.model import CallKind, CallResult, Verdict
from services.scheduler.domain.sentences import deleted
from services.scheduler.driver import drain_signal
from services.scheduler.errors import not_leader
from services.scheduler.leader import Leader
from services.scheduler.ports import Selection
from services.scheduler.signals import wait_until

MAX_BATCH = 256
"""Results in one message (DESIGN section 4)."""
FLUSH_AFTER = 0.02
"""Seconds that a result may wait for others to share its message."""
DEFAULT_DEADLINE = 60.0
"""Seconds for a call whose caller set no deadline."""


@dataclass(frozen=True, slots=True)
class FleetCallRequest:
    """One of the four fleet calls. `remaining` and `wait_for` in seconds; `began` the time of day when
    it arrived at its gateway, 0 for now."""

    kind: CallKind
    selection: Selection
    request_id: str
    wait_for: float
    remaining: float
    began: float


async def run_fleet_call(
    leader: Leader, request: FleetCallRequest
) -> AsyncIterator[Sequence[str] | Sequence[CallResult]]:
    """Yields first the selected ids, then results in batches until each has one. Raises NotFound,
    Unavailable."""
    loop = asyncio.get_running_loop()
    ends = loop.time() + _useful(request.remaining)
    selected = await _resolve(leader, request, ends)
    explicit = bool(request.selection.account_ids)
    deadline = leader.driver.now() + max(0.0, ends - loop.time())
    await leader.driver.ask(
        e.CallStarted(
            request.request_id,
            request.kind,
            selected,
            deadline,
            request.wait_for,
            explicit,
            leader.driver.ago(request.began) if request.began else 0.0,
        )
    )
    call = leader.core.call(request.kind, request.request_id)
    if call is None:
        raise not_leader()
    watched = selected if explicit else list(call.selected)
    yield watched
    async for batch in _results(leader, call, set(watched), ends):
        yield batch


async def _resolve(leader: Leader, request: FleetCallRequest, ends: float) -> list[str]:
    """The ids of the selected accounts, all of them known here. Who selects all gets them from this leader's
    own table, once that has come as far as the registry."""
    loop = asyncio.get_running_loop()
    if request.selection.account_ids or request.selection.match_labels:
        resolved = await leader.registry.resolve(request.selection, request.remaining)
        await leader.accounts_at(resolved.revision, ends - loop.time())
        return list(resolved.account_ids)
    await leader.accounts_at(await leader.registry.revision(request.remaining), ends - loop.time())
    everybody = leader.core.fleet.accounts.ids_by_priority()
    if not everybody:
        raise NotFound("There are no accounts yet.", reason="NO_ACCOUNT_SELECTED")
    return everybody


async def _results(
    leader: Leader, call: FleetCall, missing: set[str], ends: float
) -> AsyncIterator[Sequence[CallResult]]:
    """The results of the accounts in `missing`, each once, until all have one or time is up."""
    loop = asyncio.get_running_loop()
    cursor = 0
    last_flush = float("-inf")
    while missing:
        news = leader.driver.signals.waiter(call.key)
        batch: list[CallResult] = []
        while cursor < len(call.results) and len(batch) < MAX_BATCH:
            result = call.results[cursor]
            cursor += 1
            if result.account_id in missing:
                missing.discard(result.account_id)
                batch.append(result)
        leader.driver.check()
        if batch:
            yield batch
            last_flush = loop.time()
        elif loop.time() >= ends:
            for rest in _out_of_time(leader, call, missing):
                yield rest
            return
        elif cursor >= len(call.results) and await wait_until(news, ends - loop.time()):
            await _gather(call, cursor, last_flush)


async def _gather(call: FleetCall, cursor: int, last_flush: float) -> None:
    """Gives further results a moment to come, unless the last message was long ago or there are enough
    already."""
    pause = last_flush + FLUSH_AFTER - asyncio.get_running_loop().time()
    if pause > 0 and len(call.results) - cursor < MAX_BATCH and call.finished is None:
        await asyncio.sleep(pause)


def _out_of_time(leader: Leader, call: FleetCall, missing: set[str]) -> list[list[CallResult]]:
    """What this caller is told of the rest; the call itself goes on for others."""
    rest = []
    for account_id in sorted(missing):
        entry = leader.core.fleet.accounts.get(account_id)
        if entry is None:
            verdict, name = deleted(), ""
        else:
            verdict, name = results.rest_of(call, entry), entry.spec.name
        rest.append(CallResult(account_id, name, verdict, leader.driver.now() - call.started))
    return [rest[start : start + MAX_BATCH] for start in range(0, len(rest), MAX_BATCH)]


def _useful(remaining: float) -> float:
    """Seconds until the rest must be answered: a little before the caller's deadline, so that it arrives in
    time."""
    return max(0.0, remaining - min(1.0, remaining * 0.1))


@dataclass(frozen=True, slots=True)
class DrainReport:
    """How a drain stands: sessions that left since it began, and what is left with why."""

    moved: int
    remaining: Sequence[tuple[Entry, Verdict]]


async def drain_worker(leader: Leader, worker_id: str, limit: float, remaining: float) -> DrainReport:
    """Empties a worker; answers when nothing is left, or after `limit` seconds, when what is left is
    stopped. A caller who has only `remaining` seconds is answered before that; the drain goes on. Raises
    NotFound."""
    worker = leader.core.fleet.workers.get(worker_id)
    if worker is None:
        raise _no_worker(worker_id)
    loop = asyncio.get_running_loop()
    ends = loop.time() + min(limit, _useful(remaining))
    await leader.driver.ask(e.DrainStarted(worker_id, leader.driver.now() + limit))
    while worker.entries and worker.draining and loop.time() < ends:
        news = leader.driver.signals.waiter(drain_signal(worker_id))
        await wait_until(news, ends - loop.time())
        leader.driver.check()
    return DrainReport(worker.drain_moved, drains.remaining(worker))


async def undo_drain(leader: Leader, worker_id: str) -> DrainReport:
    """Lets a worker take accounts again. Raises NotFound."""
    worker = leader.core.fleet.workers.get(worker_id)
    if worker is None:
        raise _no_worker(worker_id)
    await leader.driver.ask(e.DrainUndone(worker_id))
    return DrainReport(worker.drain_moved, [])


def _no_worker(worker_id: str) -> NotFound:
    return NotFound(
        f"No worker is called {worker_id}; `tgfleet workers list` shows all.",
        reason="WORKER_NOT_FOUND",
        field="worker_id",
    )
