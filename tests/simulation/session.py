"""One session of a simulated worker: acquires, connects, sends a byte now and then, and ends as the
shipped supervisor does. Telegram may be out of its reach; then a stop is not clean.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from services.worker.acquirer import Granted
from services.worker.domain.linkwatch import stopped_cleanly
from services.worker.domain.orders import StartOne
from services.worker.domain.outcomes import Ending, Outcome, Reason
from services.worker.domain.picture import SessionReport
from services.worker.domain.states import Machine, SessionState
from services.worker.domain.telegram import Fenced, LinkFacts
from services.worker.ports import Release, Wanted
from tests.simulation.outside import key_of

if TYPE_CHECKING:
    from tests.simulation.worker import WorkerProcess

_RELEASE_LIMIT = 2.0


class SimSession:
    """Stands in for `services.worker.supervisor.Supervisor`."""

    def __init__(self, order: StartOne, command_id: str, worker: WorkerProcess) -> None:
        self.account_id = order.account_id
        self.session = self
        self._worker = worker
        self._command_id = command_id
        self._machine = Machine(SessionState.STARTING, worker.loop.wall())
        self._granted: Granted | None = None
        self._ending: Ending | None = None
        self._answered: float | None = None
        self._end: asyncio.Future[Ending | None] = worker.loop.create_future()

    @property
    def stopping(self) -> bool:
        return self._end.done() or self._machine.ended

    def report(self) -> SessionReport:
        ending = self._ending if self._machine.state is SessionState.FAILED else None
        return SessionReport(
            account_id=self.account_id,
            state=self._machine.state,
            state_time=self._machine.since,
            command_id=self._command_id,
            token=self._granted.grant.token if self._granted else None,
            outcome=ending.outcome if ending else None,
            reason=ending.reason if ending else Reason.UNSPECIFIED,
            retry_time=ending.retry_time if ending else None,
        )

    def join(self, _order: StartOne, command_id: str) -> None:
        self._command_id = command_id
        self._worker.outbox.report(self.report())

    def set_chat(self, *, chat: bool, command_id: str = "") -> None:
        self._worker.outbox.report(replace(self.report(), command_id=command_id or self._command_id))

    def configure(self, _config: object) -> None:
        pass

    def stop(self, command_id: str = "") -> None:
        if command_id and not self._machine.ended:
            self._command_id = command_id
        self._finish_with(None)

    async def run(self) -> None:
        self._worker.outbox.report(self.report())
        life = self._worker.loop.create_task(self._live())
        life.add_done_callback(self._life_over)
        end = await asyncio.shield(self._end)
        life.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await self._finish(end)

    def _life_over(self, life: asyncio.Task[Ending]) -> None:
        if life.cancelled():
            return
        error = life.exception()
        if error is not None and not isinstance(error, Fenced):
            raise error
        self._finish_with(life.result() if error is None else self._fenced())

    async def _live(self) -> Ending:
        granted = await self._worker.acquirer.acquire(Wanted(self.account_id))
        if isinstance(granted, Ending):
            return granted
        self._granted = granted
        granted.gate.on_shut(lambda: self._finish_with(self._fenced()))
        rng = self._worker.rng
        while True:
            self._send(granted)
            if self._machine.state is SessionState.RUNNING:
                await asyncio.sleep(0.2 + 0.5 * rng.random())
                continue
            await asyncio.sleep(0.02 + 0.1 * rng.random())
            if self._worker.telegram_answers:
                self._move(SessionState.RUNNING)

    def _send(self, granted: Granted) -> None:
        """A byte to Telegram. Raises Fenced."""
        granted.gate.check()
        if granted.gate.shut:
            raise Fenced
        granted.gate.used = True
        self._worker.use(granted.grant)
        if self._worker.telegram_answers:
            self._answered = self._worker.loop.time()

    def _fenced(self) -> Ending:
        lease = self._granted.lease if self._granted else None
        seconds = self._worker.keeper.settled_in(lease) if lease else 0.0
        return Ending(Outcome.WAITING, Reason.SETTLING, "fenced", self._worker.wall_in(seconds))

    def _finish_with(self, ending: Ending | None) -> None:
        if not self._end.done():
            self._end.set_result(ending)

    async def _finish(self, end: Ending | None) -> None:
        if end is None:
            self._move(SessionState.STOPPING)
        if self._granted is not None:
            await self._give_back(self._granted, last_ping=end is None)
        if end is None:
            self._move(SessionState.STOPPED)
        else:
            self._ending = end
            self._move(SessionState.FAILED)

    async def _give_back(self, granted: Granted, *, last_ping: bool) -> None:
        answers = self._worker.telegram_answers
        if last_ping:
            await asyncio.sleep(0.05)
            try:
                self._send(granted)
            except Fenced:
                answers = False
        before = self._facts(sockets=1) if answers and self._worker.telegram_answers else None
        fenced = granted.gate.shut
        granted.gate.close()
        clean = not fenced and stopped_cleanly(before, self._facts(sockets=0), used=granted.gate.used)
        if clean:
            self._worker.released(granted.grant)
        granted.lease.gates.discard(granted.gate)
        given = Release(self.account_id, key_of(self.account_id), granted.grant.token, clean)
        done = self._worker.releaser.give_back(given, granted.lease)
        if not granted.lease.lost:
            await asyncio.wait({done}, timeout=_RELEASE_LIMIT)

    def _facts(self, sockets: int) -> LinkFacts:
        ago = None if self._answered is None else self._worker.loop.time() - self._answered
        return LinkFacts(
            started=True, receiving=True, answered_ago=ago, calls_in_flight=0, open_sockets=sockets
        )

    def _move(self, to: SessionState) -> None:
        self._machine.move(to, self._worker.loop.wall())
        self._worker.note(self.account_id, to)
        self._worker.outbox.report(self.report())
