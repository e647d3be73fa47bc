"""A simulated worker process: the shipped lease bookkeeping, fence, terms, outbox and stream; only
sessions are stand-ins.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from services.registry.domain.leasing import Owner
from services.runtime.clock import FenceClock, Mark
from services.runtime.errors import TgfleetError, Unavailable
from services.worker.acquirer import Acquirer
from services.worker.domain.orders import Order, StartOne
from services.worker.domain.picture import Picture, SessionReport
from services.worker.domain.states import SessionState
from services.worker.fleet import Fleet
from services.worker.leases import LeaseKeeper
from services.worker.outbox import Outbox
from services.worker.ports import Acquired, Grant, Held, NewLease, Release, Wanted
from services.worker.releaser import Releaser
from services.worker.stream import StreamKeeper
from services.worker.transfers.desk import TransferDesk
from tests.simulation.network import Network, Pipe, Process
from tests.simulation.session import SimSession

if TYPE_CHECKING:
    from tests.simulation.play import Play

_ATTACH_LIMIT = 2.0
_PATIENCE = 4.0


class InOrder(dict[Any, None]):
    """A set that remembers the order, so that a history does not depend on where objects lie in memory."""

    def add(self, item: Any) -> None:
        self[item] = None

    def discard(self, item: Any) -> None:
        self.pop(item, None)


class Keeper(LeaseKeeper):
    """The shipped bookkeeping, in a repeatable order."""

    def adopt(self, new: NewLease, sent: Mark) -> None:
        super().adopt(new, sent)
        lease = self._leases[new.lease_id]
        if not isinstance(lease.gates, InOrder):
            lease.gates = InOrder()  # type: ignore[assignment]


class RegistryLink:
    """ports.Registry: asks one registry after the other."""

    def __init__(self, net: Network, process: Process, names: Sequence[str], first: int) -> None:
        self._net = net
        self._process = process
        self._names = names
        self._next = first
        self._owner = Owner(process.name, process.incarnation)

    async def _ask(self, method: str, *args: Any, limit: float) -> Any:
        name = self._names[self._next % len(self._names)]
        try:
            return await self._net.call(self._process, name, method, self._owner, *args, limit=limit)
        except TgfleetError:
            self._next += 1
            raise

    async def acquire(
        self, request_id: str, wanted: Sequence[Wanted], held: Sequence[Held], limit: float
    ) -> Acquired:
        answer: Acquired = await self._ask("acquire", request_id, wanted, held, limit=min(limit, 3.0))
        return answer

    async def renew(self, lease_ids: Sequence[int], limit: float) -> dict[int, bool]:
        answer: dict[int, bool] = await self._ask("renew", lease_ids, limit=limit)
        return answer

    async def release(self, releases: Sequence[Release], limit: float) -> list[bool]:
        answer: list[bool] = await self._ask("release", releases, limit=min(limit, 3.0))
        return answer

    async def report_facts(self, facts: Any, limit: float) -> None:
        pass


@dataclass(eq=False)
class Stream:
    """A stream between a worker and a scheduler, as both ends hold it."""

    worker: Process
    up: Pipe
    down: Pipe
    orders: asyncio.Queue[Order | None] = field(default_factory=asyncio.Queue)
    attachment: int = 0
    tell: Callable[[Any], None] = lambda _event: None
    """How the scheduler's end takes a message in."""
    over: bool = False


