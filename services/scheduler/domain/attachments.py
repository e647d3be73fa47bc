"""Workers that come, fall silent, go and are given up. A worker is lost when its stream is broken
and the same process has not come back within T, or when another process bears its name.
"""

from collections.abc import Sequence

from services.scheduler.domain import commands as c
from services.scheduler.domain import events as e
from services.scheduler.domain import fleetcalls, pursuit, reports, results, sentences
from services.scheduler.domain.accounts import Entry, Phase
from services.scheduler.domain.fleet import Fleet
from services.scheduler.domain.model import AnnouncedFile, KnownWorker
from services.scheduler.domain.workers import Presence, Worker


def remember(fleet: Fleet, known: list[KnownWorker]) -> None:
    """What earlier leaders knew, at the beginning of a term."""
    for row in known:
        worker = fleet.workers.ensure(row.worker_id)
        worker.incarnation = row.incarnation
        worker.capacity = row.capacity
        worker.seen_wall = row.last_seen
        worker.presence = Presence.LOST if row.lost else Presence.EXPECTED


def _is_name_taken(fleet: Fleet, worker_id: str, incarnation: str) -> bool:
    """Whether another live process bears the name: its stream is up and it is not silent."""
    worker = fleet.workers.get(worker_id)
    if worker is None or not worker.attached or worker.incarnation == incarnation:
        return False
    return fleet.now - worker.heard_at <= _silence(fleet)


def hello(fleet: Fleet, event: e.WorkerHello) -> None:
    """A worker attaches, for the first time or anew, with the full picture."""
    if _is_name_taken(fleet, event.worker_id, event.incarnation):
        detail = f"Another live process bears the name {event.worker_id}; give each worker a name of its own."
        fleet.outbox.first(c.CloseStream(event.worker_id, event.attachment, detail, name_taken=True))
        return
    worker = fleet.workers.ensure(event.worker_id)
    if worker.attached:
        detail = "The worker made another stream."
        fleet.outbox.first(c.CloseStream(worker.worker_id, worker.attachment, detail))
    if worker.incarnation != event.incarnation:
        if worker.presence is not Presence.LOST:
            _give_up(fleet, worker)
        _report_crash(fleet, worker)
    worker.suspects = []  # the same process is back: it was only out of reach
    _attach(fleet, worker, event)
    seen = set()
    for report in event.sessions:
        seen.add(report.account_id)
        reports.take(fleet, worker, report, hello=True)
    for entry in [entry for account_id, entry in worker.entries.items() if account_id not in seen]:
        reports.gone_from(fleet, entry, worker)
    for entry in list(worker.entries.values()):
        if entry.phase is Phase.UP:
            fleet.outbox.configure(worker, entry.account_id, entry.spec.config)
        fleetcalls.reconsider(fleet, entry)
    files_changed(fleet, worker, event.files)
    worker.room_freed = fleet.room_freed = True
    end_warm_up_if_all_came(fleet)


def heard(fleet: Fleet, worker: Worker) -> None:
    """Any message is a sign of life."""
    worker.heard_at = fleet.now
    worker.seen_wall = fleet.wall


def silence_due(fleet: Fleet, worker: Worker, attachment: int) -> None:
    """Looks whether an attached worker has been silent for three heartbeat periods."""
    if not worker.attached or worker.attachment != attachment:
        return
    quiet_until = worker.heard_at + _silence(fleet)
    if fleet.now < quiet_until:
        fleet.timers.set(quiet_until, "silence", worker.worker_id, attachment)
        return
    fleet.outbox.first(c.CloseStream(worker.worker_id, attachment, "The worker was silent for too long."))
    stream_lost(fleet, worker, attachment)


def stream_lost(fleet: Fleet, worker: Worker, attachment: int) -> None:
    """The stream is gone; the process may still run its sessions, so nothing of them is started elsewhere
    yet."""
    if not worker.attached or worker.attachment != attachment:
        return
    worker.presence = Presence.AWAY
    worker.away_since = fleet.now
    fleet.workers.changed(worker)
    fleet.timers.set(fleet.now + fleet.rules.lease_ttl, "give_up", worker.worker_id, attachment)
    _publish(fleet, worker, "OFFLINE", f"Worker {worker.worker_id} lost its connection to the scheduler.")
    for entry in [entry for entry in worker.entries.values() if entry.phase is Phase.QUEUED]:
        pursuit.release(fleet, entry)
        pursuit.pursue(fleet, entry)


def give_up_due(fleet: Fleet, worker: Worker, attachment: int) -> None:
    """The process did not come back within T."""
    if worker.presence is Presence.AWAY and worker.attachment == attachment:
        _give_up(fleet, worker)


def leaving_over(fleet: Fleet, worker: Worker, attachment: int) -> None:
    """A worker that seemed to shut down is still there."""
    if worker.attachment == attachment and worker.leaving:
        worker.leaving = False
        worker.room_freed = fleet.room_freed = True
        fleet.workers.changed(worker)
        pursuit.serve_parked(fleet, worker)


def files_changed(fleet: Fleet, worker: Worker, files: Sequence[AnnouncedFile]) -> None:
    """A worker's list of session files; accounts whose session is among them are looked at again."""
    keys = fleet.files.replace(worker, files)
    if keys:
        for entry in fleet.accounts:
            if entry.phase is Phase.IDLE and fleet.key_of(entry.spec) in keys and entry.wants_to_run():
                entry.resting = False
                pursuit.pursue(fleet, entry)
    pursuit.serve_parked(fleet, worker)


