"""The use cases of transfers that exist: look at them, wish something of them, settle what nobody can tell.
Answers are read from the database; a watch shows what the core has, until the end. Knows no protobuf.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

from services.runtime.errors import FailedPrecondition, NotFound
from services.scheduler.domain import events as fleet_events
from services.scheduler.domain.transfers import events as e
from services.scheduler.domain.transfers.choosing.words import Explained
from services.scheduler.domain.transfers.records import (
    ENDED,
    BatchState,
    Changes,
    RefusedMessage,
    ShardRecord,
    TransferRecord,
    TransferState,
    Wish,
)
from services.scheduler.domain.transfers.state import Transfer
from services.scheduler.leader import Leader
from services.scheduler.signals import wait_until
from services.scheduler.transfer_driver import transfer_signal

WATCH_PERIOD = 0.2
"""Seconds between two messages of a watch, at least; but the end is told at once."""

_ON_THE_WAY = {Wish.PAUSE: TransferState.PAUSING, Wish.CANCEL: TransferState.CANCELLING}


@dataclass(frozen=True, slots=True)
class Shown:
    """A transfer, and `live` while the core has it."""

    record: TransferRecord
    shards: Sequence[ShardRecord]
    live: Transfer | None
    refused: Sequence[RefusedMessage] = ()


async def show(leader: Leader, transfer_id: str) -> Shown:
    """One transfer as it is on disk, with its refused messages: a leader that dies takes nothing of it back.
    Raises NotFound."""
    stored = await leader.transfers.store.get(transfer_id)
    if stored is None:
        raise NotFound(
            f"There is no transfer {transfer_id}; `tgfleet transfer list` shows all.",
            reason="TRANSFER_NOT_FOUND",
            field="transfer_id",
        )
    record, shards, refused = stored
    return Shown(record, shards, leader.transfers.core.transfers.get(transfer_id), refused)


async def page(
    leader: Leader, states: Sequence[TransferState], before: tuple[float, str] | None, limit: int
) -> list[Shown]:
    """Newest first."""
    core = leader.transfers.core
    found = await leader.transfers.store.page(states, before, limit)
    return [Shown(record, shards, core.transfers.get(record.transfer_id)) for record, shards in found]


async def watch(leader: Leader, transfer_id: str) -> AsyncIterator[Shown]:
    """The transfer as it is now and after every change, until it has ended. Raises NotFound, Unavailable."""
    while True:
        news = leader.driver.signals.waiter(transfer_signal(transfer_id))
        live = leader.transfers.core.transfers.get(transfer_id)
        if live is None or live.record.state in ENDED:  # an end is told once it is on disk
            shown = await show(leader, transfer_id)
        else:
            shown = Shown(live.record, [part.record for part in live.shards.values()], live)
        leader.driver.check()
        yield shown
        if shown.record.state in ENDED:
            return
        await _worth_telling(leader, transfer_id, news)


async def _worth_telling(leader: Leader, transfer_id: str, news: asyncio.Event) -> None:
    """Until something has changed and the period has passed, or until the end. Raises Unavailable."""
    loop = asyncio.get_running_loop()
    soonest = loop.time() + WATCH_PERIOD
    await news.wait()
    leader.driver.check()
    while (left := soonest - loop.time()) > 0:
        news = leader.driver.signals.waiter(transfer_signal(transfer_id))
        live = leader.transfers.core.transfers.get(transfer_id)
        if live is None or live.record.state in ENDED:
            return
        await wait_until(news, left)
        leader.driver.check()


async def wish(leader: Leader, transfer_id: str, wanted: Wish, time_left: float) -> Shown:
    """Has it run, pause or end. Answers when that is so and on disk, when somebody wished otherwise
    meanwhile, or when time is up. Raises NotFound, FailedPrecondition (TRANSFER_ENDED)."""
    shown = await show(leader, transfer_id)
    if shown.record.state in ENDED:
        if wanted is Wish.CANCEL and shown.record.state is TransferState.CANCELLED:
            return shown
        raise FailedPrecondition(
            f"The transfer has ended ({shown.record.state.name}).", reason="TRANSFER_ENDED"
        )
    if wanted is Wish.RUN:
        await leader.driver.ask(fleet_events.LendingAllowed(shown.record.spec.account_ids))
    await leader.driver.ask(e.Wished(transfer_id, wanted))
    on_the_way = _ON_THE_WAY.get(wanted)
    if on_the_way is not None:
        await _until(leader, transfer_id, lambda one: one.record.state is not on_the_way, time_left)
    await _on_disk(leader)
    return await show(leader, transfer_id)


async def settle(leader: Leader, transfer_id: str, shard: int, batch: int, *, sent: bool) -> Shown:
    """A person's word on a batch. Raises NotFound, FailedPrecondition (BATCH_NOT_UNDECIDED)."""
    shown = await show(leader, transfer_id)
    part = shown.live.shards.get(shard) if shown.live is not None else None
    open_one = part.batch if part is not None else None
    if open_one is None or open_one.batch != batch or open_one.state is not BatchState.UNDECIDED:
        raise FailedPrecondition(
            f"Batch {batch} of shard {shard} needs no decision; `tgfleet transfer show` lists those that do.",
            reason="BATCH_NOT_UNDECIDED",
        )
    await leader.driver.ask(e.SettledByPerson(transfer_id, shard, batch, sent))
    await _on_disk(leader)
    return await show(leader, transfer_id)


async def explain(leader: Leader, transfer_id: str) -> tuple[Sequence[Explained], str]:
    """Why each account is or is not chosen now, and a sentence on the whole. Raises NotFound."""
    shown = await show(leader, transfer_id)
    if shown.live is None:
        return (), f"The transfer has ended ({shown.record.state.name})."
    driver = leader.driver
    return leader.transfers.core.explain(transfer_id, driver.now(), driver.wall()), shown.record.detail


async def _on_disk(leader: Leader) -> None:
    """What the core has done so far: commits are written in order, so one with nothing in it comes after."""
    await leader.transfers.committer.commit(Changes(), lambda: None)


async def _until(
    leader: Leader, transfer_id: str, reached: Callable[[Transfer], bool], time_left: float
) -> None:
    """Until the transfer is as it should be or has ended; at the latest shortly before the deadline."""
    loop = asyncio.get_running_loop()
    ends = loop.time() + max(0.0, time_left - min(1.0, time_left * 0.1))
    while loop.time() < ends:
        news = leader.driver.signals.waiter(transfer_signal(transfer_id))
        live = leader.transfers.core.transfers.get(transfer_id)
        if live is None or reached(live):
            return
        await wait_until(news, ends - loop.time())
        leader.driver.check()
