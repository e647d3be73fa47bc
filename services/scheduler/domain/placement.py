"""Which worker runs an account: its home worker if it has one; else the last one it ran on, so that its
address stays; else the least loaded with room (DESIGN section 4). Filters over workers can each say why they
refused.
"""

from collections import Counter
from collections.abc import Callable

from services.scheduler.domain import sentences
from services.scheduler.domain.accounts import Entry
from services.scheduler.domain.fleet import Fleet
from services.scheduler.domain.model import Location, Verdict
from services.scheduler.domain.workers import Worker

WorkerFilter = Callable[[Worker, Entry], str | None]


def _not_connected(worker: Worker, _entry: Entry) -> str | None:
    return None if worker.attached else "not connected"


def _draining(worker: Worker, _entry: Entry) -> str | None:
    return "being drained" if worker.draining else None


def _leaving(worker: Worker, _entry: Entry) -> str | None:
    return "shutting down" if worker.leaving else None


def _full(worker: Worker, _entry: Entry) -> str | None:
    return "full" if worker.room <= 0 else None


def _not_home(worker: Worker, entry: Entry) -> str | None:
    home = entry.spec.home_worker
    return "not its home worker" if home and home != worker.worker_id else None


FILTERS: tuple[WorkerFilter, ...] = (_not_home, _not_connected, _draining, _leaving, _full)


def refusal_of(worker: Worker, entry: Entry) -> str | None:
    """Why the worker cannot take the account, after its number as in "2 full"; None when it can."""
    for refuses in FILTERS:
        sentence = refuses(worker, entry)
        if sentence is not None:
            return sentence
    return None


def choose(fleet: Fleet, entry: Entry) -> Worker | Verdict:
    """The worker that takes the account, or why none does."""
    spec = entry.spec
    if spec.home_worker or spec.location is Location.WORKER_FILE:
        return _home(fleet, entry)
    last = fleet.workers.get(entry.last_worker or spec.last_worker)
    if last is not None and refusal_of(last, entry) is None:
        return last
    return fleet.workers.least_loaded() or _explain(fleet, entry)


def session_file(fleet: Fleet, entry: Entry) -> str:
    """The name of the account's file on its home worker; empty when its session is in the vault."""
    spec = entry.spec
    if spec.location is not Location.WORKER_FILE:
        return ""
    home = fleet.workers.get(spec.home_worker)
    if home is not None and spec.session_file in home.files:
        return spec.session_file
    return fleet.holders(spec).get(spec.home_worker, spec.session_file)


def movable(fleet: Fleet, entry: Entry, moving: int) -> bool:
    """Whether another worker could take the account, with `moving` others on the way already."""
    spec = entry.spec
    if spec.home_worker or spec.location is Location.WORKER_FILE:
        return False
    here = fleet.workers.get(entry.worker_id)
    return here is not None and fleet.workers.spare_room(here) > moving


def _home(fleet: Fleet, entry: Entry) -> Worker | Verdict:
    spec = entry.spec
    home = fleet.workers.get(spec.home_worker)
    if home is None or not home.attached or home.leaving:
        if not spec.home_worker:
            return sentences.missing(spec, fleet.holders(spec))
        others = {w: f for w, f in fleet.holders(spec).items() if w != spec.home_worker}
        return sentences.home_offline(spec.home_worker, others, spec)
    if spec.location is Location.WORKER_FILE:
        refused = _file_refusal(fleet, entry, home)
        if refused is not None:
            return refused
    if home.draining:
        return sentences.home_draining(home.worker_id)
    return sentences.home_full(home.worker_id, home.capacity) if home.room <= 0 else home


def _file_refusal(fleet: Fleet, entry: Entry, home: Worker) -> Verdict | None:
    file = home.files.get(session_file(fleet, entry))
    if file is None:
        holders = fleet.holders(entry.spec)
        return sentences.missing(entry.spec, holders)
    return sentences.file_problem(file.file_name, home.worker_id, file.problem) if file.problem else None


def _explain(fleet: Fleet, entry: Entry) -> Verdict:
    refusals = Counter(
        refusal for worker in fleet.workers if (refusal := refusal_of(worker, entry)) is not None
    )
    return sentences.no_capacity(refusals)
