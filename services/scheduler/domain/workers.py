"""The workers: who is connected, with how much room, and which accounts are on whom. Picks the least loaded
in O(log n)."""

import heapq
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum

from services.scheduler.domain.accounts import Entry
from services.scheduler.domain.model import AnnouncedFile, KnownWorker


class Presence(Enum):
    """How a worker stands to this leader."""

    EXPECTED = "expected"  # an earlier leader knew it; not heard of yet
    ATTACHED = "attached"  # its stream is up
    AWAY = "away"  # its stream broke less than T ago; the process may come back
    LOST = "lost"  # given up: its leases have run out, or another process bears its name


@dataclass(slots=True, eq=False)
class Worker:
    """One worker. `attachment` numbers its present stream; 0 when there is none."""

    worker_id: str
    incarnation: str = ""
    presence: Presence = Presence.EXPECTED
    attachment: int = 0
    capacity: int = 0
    draining: bool = False
    drain_known: bool = False  # this leader has heard or said of this process whether it drains
    leaving: bool = False  # it stops sessions that nobody told it to stop: it is shutting down
    files: dict[str, AnnouncedFile] = field(default_factory=dict)
    entries: dict[str, Entry] = field(default_factory=dict)
    room_waiters: OrderedDict[str, None] = field(default_factory=OrderedDict)  # that only this worker may run
    room_freed: bool = False
    heard_at: float = 0.0  # by `now`
    seen_wall: float = 0.0  # the same as time of day
    away_since: float = 0.0
    suspects: list[str] = field(default_factory=list)  # accounts that were there when it was given up
    drain_deadline: float | None = None
    drain_moved: int = 0
    version: int = 0

    @property
    def attached(self) -> bool:
        """Whether commands reach it."""
        return self.presence is Presence.ATTACHED

    @property
    def takes_new(self) -> bool:
        """Whether sessions may be placed on it, room aside."""
        return self.attached and not self.draining and not self.leaving

    @property
    def room(self) -> int:
        """How many more sessions it can take."""
        return self.capacity - len(self.entries)

    def known(self) -> KnownWorker:
        """What the next leader has to know."""
        lost = self.presence is Presence.LOST
        return KnownWorker(self.worker_id, self.incarnation, self.capacity, self.seen_wall, lost)


class Workers:
    """All workers that are or were connected."""

    def __init__(self) -> None:
        self._by_id: dict[str, Worker] = {}
        self._heap: list[tuple[float, str, int]] = []

    def __iter__(self) -> Iterator[Worker]:
        return iter(self._by_id.values())

    def get(self, worker_id: str) -> Worker | None:
        """By name."""
        return self._by_id.get(worker_id)

    def ensure(self, worker_id: str) -> Worker:
        """By name; a new one is made when it is not known."""
        worker = self._by_id.get(worker_id)
        if worker is None:
            worker = self._by_id[worker_id] = Worker(worker_id)
        return worker

    def expected(self) -> list[Worker]:
        """Those that an earlier leader knew and that have not been heard of."""
        return [worker for worker in self if worker.presence is Presence.EXPECTED]

    def assign(self, worker: Worker, entry: Entry) -> None:
        """Counts the account on the worker; takes it off the one it was on."""
        if entry.worker_id and entry.worker_id != worker.worker_id:
            self.unassign(entry)
        entry.worker_id = worker.worker_id
        worker.entries[entry.account_id] = entry
        self.changed(worker)

    def unassign(self, entry: Entry) -> Worker | None:
        """Takes the account off its worker; gives the worker."""
        worker = self._by_id.get(entry.worker_id)
        entry.worker_id = ""
        if worker is not None and worker.entries.pop(entry.account_id, None) is not None:
            self.changed(worker)
        return worker

    def changed(self, worker: Worker) -> None:
        """To be called when a worker's room or standing changed."""
        worker.version += 1
        if not worker.takes_new or worker.room <= 0:
            return
        heapq.heappush(self._heap, self._key(worker))
        if len(self._heap) > 64 + 8 * len(self._by_id):
            self._heap = [self._key(w) for w in self if w.takes_new and w.room > 0]
            heapq.heapify(self._heap)

    def least_loaded(self) -> Worker | None:
        """The connected worker with room that is used to the smallest part; None when there is none."""
        while self._heap:
            _, worker_id, version = self._heap[0]
            worker = self._by_id.get(worker_id)
            if worker is not None and worker.version == version:
                return worker
            heapq.heappop(self._heap)
        return None

    def spare_room(self, without: Worker) -> int:
        """How many sessions all other eligible workers can still take."""
        return sum(w.room for w in self if w is not without and w.takes_new and w.room > 0)

    @staticmethod
    def _key(worker: Worker) -> tuple[float, str, int]:
        return (len(worker.entries) / worker.capacity, worker.worker_id, worker.version)


class Files:
    """Which workers announced which auth key."""

    def __init__(self) -> None:
        self._holders: dict[str, dict[str, str]] = {}

    def holders(self, auth_key_id: str) -> dict[str, str]:
        """File name by worker; empty for an unknown or empty key. Do not change it."""
        return self._holders.get(auth_key_id, {}) if auth_key_id else {}

    def replace(self, worker: Worker, files: Sequence[AnnouncedFile]) -> set[str]:
        """Takes a worker's full list; gives the keys for which something changed."""
        before = {file.auth_key_id: file.file_name for file in worker.files.values() if file.auth_key_id}
        after = {file.auth_key_id: file.file_name for file in files if file.auth_key_id}
        worker.files = {file.file_name: file for file in files}
        changed = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
        for key in changed:
            holders = self._holders.setdefault(key, {})
            if key in after:
                holders[worker.worker_id] = after[key]
            else:
                holders.pop(worker.worker_id, None)
                if not holders:
                    del self._holders[key]
        return changed
