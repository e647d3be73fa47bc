"""What the simulated services stand on: etcd (the in-memory lease store and the leader's key), and the
database that registries and schedulers share. Each is a process that can be frozen, killed, emptied or
set back.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

from services.registry.adapters.memory_leases import InMemoryLeaseStore
from services.registry.domain.leasing import Generation, StoreView
from services.runtime.errors import Aborted
from services.scheduler.domain.model import AccountSpec, KnownWorker
from tests.simulation.judge import Judge
from tests.simulation.network import Network, Process

_LIMIT = 2.0


def at_once(work: Coroutine[Any, Any, Any]) -> Any:
    """The result of a coroutine that never waits."""
    try:
        work.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("it waited")


@dataclass
class Ballot:
    """The leader's key in etcd."""

    holder: str = ""
    revision: int = 0
    expires: float = 0.0


class Etcd:
    """The service of the etcd process. Its state outlives the process."""

    def __init__(self, store: InMemoryLeaseStore, clock: Any) -> None:
        self.store = store
        self.clock = clock
        self.ballot = Ballot()
        self._snapshots: list[tuple[object, Ballot]] = []

    def view(self) -> Any:
        return at_once(self.store.view())

    def set_mirror(self, *args: Any) -> Any:
        return at_once(self.store.set_mirror(*args))

    def acquire(self, *args: Any) -> Any:
        return at_once(self.store.acquire(*args))

    def renew(self, *args: Any) -> Any:
        return at_once(self.store.renew(*args))

    def release(self, *args: Any) -> Any:
        return at_once(self.store.release(*args))

    def campaign(self, holder: str, ttl: float) -> int:
        """The revision of the leader's key if it is this candidate's now; else 0."""
        now = self.clock.monotonic()
        if self.ballot.holder and now < self.ballot.expires:
            return 0
        self.ballot = Ballot(holder, self.ballot.revision + 1, now + ttl)
        return self.ballot.revision

    def keep(self, holder: str, revision: int, ttl: float) -> bool:
        """Whether the candidate still leads; if so, its time begins anew."""
        now = self.clock.monotonic()
        held = (self.ballot.holder, self.ballot.revision) == (holder, revision) and now < self.ballot.expires
        if held:
            self.ballot.expires = now + ttl
        return held

    def snapshot(self) -> None:
        self._snapshots.append((self.store.snapshot(), replace(self.ballot)))

    def wipe(self) -> None:
        """It comes back with an empty folder, as another cluster."""
        self.store.wipe()
        self.store.cluster_id += 1
        self.ballot = Ballot()

    def restore(self, index: int) -> None:
        """It is set back to an older snapshot; leases begin anew."""
        if self._snapshots:
            state, ballot = self._snapshots[index % len(self._snapshots)]
            self.store.restore(state)
            self.ballot = replace(ballot, expires=self.clock.monotonic() + 3.0)