def begin_warm_up(fleet: Fleet) -> None:
    """A new leader places nothing until T has passed or all known workers have said hello (DESIGN section
    2)."""
    fleet.led_since = fleet.now
    if fleet.workers.expected():
        fleet.warm_until = fleet.now + fleet.rules.lease_ttl
        fleet.timers.set(fleet.warm_until, "warm", "")


def end_warm_up_if_all_came(fleet: Fleet) -> None:
    """Ends the warm-up early when nobody is missing."""
    if fleet.warming and not fleet.workers.expected():
        end_warm_up(fleet)


def end_warm_up(fleet: Fleet) -> None:
    """From now on this leader places. Whoever did not come is gone as far as it knows; leases protect what
    it cannot see."""
    if not fleet.warming:
        return
    fleet.warm_until = None
    for worker in fleet.workers.expected():
        worker.presence = Presence.LOST
        fleet.outbox.add(c.RememberWorker(worker.known()))
    for entry in fleet.accounts:
        fleetcalls.reconsider(fleet, entry)
        pursuit.pursue(fleet, entry)


def _attach(fleet: Fleet, worker: Worker, event: e.WorkerHello) -> None:
    worker.leaving = False
    if worker.incarnation != event.incarnation or not worker.drain_known:
        worker.draining, worker.drain_deadline = event.draining, None
    worker.drain_known = True
    worker.incarnation = event.incarnation
    worker.presence = Presence.ATTACHED
    worker.attachment = event.attachment
    worker.capacity = max(1, event.capacity)
    heard(fleet, worker)
    fleet.workers.changed(worker)
    fleet.timers.set(fleet.now + _silence(fleet), "silence", worker.worker_id, worker.attachment)
    users = _fleet_users(fleet)
    fleet.outbox.first(c.FleetUsers(worker.worker_id, worker.attachment, users))
    if worker.draining != event.draining:
        fleet.outbox.first(c.Drain(worker.worker_id, worker.attachment, drain=worker.draining))
    fleet.outbox.add(c.RememberWorker(worker.known()))
    state = "DRAINING" if worker.draining else "CONNECTED"
    _publish(fleet, worker, state, f"Worker {worker.worker_id} is connected.")


def _give_up(fleet: Fleet, worker: Worker) -> None:
    """The process is gone for good: what was on it starts elsewhere as soon as the leases allow."""
    was_expected = worker.presence is Presence.EXPECTED
    worker.presence = Presence.LOST
    fleet.workers.changed(worker)
    orphans = list(worker.entries.values())
    if orphans:
        _publish(fleet, worker, "OFFLINE", f"Worker {worker.worker_id} is gone with {len(orphans)} accounts.")
    worker.suspects = _young(fleet, orphans)
    fleet.timers.set(fleet.now + fleet.rules.lease_settle, "crash", worker.worker_id, worker.attachment)
    for entry in orphans:
        _orphaned(fleet, entry, worker)
    worker.drain_moved = 0
    if not was_expected:
        fleet.outbox.add(c.RememberWorker(worker.known()))


def _orphaned(fleet: Fleet, entry: Entry, worker: Worker) -> None:
    stopping = entry.phase is Phase.STOPPING
    verdict = sentences.worker_lost(
        worker.worker_id,
        starting=entry.phase is Phase.STARTING,
        retry=fleet.wall + fleet.rules.lease_settle,
    )
    pursuit.release(fleet, entry)
    entry.verdict = verdict
    if stopping or not entry.wants_to_run():
        results.not_stopped(fleet, entry, worker.worker_id)
    else:
        results.not_started(fleet, entry, verdict)
    fleetcalls.reconsider(fleet, entry)
    pursuit.afresh(fleet, entry)


def _young(fleet: Fleet, orphans: list[Entry]) -> list[str]:
    """Accounts that were starting, or had run for a short time only: one of them may have brought the worker
    down."""
    return [
        entry.account_id
        for entry in orphans
        if entry.active and fleet.now - entry.active_since < fleet.rules.crash_window
    ]


def crash_due(fleet: Fleet, worker: Worker, attachment: int) -> None:
    """The process has not come back until its leases are gone for certain: it crashed."""
    if worker.attachment == attachment:
        _report_crash(fleet, worker)


def _report_crash(fleet: Fleet, worker: Worker) -> None:
    suspects, worker.suspects = worker.suspects, []
    if suspects:
        fleet.outbox.add(c.ReportCrashes(worker.worker_id, worker.incarnation, suspects, fleet.wall))


def _silence(fleet: Fleet) -> float:
    return fleet.rules.silent_heartbeats * fleet.rules.heartbeat


def _fleet_users(fleet: Fleet) -> list[int]:
    return sorted({entry.spec.user_id for entry in fleet.accounts if entry.spec.user_id})


def broadcast_users(fleet: Fleet) -> None:
    """Tells all workers whom no account may answer."""
    fleet.user_ids_dirty = False
    users = _fleet_users(fleet)
    for worker in fleet.workers:
        if worker.attached:
            fleet.outbox.first(c.FleetUsers(worker.worker_id, worker.attachment, users))


def _publish(fleet: Fleet, worker: Worker, state: str, detail: str) -> None:
    fleet.outbox.add(c.PublishWorker(worker.worker_id, state, detail, fleet.wall))
