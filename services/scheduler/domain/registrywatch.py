"""Takes in what the registry says of accounts. A wish that this scheduler itself has recorded outranks older
words."""

from services.scheduler.domain import attachments, deciding, pursuit, results, sentences
from services.scheduler.domain import events as e
from services.scheduler.domain.accounts import Entry, Phase
from services.scheduler.domain.fleet import Fleet
from services.scheduler.domain.model import AccountSpec, Verdict


def snapshot(fleet: Fleet, event: e.AccountsSnapshot) -> None:
    """All accounts: at the beginning of a term, or after the watch was lost."""
    present = {spec.account_id for spec in event.accounts}
    fleet.accounts.complete = True
    fleet.accounts.revision = max(fleet.accounts.revision, event.revision)
    fleet.starts_stopped = event.starts_stopped
    for gone in [entry.account_id for entry in fleet.accounts if entry.account_id not in present]:
        _deleted(fleet, gone)
    for spec in event.accounts:
        _changed(fleet, spec, event.revision)


def changed(fleet: Fleet, event: e.AccountsChanged) -> None:
    """Changes, oldest first."""
    fleet.accounts.revision = max(fleet.accounts.revision, event.revision)
    for spec in event.accounts:
        _changed(fleet, spec, event.revision)
    for wishes in event.wishes:
        for account_id in wishes.account_ids:
            _wished(fleet, account_id, wishes, event.revision)
    for account_id in event.deleted:
        _deleted(fleet, account_id)
    if event.starts_stopped is not None and event.starts_stopped != fleet.starts_stopped:
        fleet.starts_stopped = event.starts_stopped
        if not event.starts_stopped:
            for entry in fleet.accounts:
                pursuit.pursue(fleet, entry)


def _changed(fleet: Fleet, spec: AccountSpec, revision: int) -> None:
    entry, before = fleet.accounts.put(spec)
    if before is None:
        _note_user(fleet, 0, spec.user_id)
        pursuit.pursue(fleet, entry)
        return
    if revision < entry.wanted_revision:
        spec.wanted_running, spec.wanted_chatting = before.wanted_running, before.wanted_chatting
    _note_user(fleet, before.user_id, spec.user_id)
    if spec.config != before.config:
        _configure(fleet, entry)
    if not entry.wants_to_run() and before.wanted_running and before.enabled:
        results.wish_ended(fleet, entry, _why_ended(entry))
    if (
        spec.start_identity() != before.start_identity()
        or (spec.wanted_running and not before.wanted_running)
        or (spec.floods != before.floods and entry.next_try is not None and not spec.floods)
    ):
        pursuit.afresh(fleet, entry)
    else:
        pursuit.pursue(fleet, entry)


def _wished(fleet: Fleet, account_id: str, wishes: e.Wishes, revision: int) -> None:
    """As `_changed` for a spec that differs in its wishes alone. Mostly the echo of a wish that this
    scheduler recorded itself, for the whole fleet at once."""
    entry = fleet.accounts.get(account_id)
    if entry is None:
        return
    spec, wanted_before = entry.spec, entry.spec.wanted_running
    if revision >= entry.wanted_revision:
        spec.wanted_running, spec.wanted_chatting = wishes.running, wishes.chatting
    entry.touched.add(entry)
    if wanted_before and spec.enabled and not entry.wants_to_run():
        results.wish_ended(fleet, entry, _why_ended(entry))
    if spec.wanted_running and not wanted_before:
        pursuit.afresh(fleet, entry)
    else:
        pursuit.pursue(fleet, entry)


def _deleted(fleet: Fleet, account_id: str) -> None:
    entry = fleet.accounts.remove(account_id)
    if entry is None:
        return
    _note_user(fleet, entry.spec.user_id, 0)
    for call in list(entry.calls):
        results.give(fleet, call, entry, deciding.gone(call.kind))
    if entry.active:
        worker = fleet.workers.get(entry.worker_id)
        if worker is not None and worker.attached:
            fleet.outbox.stop(worker, account_id)
    if entry.phase is not Phase.IDLE:
        pursuit.release(fleet, entry)


def _why_ended(entry: Entry) -> Verdict:
    return sentences.taken_back() if entry.spec.enabled else sentences.disabled(entry.spec)


def _configure(fleet: Fleet, entry: Entry) -> None:
    worker = fleet.workers.get(entry.worker_id)
    if entry.active and worker is not None and worker.attached:
        fleet.outbox.configure(worker, entry.account_id, entry.spec.config)


def _note_user(fleet: Fleet, before: int, after: int) -> None:
    """Workers are told of the fleet's users a moment later, once for many changes."""
    if before != after and not fleet.user_ids_dirty:
        fleet.user_ids_dirty = True
        fleet.timers.set(fleet.now + fleet.rules.fleet_users_delay, "users", "")


def users_due(fleet: Fleet) -> None:
    """The moment came."""
    if fleet.user_ids_dirty:
        attachments.broadcast_users(fleet)
