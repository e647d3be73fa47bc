"""Emptying a worker: its sessions are stopped cleanly and started elsewhere as soon as each is free; what
cannot be moved is listed, and stopped at the deadline (DESIGN section 5).
"""

from services.scheduler.domain import commands as c
from services.scheduler.domain import events as e
from services.scheduler.domain import placement, pursuit, sentences
from services.scheduler.domain.accounts import Entry, Phase
from services.scheduler.domain.fleet import Fleet
from services.scheduler.domain.model import Location, Verdict
from services.scheduler.domain.workers import Worker


def started(fleet: Fleet, event: e.DrainStarted) -> None:
    """A person drains a worker; drains that are repeated go on with the new deadline."""
    worker = fleet.workers.get(event.worker_id)
    if worker is None:
        return
    if not worker.draining:
        worker.drain_moved = 0
    worker.draining = worker.drain_known = True
    worker.drain_deadline = event.deadline
    fleet.workers.changed(worker)
    fleet.timers.set(event.deadline, "drain_deadline", worker.worker_id)
    if worker.attached:
        fleet.outbox.first(c.Drain(worker.worker_id, worker.attachment, drain=True))
        detail = f"Worker {worker.worker_id} is being drained."
        fleet.outbox.add(c.PublishWorker(worker.worker_id, "DRAINING", detail, fleet.wall))
    move_off(fleet, worker)
    progressed(fleet, worker)


def undone(fleet: Fleet, event: e.DrainUndone) -> None:
    """A person lets the worker take accounts again."""
    worker = fleet.workers.get(event.worker_id)
    if worker is None:
        return
    worker.draining, worker.drain_known = False, True
    worker.drain_deadline = None
    worker.room_freed = fleet.room_freed = True
    fleet.workers.changed(worker)
    fleet.outbox.drain_progressed(worker)
    if worker.attached:
        fleet.outbox.first(c.Drain(worker.worker_id, worker.attachment, drain=False))
        detail = f"Worker {worker.worker_id} takes accounts again."
        fleet.outbox.add(c.PublishWorker(worker.worker_id, "CONNECTED", detail, fleet.wall))
    pursuit.serve_parked(fleet, worker)


def move_off(fleet: Fleet, worker: Worker) -> None:
    """Stops what another worker can take. Called again whenever room became free elsewhere."""
    if not worker.attached:
        return
    moving = sum(entry.phase is Phase.STOPPING for entry in worker.entries.values())
    for entry in list(worker.entries.values()):
        if entry.phase is Phase.QUEUED:
            pursuit.release(fleet, entry)
            pursuit.pursue(fleet, entry)
        elif entry.active and placement.movable(fleet, entry, moving):
            pursuit.stop(fleet, entry)
            moving += 1


def deadline_due(fleet: Fleet, worker: Worker) -> None:
    """What is still there stops now, whether it can run elsewhere or not."""
    if not worker.draining or worker.drain_deadline is None or fleet.now < worker.drain_deadline:
        return
    worker.drain_deadline = None
    fleet.outbox.drain_progressed(worker)
    for entry in list(worker.entries.values()):
        if entry.active:
            pursuit.stop(fleet, entry)


def progressed(fleet: Fleet, worker: Worker) -> None:
    """Something left a worker that is being drained."""
    fleet.outbox.drain_progressed(worker)
    if not worker.entries and worker.drain_deadline is not None:
        worker.drain_deadline = None
        detail = f"Nothing is left on worker {worker.worker_id}."
        fleet.outbox.add(c.PublishWorker(worker.worker_id, "DRAINED", detail, fleet.wall))


def remaining(worker: Worker) -> list[tuple[Entry, Verdict]]:
    """What is still on the worker, each with why."""
    return [(entry, _why(entry, worker)) for entry in worker.entries.values()]


def _why(entry: Entry, worker: Worker) -> Verdict:
    if entry.phase is Phase.STOPPING:
        return sentences.drain_stopping(worker.worker_id)
    if entry.spec.home_worker or entry.spec.location is Location.WORKER_FILE:
        return sentences.drain_home(worker.worker_id)
    return sentences.drain_no_room(worker.worker_id)
