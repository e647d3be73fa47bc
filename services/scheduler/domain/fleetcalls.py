"""The four fleet calls from their arrival to their last result: slices large ones, has each account decided
(`deciding`), has wishes recorded, and then leaves it to `pursuit`. Results are handed out by `results`.
"""

from services.scheduler.domain import commands as c
from services.scheduler.domain import deciding, results, sentences
from services.scheduler.domain import events as e
from services.scheduler.domain.accounts import Entry
from services.scheduler.domain.calls import FleetCall, Stage, call_key
from services.scheduler.domain.fleet import Fleet, SavingBatch
from services.scheduler.domain.model import CallKind

_MOMENT = 1e-6  # seconds: later than now, but before anything else
_HEAD_START = 0.025
"""Seconds that the first slice of a large call has the registry to itself once its wish is recorded: what its
workers need to acquire the sessions."""
_PATIENCE = 0.2
"""Seconds after which the call goes on although that wish is not recorded yet."""

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
        _decide_some(fleet, call, fleet.rules.first_slice, pause=_PATIENCE)
    _extend(fleet, call, event)
    results.finish_if_done(fleet, call)


def go_on(fleet: Fleet, call: FleetCall) -> None:
    """The next slice of a large call."""
    _decide_some(fleet, call, fleet.rules.next_slices, pause=_MOMENT)
    results.finish_if_done(fleet, call)


def wanted_saved(fleet: Fleet, event: e.WantedSaved) -> None:
    """The registry recorded a wish: the overlay on what the watch said holds until the watch has caught
    up."""
    batch = fleet.saving.pop(event.batch, None)
    if batch is None:
        return
    if batch.call.backlog:
        fleet.timers.set(fleet.now + _HEAD_START, "call_more", batch.call.key)
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
                results.give(fleet, batch.call, entry, deciding.left_alone(fleet, entry))
        if batch.running is False:
            results.wish_ended(fleet, entry, sentences.taken_back())
        deciding.act(fleet, batch.call, entry)


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
            saves = deciding.decide(fleet, call, entry)
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


def _decide_some(fleet: Fleet, call: FleetCall, limit: int, *, pause: float) -> None:
    """Decides a slice of the accounts; the rest after a pause, so that the first results need not wait for
    the last."""
    saves = []
    call.deciding = True
    for _ in range(min(limit, len(call.backlog))):
        account_id = call.backlog.popleft()
        entry = fleet.accounts.get(account_id)
        if entry is None:
            results.give_unknown(fleet, call, account_id, "", deciding.gone(call.kind))
        elif deciding.decide(fleet, call, entry):
            saves.append(entry)
    call.deciding = False
    if saves:
        _save(fleet, call, saves)
    if call.backlog:
        fleet.timers.set(fleet.now + (pause if saves else _MOMENT), "call_more", call.key)


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
