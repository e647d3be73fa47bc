"""What transfers want done. Plain data; carried out by the driver, in order.

Commands to a worker name the attachment (its stream) they are meant for; if that stream is gone they are
dropped, since the next Attached tells the truth anyway.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from services.scheduler.domain.transfers.orders import Order
from services.scheduler.domain.transfers.records import Changes


@dataclass(frozen=True, slots=True)
class GiveOrders:
    """Hand orders to a worker. Sends among them have their intent on disk."""

    worker_id: str
    attachment: int
    orders: Sequence[Order]


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """These answers are on disk, or need not be: the worker may forget them."""

    worker_id: str
    attachment: int
    order_ids: Sequence[str]


@dataclass(frozen=True, slots=True)
class CancelOrders:
    """Give these orders up; each is answered all the same."""

    worker_id: str
    attachment: int
    order_ids: Sequence[str]


@dataclass(frozen=True, slots=True)
class Commit:
    """Write all of it in one transaction, after all Commits before it; then tell Committed. A failure ends
    the term. `changes` is a copy that nobody changes any more."""

    commit_id: int
    changes: Changes


@dataclass(frozen=True, slots=True)
class Borrow:
    """Keep the account running although nobody wants it; asked again it changes nothing."""

    account_id: str


@dataclass(frozen=True, slots=True)
class GiveBack:
    """Borrowed no more."""

    account_id: str


@dataclass(frozen=True, slots=True)
class TransferChanged:
    """People who watch the transfer see something new. What it shows is on disk."""

    transfer_id: str


Command = GiveOrders | Acknowledge | CancelOrders | Commit | Borrow | GiveBack | TransferChanged
