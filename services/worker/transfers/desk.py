"""Where transfer orders come in and answers go out: one for the whole worker.

It keeps the book (nothing is carried out twice, every order gets one answer) and hands orders to the lane of
their account. What an account does with them is `lane.py`'s business.
"""

import asyncio
from typing import Protocol

from services.runtime.logs import get_logger
from services.worker.domain.orderbook import OrderBook
from services.worker.domain.picture import Token
from services.worker.domain.transfer_answers import (
    Answer,
    NotDoneCause,
    OrderNotDone,
    OrderUnknown,
    TransferAnswer,
)
from services.worker.domain.transfer_orders import TransferOrder, TransferOrders
from services.worker.metrics import TRANSFER_ORDERS

_log = get_logger("worker.transfers")


class Lane(Protocol):
    """One running account."""

    def give(self, order: TransferOrder) -> None:
        """Carries the order out when it is its turn; the desk hears the answer."""
        ...

    def cancel(self, order_id: str) -> None:
        """Gives an order up; it is answered all the same."""
        ...


class TransferDesk:
    """See the module."""

    def __init__(self) -> None:
        self._book = OrderBook()
        self._lanes: dict[str, tuple[Token, Lane]] = {}
        self._filled = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def under_way(self) -> tuple[str, ...]:
        """Orders that are being carried out, for a hello."""
        return self._book.under_way

    def enter(self, account_id: str, token: Token, lane: Lane) -> None:
        """An account runs, under this grant."""
        self._lanes[account_id] = (token, lane)

    def leave(self, account_id: str, lane: Lane) -> None:
        """It no longer does. Harmless when another lane has taken its place."""
        _, current = self._lanes.get(account_id, (None, None))
        if current is lane:
            del self._lanes[account_id]

    def handle(self, command: TransferOrders) -> None:
        """What the scheduler said."""
        self._book.acknowledge(command.acknowledged)
        for order_id in command.cancelled:
            self._cancel(order_id)
        for order in command.orders:
            if self._book.open(order):
                self._hand_on(order)
            elif self._book.untold:
                self._mark_filled()

    def answer(self, order_id: str, answer: Answer) -> None:
        """What became of an order; only the first word counts."""
        order, dropped = self._book.find(order_id), self._book.dropped
        if order is None:
            return
        self._book.close(order_id, answer)
        self._mark_filled()
        TRANSFER_ORDERS.labels(type(order.work).__name__, type(answer).__name__).inc()
        if isinstance(answer, OrderUnknown):
            _log.warning(
                "nobody knows whether a batch was sent",
                account_id=order.account_id,
                order_id=order_id,
                cause=answer.cause,
            )
        if self._book.dropped > dropped:
            _log.warning("an answer was given up, too many are not acknowledged", dropped=self._book.dropped)

    def tell_again(self) -> None:
        """A new stream: everything that is not acknowledged is told on it."""
        self._book.tell_again()
        if self._book.untold:
            self._mark_filled()

    async def filled(self) -> None:
        """Waits until there are answers to tell."""
        await self._filled.wait()

    def take(self, most: int) -> list[TransferAnswer]:
        """Answers to tell now."""
        answers = self._book.take(most)
        if not self._book.untold:
            self._filled.clear()
        return answers

    def told(self) -> None:
        """What was taken went into the stream."""
        if not self._book.untold:
            self._empty.set()

    async def all_told(self, limit: float) -> bool:
        """Until every answer went into a stream, at most `limit` seconds."""
        try:
            async with asyncio.timeout(limit):
                await self._empty.wait()
        except TimeoutError:
            return False
        return True

    def _hand_on(self, order: TransferOrder) -> None:
        token, lane = self._lanes.get(order.account_id, (None, None))
        if lane is None or token != order.token:
            self.answer(order.order_id, OrderNotDone(NotDoneCause.NOT_RUNNING))
        else:
            lane.give(order)

    def _cancel(self, order_id: str) -> None:
        order = self._book.find(order_id)
        if order is None:
            return
        _, lane = self._lanes.get(order.account_id, (None, None))
        if lane is not None:
            lane.cancel(order_id)

    def _mark_filled(self) -> None:
        self._filled.set()
        self._empty.clear()
