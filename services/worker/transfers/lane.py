"""The orders of one running account: sends one after another, readings one after another beside them.

Every order that is given ends in exactly one answer. No task exists while there is nothing to do. When the
session stops, new orders are refused, a transmission under way gets a moment to be answered, and what is
still open then is cancelled; the client has cut its connection before that is told as unknown.
"""

import asyncio
from collections import deque
from collections.abc import Callable

from services.runtime.clock import Clock
from services.worker import refusals
from services.worker.domain.telegram import Refused
from services.worker.domain.transfer_answers import Answer, NotDoneCause, OrderNotDone, OrderUnknown
from services.worker.domain.transfer_orders import Attempt, SendBatch, TransferOrder
from services.worker.ports import Transfers
from services.worker.transfers.doing import INTERNAL, Doer, given_up

LAST_WORD_LIMIT = 4.0
"""Seconds that a transmission gets to be answered when its session stops."""
_CANCEL_LIMIT = 3.0
LINK_PATIENCE = 5.0
"""Seconds (within its limit) that an order waits for a link that is being made anew."""


class Lane:
    """See the module; `link` tells it whether there is a link."""

    def __init__(
        self,
        client: Transfers,
        account: refusals.Restrained,
        teller: refusals.Teller,
        clock: Clock,
        answer: Callable[[str, Answer], None],
    ) -> None:
        """`answer` takes an order's id and what became of it."""
        doer = Doer(client, clock, self._on_refused)
        self._account = account
        self._teller = teller
        self._clock = clock
        self._answer = answer
        self._up = asyncio.Event()
        self._stopping = False
        self._sends = _Line(doer, self._up, answer)
        self._reads = _Line(doer, self._up, answer)

    def link(self, *, up: bool) -> None:
        """The link is there, or is being made anew."""
        if up:
            self._up.set()
        else:
            self._up.clear()

    def give(self, order: TransferOrder) -> None:
        """See `desk.Lane`."""
        if self._stopping:
            self._answer(order.order_id, OrderNotDone(NotDoneCause.STOPPING))
            return
        line = self._sends if isinstance(order.work, SendBatch) else self._reads
        line.add(order)

    def cancel(self, order_id: str) -> None:
        """See `desk.Lane`."""
        self._sends.cancel(order_id, NotDoneCause.CANCELLED)
        self._reads.cancel(order_id, NotDoneCause.CANCELLED)

    def refuse(self) -> None:
        """Takes no new orders: the session is about to stop."""
        self._stopping = True

    async def close(self) -> None:
        """Ends everything; all orders are answered when it returns."""
        self.refuse()
        await asyncio.gather(self._reads.close(0), self._sends.close(LAST_WORD_LIMIT))

    def _on_refused(self, error: Refused, chat_id: int) -> None:
        refusals.note(error, chat_id, self._account, self._teller, self._clock)


class _Line:
    """Orders one after another."""

    def __init__(self, doer: Doer, up: asyncio.Event, answer: Callable[[str, Answer], None]) -> None:
        self._doer = doer
        self._up = up
        self._answer = answer
        self._waiting: deque[tuple[TransferOrder, float]] = deque()
        self._current: TransferOrder | None = None
        self._attempt = Attempt()
        self._task: asyncio.Task[None] | None = None
        self._why = NotDoneCause.CANCELLED

    def add(self, order: TransferOrder) -> None:
        """At the end; its limit counts from now."""
        self._waiting.append((order, asyncio.get_running_loop().time() + order.limit))
        if self._task is None:
            self._begin()

    def cancel(self, order_id: str, why: NotDoneCause) -> None:
        """If it is in this line."""
        if self._task is not None and self._current is not None and self._current.order_id == order_id:
            self._why = why
            self._task.cancel()
            return
        found = next((one for one in self._waiting if one[0].order_id == order_id), None)
        if found is not None:
            self._waiting.remove(found)
            self._answer(order_id, OrderNotDone(why))

    async def close(self, patience: float) -> None:
        """Refuses what waits; what was transmitted gets `patience` seconds to be answered."""
        while self._waiting:
            self._answer(self._waiting.popleft()[0].order_id, OrderNotDone(NotDoneCause.STOPPING))
        task = self._task
        if task is None:
            return
        if self._attempt.transmitted:
            await asyncio.wait({task}, timeout=patience)
        self._why = NotDoneCause.STOPPING
        task.cancel()
        await asyncio.wait({task}, timeout=_CANCEL_LIMIT)

    def _begin(self) -> None:
        order, due = self._waiting.popleft()
        self._current, self._attempt, self._why = order, Attempt(), NotDoneCause.CANCELLED
        self._task = asyncio.create_task(self._carry_out(order, due), name=f"transfer order {order.order_id}")
        self._task.add_done_callback(self._ended)

    async def _carry_out(self, order: TransferOrder, due: float) -> None:
        attempt = self._attempt
        loop = asyncio.get_running_loop()
        if not self._up.is_set() and not await self._link_in_time(due):
            self._answer(order.order_id, OrderNotDone(NotDoneCause.LINK_DOWN))
        elif (left := due - loop.time()) <= 0:
            self._answer(order.order_id, OrderNotDone(NotDoneCause.EXPIRED))
        else:
            self._finish(order, await self._doer.carry_out(order.work, left, attempt))

    async def _link_in_time(self, due: float) -> bool:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout_at(min(due, loop.time() + LINK_PATIENCE)):
                await self._up.wait()
        except TimeoutError:
            return False
        return True

    def _ended(self, task: "asyncio.Task[None]") -> None:
        order, self._current, self._task = self._current, None, None
        if task.cancelled() and order is not None:
            self._finish(order, given_up(self._attempt, self._why))
        if self._waiting:
            self._begin()

    def _finish(self, order: TransferOrder, answer: Answer) -> None:
        cut = isinstance(answer, OrderUnknown) and answer.cause != INTERNAL
        if cut or answer == OrderNotDone(NotDoneCause.LINK_DOWN):
            self._up.clear()  # the link is gone; whoever comes next waits for the supervisor's new one
        self._answer(order.order_id, answer)