class Database:
    """The service of the database process: the registry's and the scheduler's rows. The registry's may be set
    back."""

    def __init__(self, judge: Judge, clock: Any, specs: list[AccountSpec]) -> None:
        self.judge = judge
        self.clock = clock
        self.row: Generation | None = None
        self._rows: list[Generation] = []
        self.used = False
        self.term = 0
        self.workers: dict[str, KnownWorker] = {}
        self.specs = {spec.account_id: spec for spec in specs}
        self.revision = 1
        self.changed: dict[str, int] = dict.fromkeys(self.specs, 1)

    # The registry's part, as in ports.Write.

    def generation(self) -> Generation | None:
        return self.row

    def any_account(self) -> bool:
        return self.used

    def open_generation(self, expected: int | None, generation: Generation) -> bool:
        if (self.row.number if self.row else None) != expected:
            return False
        self.row = generation
        self.used = True
        return True

    def confirm_mirror(self, number: int, view: StoreView, now: datetime) -> bool:
        if self.row is None or self.row.number != number or self.row.mirrored:
            return False
        seen = {"cluster_id": view.cluster_id, "high_water": view.mark}
        self.row = replace(self.row, mirrored=True, opened_at=now, **seen)
        return True

    def raise_high_water(self, number: int, revision: int) -> bool:
        if self.row is None or self.row.number != number:
            return False
        self.row = replace(self.row, high_water=max(self.row.high_water, revision))
        return True

    def snapshot(self) -> None:
        if self.row is not None:
            self._rows.append(self.row)

    def restore(self, index: int) -> None:
        """Set back to an older generation, and marked as docs/operations-keys.md says."""
        if self._rows:
            old = self._rows[index % len(self._rows)]
            number = max(old.number, int(1_000_000 + 1_000 * self.clock.monotonic()))
            self.row = replace(old, number=number, cluster_id=0, mirrored=True, waits=True)

    # The scheduler's part.

    def begin_term(self) -> int:
        self.term += 1
        self.judge.committed(self.clock.monotonic(), self.term)
        return self.term

    def known_workers(self) -> list[KnownWorker]:
        return list(self.workers.values())

    def remember(self, term: int, worker: KnownWorker) -> bool:
        if self.is_old(term):
            raise Aborted("a newer term has begun", reason="TERM_LOST")
        self.judge.committed(self.clock.monotonic(), term)
        self.workers[worker.worker_id] = worker
        return True

    def is_old(self, term: int) -> bool:
        return term < self.term

    # The accounts.

    def want(self, account_id: str, *, running: bool) -> None:
        self.revision += 1
        self.changed[account_id] = self.revision
        self.specs[account_id] = replace(self.specs[account_id], wanted_running=running)

    def changes(self, after: int) -> tuple[list[AccountSpec], int]:
        specs = [replace(self.specs[i]) for i, revision in self.changed.items() if revision > after]
        return specs, self.revision


class EtcdLink:
    """ports.LeaseStore over the network."""

    def __init__(self, net: Network, process: Process) -> None:
        self._net = net
        self._process = process

    async def _call(self, method: str, *args: Any) -> Any:
        return await self._net.call(self._process, "etcd", method, *args, limit=_LIMIT)

    async def view(self) -> Any:
        return await self._call("view")

    async def set_mirror(self, number: int, seen: int | None, wait: timedelta) -> Any:
        return await self._call("set_mirror", number, seen, wait)

    async def acquire(self, *args: Any) -> Any:
        return await self._call("acquire", *args)

    async def renew(self, *args: Any) -> Any:
        return await self._call("renew", *args)

    async def release(self, *args: Any) -> Any:
        return await self._call("release", *args)


class DatabaseLink:
    """The part of ports.Store that leases need, over the network."""

    def __init__(self, net: Network, process: Process) -> None:
        self._net = net
        self._process = process

    @asynccontextmanager
    async def read(self) -> AsyncIterator[DatabaseLink]:
        yield self

    write = read

    async def _call(self, method: str, *args: Any) -> Any:
        return await self._net.call(self._process, "db", method, *args, limit=_LIMIT)

    async def generation(self) -> Any:
        return await self._call("generation")

    async def any_account(self) -> Any:
        return await self._call("any_account")

    async def open_generation(self, *args: Any) -> Any:
        return await self._call("open_generation", *args)

    async def confirm_mirror(self, *args: Any) -> Any:
        return await self._call("confirm_mirror", *args)

    async def raise_high_water(self, *args: Any) -> Any:
        return await self._call("raise_high_water", *args)

    async def accounts(self, _refs: Any) -> dict[str, Any]:
        return {}


class AllMayRun:
    """Stands for handlers.candidates: every account may run, under a key of its own."""

    async def look(self, _worker_id: str, items: Any, _now: Any) -> list[Any]:
        from services.registry.handlers.candidates import Candidate  # noqa: PLC0415

        return [
            Candidate(
                SimpleNamespace(account_id=i.account_id, settle=None), key_of(i.account_id), None, "", ()
            )  # type: ignore[arg-type]
            for i in items
        ]


def key_of(account_id: str) -> str:
    """The auth key id of an account: 16 hex digits."""
    return account_id.removeprefix("acc_").rjust(16, "0")
