"""Hands out the one result of each account in each fleet call. Decides nothing: it is told what happened to
an account and knows which calls that answers.
"""

from services.scheduler.domain import retries, sentences
from services.scheduler.domain.accounts import Entry, Phase
from services.scheduler.domain.calls import FleetCall, Pending, Stage
from services.scheduler.domain.fleet import Fleet
from services.scheduler.domain.model import CallKind, CallResult, Outcome, SessionState, Verdict

_CHAT_KINDS = (CallKind.START_CHAT, CallKind.STOP_CHAT)


def give(fleet: Fleet, call: FleetCall, entry: Entry, verdict: Verdict) -> None:
    """The account's result in this call. Whatever comes later is not heard of in it."""
    if call.pending.pop(entry.account_id, None) is not None:
        entry.calls.remove(call)
    give_unknown(fleet, call, entry.account_id, entry.spec.name, verdict)


def give_unknown(fleet: Fleet, call: FleetCall, account_id: str, name: str, verdict: Verdict) -> None:
    """The same for an account that may not exist any more."""
    if account_id in call.answered:
        return
    call.answered.add(account_id)
    call.results.append(CallResult(account_id, name, verdict, fleet.now - call.started))
    fleet.outbox.progressed(call)
    finish_if_done(fleet, call)


def finish_if_done(fleet: Fleet, call: FleetCall) -> None:
    """Ends a call whose accounts all have their result; it is remembered for a while, for callers that come
    back."""
    if not call.backlog and not call.pending and not call.deciding and call.finished is None:
        call.finished = fleet.now
        fleet.outbox.progressed(call)
        fleet.timers.set(fleet.now + fleet.rules.keep_finished_calls, "call_forgotten", call.key)


def give_or_hold(fleet: Fleet, call: FleetCall, entry: Entry, verdict: Verdict) -> None:
    """What is waited for ends the account's part of the call only when `wait_for` is over."""
    pending = call.pending[entry.account_id]
    if retries.is_waited_for(verdict) and fleet.now < call.wait_until:
        pending.held = verdict
        return
    give(fleet, call, entry, verdict)


def not_started(fleet: Fleet, entry: Entry, verdict: Verdict) -> None:
    """A start came to nothing, or a session ended by itself; nothing of the account runs now."""
    for call, pending in _acting(entry):
        if call.kind is CallKind.START_ALL:
            give_or_hold(fleet, call, entry, verdict)
        elif call.kind is CallKind.STOP_ALL:
            give(fleet, call, entry, Verdict(Outcome.STOPPED, worker_id=verdict.worker_id))
        elif pending.stage is Stage.ACTING:
            give(
                fleet, call, entry, sentences.not_running("The session ended before chat could be switched.")
            )


def starting(entry: Entry) -> None:
    """A start was sent: what an earlier one came to is no answer any more, and this one's end will be."""
    for call in entry.calls:
        if call.kind is CallKind.START_ALL:
            call.pending[entry.account_id].held = None


def stopped(fleet: Fleet, entry: Entry, worker_id: str) -> None:
    """A worker stopped the account because it was told to."""
    for call, _ in _acting(entry):
        if call.kind is CallKind.STOP_ALL:
            give(fleet, call, entry, Verdict(Outcome.STOPPED, worker_id=worker_id))
        elif call.kind in _CHAT_KINDS:
            give(fleet, call, entry, sentences.not_running("The account was stopped."))


def not_stopped(fleet: Fleet, entry: Entry, worker_id: str) -> None:
    """The worker was lost before it could say that it stopped the account."""
    for call, _ in _acting(entry):
        if call.kind is CallKind.STOP_ALL:
            give(fleet, call, entry, sentences.stop_unseen(worker_id))


def nothing_ran(fleet: Fleet, entry: Entry) -> None:
    """A wish to stop was recorded for an account of which nothing had come to a worker."""
    for call, _ in _acting(entry):
        if call.kind is CallKind.STOP_ALL:
            give(fleet, call, entry, nothing_runs(call, entry))


def nothing_runs(call: FleetCall, entry: Entry) -> Verdict:
    """What a StopAll says of an account of which nothing runs."""
    during = entry.went_down > call.started
    return Verdict(Outcome.STOPPED if during else Outcome.ALREADY_STOPPED)


def running(fleet: Fleet, entry: Entry, *, seen_start: bool) -> None:
    """A worker says RUNNING. `seen_start`: it came to that while this leader watched, rather than being
    found so."""
    for call, pending in _acting(entry):
        if call.kind is not CallKind.START_ALL:
            continue
        asked_by_it = entry.command_id.partition(":")[2] == call.request_id
        started = (seen_start and not pending.was_running) or (entry.adopted and asked_by_it)
        started = started or entry.came_up > call.started
        outcome = Outcome.STARTED if started else Outcome.ALREADY_RUNNING
        give(fleet, call, entry, Verdict(outcome, worker_id=entry.worker_id))


def chat_seen(fleet: Fleet, entry: Entry) -> None:
    """A worker says whether a running account handles chats."""
    for call, pending in _acting(entry):
        if pending.stage is not Stage.ACTING:
            continue
        if call.kind is CallKind.START_CHAT and entry.chatting:
            give(fleet, call, entry, Verdict(Outcome.CHAT_STARTED, worker_id=entry.worker_id))
        elif call.kind is CallKind.STOP_CHAT and not entry.chatting:
            give(fleet, call, entry, Verdict(Outcome.CHAT_STOPPED, worker_id=entry.worker_id))


def wish_ended(fleet: Fleet, entry: Entry, verdict: Verdict) -> None:
    """People do not want the account to run any more; starts that were under way end with this verdict."""
    for call, _ in _acting(entry):
        if call.kind is CallKind.START_ALL:
            give(fleet, call, entry, verdict)


def out_of_time(fleet: Fleet, call: FleetCall) -> None:
    """The call's deadline: everybody who has no result gets what is known."""
    for account_id in [*call.backlog, *call.pending]:
        entry = fleet.accounts.get(account_id)
        if entry is None:
            give_unknown(fleet, call, account_id, "", sentences.deleted())
        else:
            give(fleet, call, entry, rest_of(call, entry))
    call.backlog.clear()
    finish_if_done(fleet, call)


def rest_of(call: FleetCall, entry: Entry) -> Verdict:
    """What a caller is told whose time is up."""
    pending = call.pending.get(entry.account_id)
    held = pending.held if pending is not None else None
    return held or sentences.still_starting(call.kind, entry.worker_id)


def waited_enough(fleet: Fleet, call: FleetCall) -> None:
    """`wait_for` is over: those that are known to wait get that as their result."""
    for account_id, pending in list(call.pending.items()):
        entry = fleet.accounts.get(account_id)
        if pending.held is not None and entry is not None:
            give(fleet, call, entry, pending.held)


def is_up(entry: Entry) -> bool:
    """Whether a worker said that the account runs, with a link that answers or is being made anew."""
    running = entry.state is SessionState.RUNNING or entry.state is SessionState.RECONNECTING
    return entry.phase is Phase.UP and running


def asking_call(entry: Entry) -> str:
    """The request id of a StartAll that waits for the account; empty when the fleet acts by itself."""
    return next((call.request_id for call in entry.calls if call.kind is CallKind.START_ALL), "")


def _acting(entry: Entry) -> list[tuple[FleetCall, Pending]]:
    """The calls in which the account is pending and whose wish has been recorded."""
    if not entry.calls:
        return []
    found = [(call, call.pending[entry.account_id]) for call in entry.calls]
    return [(call, pending) for call, pending in found if pending.stage is not Stage.SAVING]
