"""Asks single accounts to look at the chats of a transfer that is to be created. Such orders change nothing,
so nothing of them is kept: one that is lost was not asked.
"""

import asyncio
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from services.scheduler.domain.transfers import orders as o
from services.scheduler.domain.transfers.commands import Acknowledge, GiveOrders
from services.scheduler.domain.transfers.events import AccountView, Answered
from services.scheduler.domain.transfers.planning import Inspection

PREFIX = "inspect/"
"""What these orders' ids begin with."""

_GRACE = 2.0
"""Seconds beyond an order's limit that its answer may need."""

Carry = Callable[[GiveOrders | Acknowledge], None]


@dataclass(frozen=True, slots=True)
class _Asked:
    attachment: int
    answer: "asyncio.Future[Inspection]"


class Inspections:
    """Orders that were given and not answered yet."""

    def __init__(self, carry: Carry) -> None:
        """`carry` sends a command down a worker's stream."""
        self._carry = carry
        self._asked: dict[str, _Asked] = {}

    async def ask(self, account: AccountView, work: o.InspectChats, limit: float) -> Inspection:
        """What the account, which runs, sees. At most `limit` seconds and a moment; no answer until then is
        OrderUnknown."""
        order_id = f"{PREFIX}{uuid.uuid4().hex}"
        order = o.Order(order_id, account.account_id, account.token, limit, work)
        asked = _Asked(account.attachment, asyncio.get_running_loop().create_future())
        self._asked[order_id] = asked
        self._carry(GiveOrders(account.worker_id, account.attachment, [order]))
        try:
            async with asyncio.timeout(limit + _GRACE):
                return await asked.answer
        except TimeoutError:
            return o.OrderUnknown("TIMEOUT")
        finally:
            self._asked.pop(order_id, None)

    def answered(self, event: Answered) -> bool:
        """Takes an answer if it is to one of these; whether it is."""
        order_id, answer = event.answer.order_id, event.answer.answer
        if not order_id.startswith(PREFIX):
            return False
        self._carry(Acknowledge(event.worker_id, event.attachment, [order_id]))
        asked = self._asked.get(order_id)
        if asked is not None and not asked.answer.done():
            if isinstance(answer, o.SourcePage | o.Sent | o.Looked):
                answer = o.OrderUnknown("UNKNOWN_ANSWER")
            asked.answer.set_result(answer)
        return True

    def detached(self, attachment: int) -> None:
        """A stream has ended: what was asked down it will be answered on another one, or never."""
        for asked in self._asked.values():
            if asked.attachment == attachment and not asked.answer.done():
                asked.answer.set_result(o.OrderNotDone("NOT_RUNNING"))
