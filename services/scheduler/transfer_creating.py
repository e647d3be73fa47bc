"""How a transfer comes to be: who may do it, what they see of both chats, the plan, the commit. Nothing is
stored and nothing is sent when any of that fails.

An account is asked by an order to its worker, so it must run. Where none of the chosen does, one is borrowed
for the time of the asking; whoever else is needed later is started by the transfer itself.
"""

import asyncio
import base64
import os
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

from services.runtime.errors import InvalidArgument, NotFound, Unavailable
from services.scheduler.domain import events as fleet_events
from services.scheduler.domain.lending import account_view
from services.scheduler.domain.transfers import planning
from services.scheduler.domain.transfers.events import AccountView, Tick, TransferCreated
from services.scheduler.domain.transfers.orders import ChatReference, InspectChats
from services.scheduler.domain.transfers.records import (
    Candidate,
    Changes,
    ShardRecord,
    TransferRecord,
    TransferSpec,
    TransferState,
    Wish,
)
from services.scheduler.errors import refusal
from services.scheduler.leader import Leader
from services.scheduler.ports import Selection

_INSPECT_LIMIT = 20.0
"""Seconds that one account has for its look at both chats."""
_INSPECT_AT_ONCE = 32
_START_LIMIT = 30.0
"""Seconds that borrowed accounts have to run."""
_BORROWED_AT_ONCE = 3
_POLL = 0.05

Borrow = Callable[[str], Awaitable[None]]


async def create(leader: Leader, spec: TransferSpec, request_id: str, time_left: float) -> str:
    """The id of the new transfer, or of the one that the same request made before. Raises InvalidArgument,
    NotFound, FailedPrecondition, Unavailable."""
    async with _one_at_a_time(leader, request_id):
        found = await leader.transfers.store.find_request(request_id) if request_id else None
        if found is not None:
            return found.transfer_id
        refused = planning.check(spec)
        if refused is not None:
            raise refusal(refused)
        ends = asyncio.get_running_loop().time() + time_left
        spec = replace(spec, account_ids=await _resolve(leader, spec, time_left))
        async with _loans(leader) as borrow:
            running = await _running(leader, spec, borrow, ends)
            inspections = await _inspect(leader, spec, running, ends)
            async with leader.transfers.planning:
                planned = _plan(leader, spec, inspections)
                if planned.pinned:
                    spec = replace(spec, account_ids=(planned.pinned,))
                return await _store(leader, spec, request_id, planned)


@asynccontextmanager
async def _loans(leader: Leader) -> AsyncIterator[Borrow]:
    """Lends accounts until the end of the block. By then the transfer has borrowed whom it needs."""
    borrower = f"creation {uuid.uuid4().hex}"
    lent: list[str] = []

    async def borrow(account_id: str) -> None:
        lent.append(account_id)
        await leader.driver.ask(fleet_events.Borrowed(account_id, borrower))

    try:
        yield borrow
    finally:
        for account_id in lent:
            leader.driver.tell(fleet_events.GivenBack(account_id, borrower))


@asynccontextmanager
async def _one_at_a_time(leader: Leader, request_id: str) -> AsyncIterator[None]:
    """Two calls with one request id make one transfer: the second looks when the first is done."""
    creating = leader.transfers.creating
    while request_id and request_id in creating:
        await creating[request_id].wait()
        leader.driver.check()
    done = asyncio.Event()
    creating[request_id] = done
    try:
        yield
    finally:
        creating.pop(request_id, None)
        done.set()


async def _resolve(leader: Leader, spec: TransferSpec, time_left: float) -> tuple[str, ...]:
    if spec.account_ids and spec.match_labels:
        raise InvalidArgument("Choose accounts by ids or by labels, not both.", field="spec.match_labels")
    if not spec.account_ids and not spec.match_labels:
        raise InvalidArgument("Say which accounts may do it, by ids or by labels.", field="spec.account_ids")
    try:
        resolved = await leader.registry.resolve(Selection(spec.account_ids, spec.match_labels), time_left)
    except NotFound as error:  # the registry knows the selection, not that it stands in a spec
        field = error.field and f"spec.{error.field}"
        raise NotFound(error.message, reason=error.reason, metadata=error.metadata, field=field) from error
    await leader.accounts_at(resolved.revision, time_left)
    if not resolved.account_ids:
        raise NotFound(
            "No account has all these labels.", reason="NO_ACCOUNT_SELECTED", field="spec.match_labels"
        )
    await leader.driver.ask(fleet_events.LendingAllowed(resolved.account_ids))
    return tuple(resolved.account_ids)


