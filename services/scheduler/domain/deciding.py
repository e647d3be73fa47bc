"""What a fleet call means for one account now: its result, or what must be done first. Nothing of the
wishes' way to the registry is known here.
"""

from services.scheduler.domain import borrowing, obstacles, pursuit, results, sentences
from services.scheduler.domain.accounts import Entry, Phase
from services.scheduler.domain.calls import FleetCall, Pending, Stage
from services.scheduler.domain.fleet import Fleet
from services.scheduler.domain.model import CallKind, Outcome, SessionState, Verdict


def decide(fleet: Fleet, call: FleetCall, entry: Entry) -> bool:
    """Gives the result if it is known already, else makes the account pending. True: its wish must be
    recorded."""
    if call.kind is CallKind.START_ALL:
        return _decide_start(fleet, call, entry)
    if call.kind is CallKind.STOP_ALL:
        return _decide_stop(fleet, call, entry)
    return _decide_chat(fleet, call, entry)


def _decide_start(fleet: Fleet, call: FleetCall, entry: Entry) -> bool:
    seen_running = entry.state is SessionState.RUNNING and entry.phase is Phase.UP
    wish_stands = entry.spec.wanted_running and not entry.saves
    skip = obstacles.skipped(fleet, entry)
    if skip is not None and not (seen_running and _may_go_on(entry)):
        results.give(fleet, call, entry, skip)
        return False
    borrowing.started_by_person(entry)
    if seen_running and wish_stands and _is_fresh(fleet, entry):
        outcome = Outcome.STARTED if entry.came_up > call.started else Outcome.ALREADY_RUNNING
        results.give(fleet, call, entry, Verdict(outcome, worker_id=entry.worker_id))
        return False
    stage = Stage.ACTING if wish_stands else Stage.SAVING
    _pend(call, entry, Pending(stage, was_running=seen_running))
    if wish_stands:
        act(fleet, call, entry)
    return not wish_stands


def _may_go_on(entry: Entry) -> bool:
    """A stop of all starts, or a copy of the session that turned up, does not concern a session that runs."""
    spec = entry.spec
    return spec.enabled and not spec.block_reason.value and not entry.deleted


def _decide_stop(fleet: Fleet, call: FleetCall, entry: Entry) -> bool:
    wish_stands = not entry.spec.wanted_running and not entry.saves
    if wish_stands and entry.phase is Phase.IDLE:
        if fleet.warming:
            _pend(call, entry, Pending(Stage.UNDECIDED))
        else:
            borrowing.stopped_by_person(fleet, entry)
            results.give(fleet, call, entry, results.nothing_runs(call, entry))
        return False
    _pend(call, entry, Pending(Stage.ACTING if wish_stands else Stage.SAVING))
    borrowing.stopped_by_person(fleet, entry)
    return not wish_stands


def _decide_chat(fleet: Fleet, call: FleetCall, entry: Entry) -> bool:
    if not results.is_up(entry):
        if fleet.warming and entry.phase is Phase.IDLE:
            _pend(call, entry, Pending(Stage.UNDECIDED))
        else:
            results.give(fleet, call, entry, sentences.not_running(_what_it_does(entry)))
        return False
    if not _is_fresh(fleet, entry):
        _pend(call, entry, Pending(Stage.UNDECIDED))
        return False
    wanted = call.kind is CallKind.START_CHAT
    wish_stands = entry.spec.wanted_chatting == wanted and not entry.saves
    if entry.chatting == wanted and entry.chat_asked is None:
        outcome = _chat_stands(call, entry)
        if wish_stands:
            results.give(fleet, call, entry, Verdict(outcome, worker_id=entry.worker_id))
            return False
        _pend(call, entry, Pending(Stage.SAVING, held=Verdict(outcome, worker_id=entry.worker_id)))
        return True
    _pend(call, entry, Pending(Stage.ACTING if wish_stands else Stage.SAVING))
    if wish_stands:
        act(fleet, call, entry)
    return not wish_stands


def _chat_stands(call: FleetCall, entry: Entry) -> Outcome:
    """Chat handling is as the call wants it; whether it came to that during the call."""
    during = entry.chat_switched > call.started
    if call.kind is CallKind.START_CHAT:
        return Outcome.CHAT_STARTED if during else Outcome.ALREADY_CHATTING
    return Outcome.CHAT_STOPPED if during else Outcome.NOT_CHATTING


def act(fleet: Fleet, call: FleetCall, entry: Entry) -> None:
    """The wish is recorded: does what follows from it, for this call too if it still waits for the
    account."""
    pending = call.pending.get(entry.account_id)
    if pending is None:
        pursuit.pursue(fleet, entry)
    elif call.kind is CallKind.START_ALL:
        if entry.phase is Phase.UP and entry.state is SessionState.RUNNING and _is_fresh(fleet, entry):
            pending.was_running = True
            results.running(fleet, entry, seen_start=False)
        pursuit.afresh(fleet, entry)
    elif call.kind is CallKind.STOP_ALL:
        entry.forget_attempts()
        entry.verdict = None
        if entry.phase is Phase.IDLE and fleet.warming:
            pending.stage = Stage.UNDECIDED
        elif entry.phase is Phase.IDLE:
            results.nothing_ran(fleet, entry)
        pursuit.pursue(fleet, entry)
    elif not results.is_up(entry):
        results.give(fleet, call, entry, sentences.not_running(_what_it_does(entry)))
    else:
        _act_chat(fleet, call, entry, pending)


def _act_chat(fleet: Fleet, call: FleetCall, entry: Entry, pending: Pending) -> None:
    wanted = call.kind is CallKind.START_CHAT
    if pending.held is not None and entry.chatting == wanted:
        results.give(fleet, call, entry, pending.held)
    else:
        pending.held = None
        pursuit.pursue(fleet, entry)
        results.chat_seen(fleet, entry)


def left_alone(fleet: Fleet, entry: Entry) -> Verdict:
    """The registry did not take the wish: the account was disabled or set aside at that very moment."""
    return obstacles.skipped(fleet, entry) or sentences.disabled(entry.spec)


def gone(kind: CallKind) -> Verdict:
    """What a call says of an account that was deleted."""
    if kind is CallKind.START_ALL:
        return sentences.deleted()
    if kind is CallKind.STOP_ALL:
        return Verdict(Outcome.ALREADY_STOPPED, detail="The account was deleted.")
    return sentences.not_running("The account was deleted.")


def _pend(call: FleetCall, entry: Entry, pending: Pending) -> None:
    call.pending[entry.account_id] = pending
    entry.calls.append(call)


def _is_fresh(fleet: Fleet, entry: Entry) -> bool:
    """Whether the worker's last word still counts: its stream is up (a silent one is ended after three
    periods)."""
    worker = fleet.workers.get(entry.worker_id)
    return worker is not None and worker.attached


def _what_it_does(entry: Entry) -> str:
    if entry.phase in {Phase.QUEUED, Phase.STARTING}:
        return "The account is still starting."
    return "The account is being stopped." if entry.phase is Phase.STOPPING else "The account does not run."
