"""What transfers know of accounts, and whom a change of one concerns. Decides nothing else."""

from services.scheduler.domain.transfers import events as e
from services.scheduler.domain.transfers import holding
from services.scheduler.domain.transfers.choosing.words import PoolAccount
from services.scheduler.domain.transfers.state import Desk, Shard


def changed(desk: Desk, event: e.AccountChanged) -> None:
    """An account is new, or something of it changed: whoever waits for one looks again."""
    view = event.account
    before = desk.accounts.get(view.account_id)
    desk.accounts[view.account_id] = view
    if before == view:
        return
    desk.pool.update(_for_pool(view), desk.now, desk.wall)
    came_back = view.running and (before is None or not before.running)
    went_away = before is not None and before.running and not view.running
    for shard in desk.shards():
        batch = shard.current
        own = batch is not None and batch.record.account_id == view.account_id
        if own and batch is not None and came_back:
            batch.looks.clear()
            batch.retry = 0.0
        if own and batch is not None and went_away:
            batch.away_since = desk.now
        waits = shard in desk.waiting and view.account_id in shard.transfer.account_ids
        if own or waits or shard.account_id == view.account_id:
            desk.touch(shard)
        if before is None and not view.wanted and not view.gone and _needs(shard, view.account_id):
            holding.borrow(desk, view.account_id)


def gone(desk: Desk, event: e.AccountGone) -> None:
    """An account was deleted."""
    if desk.accounts.pop(event.account_id, None) is None:
        return
    desk.pool.remove(event.account_id)
    desk.borrowed.pop(event.account_id, None)
    for shard in desk.shards():
        batch = shard.current
        if shard.account_id == event.account_id or (
            batch is not None and batch.record.account_id == event.account_id
        ):
            desk.touch(shard)


def _needs(shard: Shard, account_id: str) -> bool:
    """Whether it was borrowed for this shard by an earlier leader, as far as the disk says."""
    transfer = shard.transfer
    if transfer.stopping or shard.record.finished or transfer.record.spec.only_running:
        return False
    return account_id in {shard.record.account_id, shard.batch.account_id if shard.batch else ""}


def _for_pool(view: e.AccountView) -> PoolAccount:
    return PoolAccount(
        account_id=view.account_id,
        name=view.name,
        priority=view.priority,
        enabled=view.enabled,
        running=view.running,
        startable=view.startable,
        blocked=view.blocked,
        time_zone=view.time_zone or "UTC",
        daily_cap=view.daily_cap,
        allowed_hours=view.allowed_hours,
        waits=view.waits,
    )
