"""All sessions of this worker, and the commands about them. Every command is idempotent: sent again after a
broken stream, it is answered with how things stand."""

import asyncio
from datetime import timedelta

from services.runtime.logs import get_logger
from services.runtime.tasks import TaskOwner
from services.worker.domain import orders
from services.worker.domain.outcomes import Outcome, Reason
from services.worker.domain.picture import Picture, SessionReport
from services.worker.domain.states import SessionState
from services.worker.domain.terms import Terms
from services.worker.domain.transfer_orders import TransferOrders
from services.worker.supervisor import Supervisor
from services.worker.tools import Tools

_log = get_logger("worker.fleet")

_DRAINING_RETRY = timedelta(seconds=5)


class Fleet:
    """Carries out orders."""

    def __init__(self, tools: Tools, capacity: int, tasks: TaskOwner) -> None:
        self._tools = tools
        self._capacity = capacity
        self._tasks = tasks
        self._terms = Terms()
        self._sessions: dict[str, Supervisor] = {}
        self._next: dict[str, tuple[orders.StartOne, str]] = {}
        self._closing = False
        self._idle = asyncio.Event()
        self._idle.set()
        self.draining = False

    def __len__(self) -> int:
        return len(self._sessions)

    def picture(self) -> Picture:
        """Everything, for a hello."""
        reports = tuple(one.report() for one in self._sessions.values())
        return Picture(reports, self._tools.catalog.current, self.draining, self._tools.transfers.under_way)

    def handle(self, order: orders.Order) -> bool:
        """Carries out an order; False when its term is over, and then nothing was done."""
        if not self._terms.accept(order.term):
            _log.warning("refused an order of an old term", term=order.term, highest=self._terms.highest)
            return False
        self._carry_out(order.command)
        return True

    def _carry_out(self, command: orders.Command) -> None:
        match command:
            case orders.Start():
                self._start_all(command)
            case orders.Stop():
                self._stop_all(command)
            case orders.SetChat():
                self._set_chat_all(command)
            case orders.Configure():
                self._configure(command)
            case orders.Drain():
                self.draining = command.drain
            case orders.FleetUsers():
                self._tools.fleet_ids.user_ids = command.user_ids
            case TransferOrders():
                self._tools.transfers.handle(command)
            case orders.Welcome():
                pass  # the stream's own business

    def _start_all(self, command: orders.Start) -> None:
        for one in command.sessions:
            self._start(one, command.command_id)

    def _stop_all(self, command: orders.Stop) -> None:
        for account_id in command.account_ids:
            self._stop(account_id, command.command_id)

    def _set_chat_all(self, command: orders.SetChat) -> None:
        for account_id in command.account_ids:
            running = self._sessions.get(account_id)
            if running is None:
                self._report_absent(account_id, command.command_id)
            else:
                running.set_chat(chat=command.chat, command_id=command.command_id)

    def _configure(self, command: orders.Configure) -> None:
        for config in command.sessions:
            running = self._sessions.get(config.account_id)
            if running is not None:
                running.configure(config)

    async def close(self) -> None:
        """Stops all sessions cleanly and starts none any more."""
        self._closing = True
        self._next.clear()
        for one in self._sessions.values():
            one.stop()
        await self._idle.wait()

    def _start(self, order: orders.StartOne, command_id: str) -> None:
        running = self._sessions.get(order.account_id)
        if running is not None and not running.stopping:
            running.join(order, command_id)
        elif running is not None:
            self._next[order.account_id] = (order, command_id)
        elif self._closing or self.draining:
            self._refuse(order, command_id, "This worker is being emptied and takes no new sessions.")
        elif len(self._sessions) >= self._capacity:
            self._refuse(
                order, command_id, f"This worker runs {self._capacity} sessions already, its capacity."
            )
        else:
            self._launch(order, command_id)

    def _launch(self, order: orders.StartOne, command_id: str) -> None:
        supervisor = Supervisor(order, command_id, self._tools)
        self._sessions[order.account_id] = supervisor
        self._idle.clear()
        self._tasks.spawn(self._run(supervisor), name=f"supervise {order.account_id}")

    async def _run(self, supervisor: Supervisor) -> None:
        account_id = supervisor.session.account_id
        try:
            await supervisor.run()
        finally:
            self._sessions.pop(account_id, None)
            if not self._sessions:
                self._idle.set()
        follower = self._next.pop(account_id, None)
        if follower is not None:
            self._start(*follower)

    def _stop(self, account_id: str, command_id: str) -> None:
        self._next.pop(account_id, None)
        running = self._sessions.get(account_id)
        if running is None:
            self._report_absent(account_id, command_id)
        else:
            running.stop(command_id)

    def _report_absent(self, account_id: str, command_id: str) -> None:
        now = self._tools.clock.wall()
        self._tools.outbox.report(SessionReport(account_id, SessionState.STOPPED, now, command_id))

    def _refuse(self, order: orders.StartOne, command_id: str, detail: str) -> None:
        now = self._tools.clock.wall()
        self._tools.outbox.report(
            SessionReport(
                order.account_id,
                SessionState.FAILED,
                now,
                command_id,
                outcome=Outcome.WAITING,
                reason=Reason.NO_WORKER_CAPACITY,
                detail=detail,
                retry_time=now + _DRAINING_RETRY,
            )
        )