class Attached:
    """ports.Attachment."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    async def orders(self) -> AsyncIterator[Order]:
        while (order := await self._stream.orders.get()) is not None:
            yield order

    async def heartbeat(self, sequence: int, sessions: int) -> None:
        self._send(("heartbeat", None))

    async def send_reports(self, reports: Sequence[SessionReport]) -> None:
        self._send(("reports", list(reports)))

    async def send_happenings(self, _happenings: Any) -> None:
        pass

    async def send_files(self, _files: Any) -> None:
        pass

    def _send(self, message: tuple[str, Any]) -> None:
        if self._stream.over:
            raise Unavailable("The stream is broken.", reason="BROKEN")
        self._stream.up.send(self._stream.tell, message)


class NoCatalog:
    """No session files."""

    current = ()

    def on_change(self, _callback: Any) -> None:
        pass

    async def refresh(self) -> None:
        pass


class SimFleet(Fleet):
    """The shipped fleet over simulated sessions, watched by the judge."""

    def __init__(self, worker: WorkerProcess) -> None:
        tools = SimpleNamespace(catalog=NoCatalog(), clock=worker.loop, outbox=worker.outbox)
        tools.transfers = TransferDesk()
        tools.fleet_ids = SimpleNamespace(user_ids=frozenset())
        super().__init__(tools, 10, worker.loop)  # type: ignore[arg-type]
        self.transfers: TransferDesk = tools.transfers
        self._terms = worker.play.bug.terms()
        self._worker = worker

    def handle(self, order: Order) -> bool:
        self._worker.highest_term = max(self._worker.highest_term, order.term)
        obeyed = super().handle(order)
        play = self._worker.play
        play.judge.ordered(play.world.now, self._worker.process.incarnation, order.term, obeyed=obeyed)
        return obeyed

    def _launch(self, order: StartOne, command_id: str) -> None:
        session: Any = SimSession(order, command_id, self._worker)
        self._sessions[order.account_id] = session
        self._idle.clear()
        self._tasks.spawn(self._run(session), name=order.account_id)


class WorkerProcess:
    """Wires one life of a worker, as its `__main__` does."""

    def __init__(self, play: Play, process: Process, rng: random.Random) -> None:
        self.play = play
        self.process = process
        self.loop = process.loop
        self.rng = rng
        self.highest_term = 0
        self._next = rng.randrange(8)
        loop, registry = self.loop, RegistryLink(play.net, process, play.registries, rng.randrange(8))
        self.keeper = play.bug.keeper(registry, FenceClock(loop))
        self.releaser = Releaser(registry, self.keeper, loop, rng)
        self.acquirer = Acquirer(registry, self.keeper, self.releaser, loop, patience=_PATIENCE, rng=rng)
        self.outbox = Outbox(loop.monotonic)
        self.fleet = SimFleet(self)
        catalog, transfers = NoCatalog(), self.fleet.transfers
        streams = StreamKeeper(self, self.fleet, self.outbox, catalog, transfers=transfers, rng=rng)  # type: ignore[arg-type]
        for one in (self.keeper, self.releaser, self.acquirer, streams):
            loop.spawn(one.run())

    @property
    def telegram_answers(self) -> bool:
        return self.play.net.reaches(self.process.name, "telegram")

    def wall_in(self, seconds: float) -> datetime:
        return self.loop.wall() + timedelta(seconds=seconds)

    def use(self, grant: Grant) -> None:
        """A byte of the session leaves the process."""
        if not self.loop.dead:
            token = (grant.token.generation, grant.token.revision)
            self.play.judge.used(self.play.world.now, self.process.incarnation, grant.auth_key_id, token)
            self.play.trace("use", self.process.incarnation, grant.auth_key_id, token)

    def released(self, grant: Grant) -> None:
        """The session's link was closed in good order."""
        if not self.loop.dead:
            token = (grant.token.generation, grant.token.revision)
            self.play.judge.released(self.play.world.now, self.process.incarnation, grant.auth_key_id, token)
            self.play.trace("clean", self.process.incarnation, grant.auth_key_id, token)

    def note(self, account_id: str, state: SessionState) -> None:
        if not self.loop.dead:
            self.play.trace("state", self.process.incarnation, account_id, str(state))

    async def attach(self, picture: Picture, serve: Callable[[Attached], Any]) -> None:
        """ports.Dispatcher."""
        name = self.play.schedulers[self._next % len(self.play.schedulers)]
        net, target = self.play.net, self.play.net.processes[name]
        self._next += 1
        stream = Stream(self.process, Pipe(net, self.process, target), Pipe(net, target, self.process))
        await net.call(self.process, name, "attach", stream, picture, limit=_ATTACH_LIMIT)
        self._next -= 1
        watch = self.loop.create_task(self._keep_alive(stream))
        try:
            await serve(Attached(stream))
        finally:
            watch.cancel()
            stream.over = True
            if stream.up.broken is False:
                stream.up.send(stream.tell, ("gone", None))

    async def _keep_alive(self, stream: Stream) -> None:
        """What gRPC's keepalive does: a dead connection is noticed after a while."""
        while not stream.up.broken and not stream.down.broken:
            await asyncio.sleep(1.0)
        await asyncio.sleep(1.0 + self.rng.random())
        stream.over = True
        stream.orders.put_nowait(None)

    def order(self, stream: Stream, order: Order) -> None:
        """An order arrives."""
        stream.orders.put_nowait(order)

    def order_again(self, order: Order) -> None:
        """A copy of an order arrives late, when another leader's stream has taken the place of its own.
        (Within one term it cannot: streams keep their order.)"""
        if self.highest_term > order.term:
            self.play.trace("copy", self.process.incarnation, order)
            self.fleet.handle(order)
