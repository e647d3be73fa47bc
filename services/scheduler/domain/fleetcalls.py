"""The four fleet calls: decides for each selected account what the call means for it now, records the wish
where there is one, and then leaves it to `pursuit`. Results are handed out by `results`.
"""

from services.scheduler.domain import commands as c
from services.scheduler.domain import events as e
from services.scheduler.domain import obstacles, pursuit, results, sentences
from services.scheduler.domain.accounts import Entry, Phase
from services.scheduler.domain.calls import FleetCall, Pending, Stage, call_key
from services.scheduler.domain.fleet import Fleet, SavingBatch
from services.scheduler.domain.model import CallKind, Outcome, SessionState, Verdict

_MOMENT = 1e-6  # seconds: later than now, but before anything else

# What each call wishes: (running, chatting).
_WISHES: dict[CallKind, tuple[bool | None, bool | None]] = {
    CallKind.START_ALL: (True, None),
    CallKind.STOP_ALL: (False, None),
    CallKind.START_CHAT: (None, True),
    CallKind.STOP_CHAT: (None, False),
}


def call_started(fleet: Fleet, event: e.CallStarted) -> None:
    """A call arrives, or somebody joins one."""
    key = call_key(event.kind, event.request_id)
    call = fleet.calls.get(key)
    if call is None:
        began = min(event.began or fleet.now, fleet.now)
        call = FleetCall(key, event.request_id, event.kind, began, event.deadline, fleet.now + event.wait_for)
        fleet.calls[key] = call
    elif not event.explicit:
        _extend(fleet, call, event)
        return
    new = [account_id for account_id in dict.fromkeys(event.account_ids) if not call.knows(account_id)]
    if new:
        call.finished = None
        call.selected.extend(new)
        call.chosen.update(new)
        call.backlog.extend(new)
        _decide_some(fleet, call, fleet.rules.first_slice)
    _extend(fleet, call, event)
    results.finish_if_done(fleet, call)


def go_on(fleet: Fleet, call: FleetCall) -> None:
    """The next slice of a large call."""
    _decide_some(fleet, call, fleet.rules.next_slices)
    results.finish_if_done(fleet, call)


def wanted_saved(fleet: Fleet, event: e.WantedSaved) -> None:
    """The registry recorded a wish: the overlay on what the watch said holds until the watch has caught
    up."""
    batch = fleet.saving.pop(event.batch, None)
    if batch is None:
        return
    for account_id in batch.account_ids:
        entry = fleet.accounts.get(account_id)
        if entry is None:
            continue
        entry.saves -= 1
        if account_id in event.accepted or batch.running is False:
            _apply_wish(entry, batch, event.revision)
        pending = batch.call.pending.get(account_id)
        if pending is not None and pending.stage is Stage.SAVING:
            pending.stage = Stage.ACTING
            if account_id not in event.accepted and batch.running is not False:
                results.give(fleet, batch.call, entry, _left_alone(fleet, entry))
        if batch.running is False:
            results.wish_ended(fleet, entry, sentences.taken_back())
        _act(fleet, batch.call, entry)


def wanted_failed(fleet: Fleet, event: e.WantedFailed) -> None:
    """The registry refused for good."""
    batch = fleet.saving.pop(event.batch, None)
    for account_id in batch.account_ids if batch else ():
        entry = fleet.accounts.get(account_id)
        if entry is None or batch is None:
            continue
        entry.saves -= 1
        if account_id in batch.call.pending:
            results.give(fleet, batch.call, entry, sentences.not_recorded(event.detail))


def reconsider(fleet: Fleet, entry: Entry) -> None:
    """What runs is known now, where it was not when a call came."""
    for call in list(entry.calls):
        if call.pending[entry.account_id].stage is Stage.UNDECIDED:
            entry.calls.remove(call)
            del call.pending[entry.account_id]
            call.deciding = True
            saves = _decide(fleet, call, entry)
            call.deciding = False
            if saves:
                _save(fleet, call, [entry])
            results.finish_if_done(fleet, call)