def _plan(
    leader: Leader, spec: TransferSpec, inspections: Mapping[str, planning.Inspection]
) -> planning.Plan:
    unchecked = [
        _unchecked(one, only_running=spec.only_running)
        for one in _views(leader, spec.account_ids)
        if one.account_id not in inspections
    ]
    following = [
        planning.Following(one.record.source.chat_id, one.record.target.chat_id)
        for one in leader.transfers.core.transfers.values()
        if one.record.spec.follow and not one.record.ended
    ]
    planned = planning.plan(spec, inspections, unchecked, following)
    if isinstance(planned, planning.PlanRefused):
        raise refusal(planned)
    return planned


async def _running(leader: Leader, spec: TransferSpec, borrow: Borrow, ends: float) -> list[AccountView]:
    """Those that run; if none does, some are borrowed and waited for."""
    views = _views(leader, spec.account_ids)
    running = [one for one in views if one.running]
    startable = sorted((one for one in views if one.startable), key=lambda one: -one.priority)
    if running or spec.only_running or not startable:
        return running or _nobody(spec)
    for one in startable[:_BORROWED_AT_ONCE]:
        await borrow(one.account_id)
    loop = asyncio.get_running_loop()
    until = min(ends - _INSPECT_LIMIT / 4, loop.time() + _START_LIMIT)
    while loop.time() < until:
        running = [one for one in _views(leader, spec.account_ids) if one.running]
        if running:
            return running
        await asyncio.sleep(_POLL)
        leader.driver.check()
    return _nobody(spec)


def _nobody(spec: TransferSpec) -> list[AccountView]:
    why = "only accounts that run may be used" if spec.only_running else "none could be started"
    raise Unavailable(
        f"None of the chosen accounts runs, and {why}; `tgfleet status` says why each does not.",
        reason="NO_ACCOUNT_RUNNING",
    )


async def _inspect(
    leader: Leader, spec: TransferSpec, running: Sequence[AccountView], ends: float
) -> Mapping[str, planning.Inspection]:
    work = InspectChats(
        ChatReference(spec.source),
        ChatReference(spec.target),
        spec.topic_id,
        spec.range_kind,
        spec.range_first,
        spec.range_last,
        spec.range_since,
        spec.range_until,
    )
    turns = asyncio.Semaphore(_INSPECT_AT_ONCE)
    loop = asyncio.get_running_loop()

    async def ask(account: AccountView) -> planning.Inspection:
        async with turns:
            leader.driver.check()
            limit = max(1.0, min(_INSPECT_LIMIT, ends - loop.time()))
            return await leader.transfers.driver.inspections.ask(account, work, limit)

    answers = await asyncio.gather(*(ask(one) for one in running))
    leader.driver.check()
    return {one.account_id: answer for one, answer in zip(running, answers, strict=True)}


def _views(leader: Leader, account_ids: Sequence[str]) -> list[AccountView]:
    fleet = leader.core.fleet
    entries = [fleet.accounts.get(account_id) for account_id in account_ids]
    return [account_view(fleet, entry) for entry in entries if entry is not None]


def _unchecked(view: AccountView, *, only_running: bool) -> Candidate:
    name = view.name
    if not view.enabled:
        reason, detail = "DISABLED", f"{name} is disabled."
    elif view.blocked:
        reason, detail = view.blocked, f"{name} is set aside."
    elif view.startable and not only_running:
        reason, detail = "NOT_CHECKED", f"{name} does not run; it will be checked when it is started."
    else:
        reason, detail = "NOT_RUNNING", f"{name} does not run."
    return Candidate(view.account_id, usable=False, reason=reason, detail=detail)


async def _store(leader: Leader, spec: TransferSpec, request_id: str, planned: planning.Plan) -> str:
    """On disk, and known to the core, or neither, whatever becomes of the caller."""
    record = TransferRecord(
        transfer_id=f"tr_{base64.b32encode(os.urandom(10)).decode().lower()[:12]}",
        request_id=request_id,
        spec=spec,
        source=planned.source,
        target=planned.target,
        target_key=planned.target.chat_id,
        state=TransferState.RUNNING,
        wish=Wish.RUN,
        created=leader.driver.wall(),
        candidates=planned.candidates,
    )
    shards = [
        ShardRecord(record.transfer_id, number, cut.first_id, cut.last_id, cut.first_id - 1)
        for number, cut in enumerate(planned.shards, 1)
    ]
    created = TransferCreated(record, shards)
    await leader.transfers.committer.commit(Changes([record], shards), lambda: leader.driver.tell(created))
    await leader.driver.ask(Tick())
    return record.transfer_id
