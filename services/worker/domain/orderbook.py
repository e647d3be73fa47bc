"""The book of transfer orders of one worker process: which are under way, which answers are not acknowledged
yet, which ids were seen before.

An order whose id is in the book is never carried out a second time. Answers are kept until the scheduler says
that they are on disk, and told again on every new stream. When there are too many, pages and looks go first:
they can be had again, while a lost word about a transmission has to be settled.
"""

from collections import OrderedDict
from collections.abc import Iterable

from services.worker.domain.transfer_answers import Answer, OrderRefused, OrderUnknown, Sent, TransferAnswer
from services.worker.domain.transfer_orders import SendBatch, TransferOrder

MOST_ANSWERS = 5_000
"""Unacknowledged answers kept: some minutes of 100 busy accounts without a scheduler."""
MOST_SEEN = 50_000
"""Ids by which a repeated order is recognised."""


class OrderBook:
    """Pure bookkeeping; one per process."""

    def __init__(self, most_answers: int = MOST_ANSWERS, most_seen: int = MOST_SEEN) -> None:
        self._most_answers = most_answers
        self._most_seen = most_seen
        self._under_way: dict[str, TransferOrder] = {}
        self._answers: dict[str, TransferAnswer] = {}
        self._weighty: set[str] = set()
        self._untold: dict[str, None] = {}
        self._seen: OrderedDict[str, None] = OrderedDict()
        self.dropped = 0
        """Answers given up because there were too many."""

    def open(self, order: TransferOrder) -> bool:
        """A new order: whether to carry it out. One that was answered is told again instead."""
        order_id = order.order_id
        if order_id in self._answers:
            self._untold[order_id] = None
            return False
        if order_id in self._under_way or order_id in self._seen:
            return False
        self._seen[order_id] = None
        while len(self._seen) > self._most_seen:
            self._seen.popitem(last=False)
        self._under_way[order_id] = order
        return True

    def close(self, order_id: str, answer: Answer) -> bool:
        """An order's one answer; False (and nothing done) when it has one already."""
        order = self._under_way.pop(order_id, None)
        if order is None:
            return False
        self._answers[order_id] = TransferAnswer(order_id, order.account_id, answer)
        self._untold[order_id] = None
        if isinstance(order.work, SendBatch) and isinstance(answer, Sent | OrderRefused | OrderUnknown):
            self._weighty.add(order_id)
        while len(self._answers) > self._most_answers:
            self._drop_one()
        return True

    def acknowledge(self, order_ids: Iterable[str]) -> None:
        """They are on disk at the scheduler's."""
        for order_id in order_ids:
            self._forget(order_id)

    def tell_again(self) -> None:
        """A new stream: nobody knows what of the old one arrived."""
        self._untold = dict.fromkeys(self._answers)

    def take(self, most: int) -> list[TransferAnswer]:
        """Answers to tell now, oldest first."""
        order_ids = list(self._untold)[:most]
        for order_id in order_ids:
            del self._untold[order_id]
        return [self._answers[order_id] for order_id in order_ids]

    @property
    def untold(self) -> int:
        """How many answers wait to be told."""
        return len(self._untold)

    @property
    def under_way(self) -> tuple[str, ...]:
        """The ids of orders that are being carried out."""
        return tuple(self._under_way)

    def find(self, order_id: str) -> TransferOrder | None:
        """An order that is being carried out."""
        return self._under_way.get(order_id)

    def _drop_one(self) -> None:
        light = (order_id for order_id in self._answers if order_id not in self._weighty)
        self._forget(next(light, None) or next(iter(self._answers)))
        self.dropped += 1

    def _forget(self, order_id: str) -> None:
        self._answers.pop(order_id, None)
        self._untold.pop(order_id, None)
        self._weighty.discard(order_id)