def deadline_due(fleet: Fleet, call: FleetCall) -> None:
    """The call's time may be up; somebody who joined may have prolonged it."""
    if call.finished is not None:
        return
    if fleet.now < call.deadline:
        fleet.timers.set(call.deadline, "call_deadline", call.key)
    else:
        results.out_of_time(fleet, call)


def forget(fleet: Fleet, call: FleetCall) -> None:
    """A finished call was kept for long enough."""
    if call.finished is not None and fleet.now >= call.finished + fleet.rules.keep_finished_calls:
        del fleet.calls[call.key]


def _extend(fleet: Fleet, call: FleetCall, event: e.CallStarted) -> None:
    call.deadline = max(call.deadline, event.deadline)
    call.wait_until = max(call.wait_until, fleet.now + event.wait_for)
    fleet.timers.set(call.deadline, "call_deadline", call.key)
    if event.wait_for > 0:
        fleet.timers.set(call.wait_until, "call_waited", call.key)
    fleet.outbox.progressed(call)


def _decide_some(fleet: Fleet, call: FleetCall, limit: int) -> None:
    """Decides a slice of the accounts; the rest a moment later, so that the first results need not wait for
    the last."""
    saves = []
    call.deciding = True
    for _ in range(min(limit, len(call.backlog))):
        account_id = call.backlog.popleft()
        entry = fleet.accounts.get(account_id)
        if entry is None:
            results.give_unknown(fleet, call, account_id, "", gone(call.kind))
        elif _decide(fleet, call, entry):
            saves.append(entry)
    call.deciding = False
    if saves:
        _save(fleet, call, saves)
    if call.backlog:
        fleet.timers.set(fleet.now + _MOMENT, "call_more", call.key)


def _decide(fleet: Fleet, call: FleetCall, entry: Entry) -> bool:
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
    if seen_running and wish_stands and _is_fresh(fleet, entry):
        outcome = Outcome.STARTED if entry.came_up > call.started else Outcome.ALREADY_RUNNING
        results.give(fleet, call, entry, Verdict(outcome, worker_id=entry.worker_id))
        return False
    stage = Stage.ACTING if wish_stands else Stage.SAVING
    _pend(call, entry, Pending(stage, was_running=seen_running))
    if wish_stands:
        _act(fleet, call, entry)
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
            results.give(fleet, call, entry, results.nothing_runs(call, entry))
        return False
    _pend(call, entry, Pending(Stage.ACTING if wish_stands else Stage.SAVING))
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
        _act(fleet, call, entry)
    return not wish_stands


def _chat_stands(call: FleetCall, entry: Entry) -> Outcome:
    """Chat handling is as the call wants it; whether it came to that during the call."""
    during = entry.chat_switched > call.started
    if call.kind is CallKind.START_CHAT:
        return Outcome.CHAT_STARTED if during else Outcome.ALREADY_CHATTING
    return Outcome.CHAT_STOPPED if during else Outcome.NOT_CHATTING


def _act(fleet: Fleet, call: FleetCall, entry: Entry) -> None:
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


def _save(fleet: Fleet, call: FleetCall, entries: list[Entry]) -> None:
    running, chatting = _WISHES[call.kind]
    ids = [entry.account_id for entry in entries]
    for entry in entries:
        entry.saves += 1
    fleet.saving[fleet.next_batch] = SavingBatch(call, ids, running, chatting)
    fleet.outbox.add(c.SetWanted(fleet.next_batch, ids, running, chatting))
    fleet.next_batch += 1


def _apply_wish(entry: Entry, batch: SavingBatch, revision: int) -> None:
    if batch.running is not None:
        entry.spec.wanted_running = batch.running
    if batch.chatting is not None:
        entry.spec.wanted_chatting = batch.chatting
    entry.wanted_revision = max(entry.wanted_revision, revision)


def _left_alone(fleet: Fleet, entry: Entry) -> Verdict:
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
