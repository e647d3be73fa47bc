"""Orders on their way: handed out, handed out again on a worker's new stream (it carries no order out twice),
given up when they are overdue, and lost with their worker. Knows nothing of what the answers mean.
"""

from services.scheduler.domain.transfers import commands as c
from services.scheduler.domain.transfers import events as e
from services.scheduler.domain.transfers.orders import Order, Work
from services.scheduler.domain.transfers.state import Desk, Outstanding, Purpose, Shard

SHORT = 2.0
"""Seconds after a hello in which a worker's old answers have arrived."""


def give(desk: Desk, shard: Shard, account_id: str, *, name: str, purpose: Purpose, work: Work) -> bool:
    """Hands an order to the worker that runs the account. False when none does: nothing was done."""
    view = desk.accounts.get(account_id)
    if view is None or not view.running or view.worker_id not in desk.attached:
        return False
    limit = desk.rules.send_limit if purpose is Purpose.SEND else desk.rules.read_limit
    order = Order(name, account_id, view.token, limit, work)
    due = desk.now + limit + desk.rules.answer_grace
    incarnation = desk.incarnations.get(view.worker_id, "")
    desk.orders[name] = Outstanding(order, purpose, shard, view.worker_id, incarnation, due)
    desk.timers.set(due, "overdue", name)
    desk.out.append(c.GiveOrders(view.worker_id, view.attachment, (order,)))
    return True


def attached(desk: Desk, event: e.Attached) -> list[Outstanding]:
    """A worker is back: the same process gets its orders again, and repeats or makes their answers. Gives the
    orders that another process under its name took to the grave."""
    same = desk.incarnations.get(event.worker_id) == event.incarnation
    desk.incarnations[event.worker_id] = event.incarnation
    desk.attached[event.worker_id] = (event.attachment, desk.now)
    if not same:
        return lost(desk, event.worker_id, before=event.incarnation)
    again = [one.order for one in desk.orders.values() if one.worker_id == event.worker_id]
    if again:
        desk.out.append(c.GiveOrders(event.worker_id, event.attachment, tuple(again)))
    return []


def lost(desk: Desk, worker_id: str, *, before: str = "") -> list[Outstanding]:
    """Takes out the orders of a worker that is gone; with `before`, those of earlier processes than that."""
    gone = [
        one
        for one in desk.orders.values()
        if one.worker_id == worker_id and (not before or one.incarnation != before)
    ]
    for one in gone:
        del desk.orders[one.order.order_id]
    return gone


def adopt(desk: Desk, shard: Shard, event: e.Attached, account_id: str, *, work: Work, name: str) -> None:
    """A transmission of an earlier leader is being carried out at that worker."""
    due = desk.now + desk.rules.send_limit + desk.rules.answer_grace
    order = Order(name, account_id, None, desk.rules.send_limit, work)
    desk.orders[name] = Outstanding(order, Purpose.SEND, shard, event.worker_id, event.incarnation, due)
    desk.timers.set(due, "overdue", name)


def overdue(desk: Desk, order_id: str) -> None:
    """No answer in time. It stays out (nobody knows what became of it), but is to be given up; asking for it
    again makes the worker repeat an answer that was lost."""
    one = desk.orders.get(order_id)
    if one is None or desk.now < one.due:
        return
    stream = desk.attached.get(one.worker_id)
    if stream is not None:
        desk.out.append(c.GiveOrders(one.worker_id, stream[0], (one.order,)))
        desk.out.append(c.CancelOrders(one.worker_id, stream[0], (order_id,)))
    one.due = desk.now + desk.rules.answer_grace
    desk.timers.set(one.due, "overdue", order_id)


def acknowledge(desk: Desk, worker_id: str, order_ids: list[str]) -> None:
    """The worker may forget these answers."""
    stream = desk.attached.get(worker_id)
    if stream is not None and order_ids:
        desk.out.append(c.Acknowledge(worker_id, stream[0], tuple(order_ids)))
