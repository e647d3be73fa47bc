"""People around a transfer: others who post in its target, and an operator who resumes what stands, and
decides what nobody else can."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.scheduler.domain.transfers import events as e
from services.scheduler.domain.transfers.records import BatchRecord, TransferState, Wish
from tests.simulation.transfers.leader import Leader
from tests.simulation.transfers.workers import LATE

if TYPE_CHECKING:
    from tests.simulation.transfers.play import Play

_OPERATOR = 45.0
"""Seconds between two looks of the operator."""


def others_post(play: Play) -> None:
    """Somebody writes in the target, now and then."""
    play.posts += 1
    if play.rng.random() < 0.4:
        play.telegram.forward_by_others(play.rng.choice(sorted(play.telegram.source)))
    else:
        play.telegram.post("ok" if play.repeating_texts else "good morning")
    if play.posts < 300:
        play.world.after(play.rng.uniform(0.5, 60.0), others_post, play)


def operator(play: Play) -> None:
    """Looks in now and then: resumes what stands, and decides what nobody else can."""
    play.world.after(_OPERATOR, operator, play)
    for name in play.names:
        leader = play.leader
        if leader is not None and name in leader.core.transfers:
            _look_in(play, leader, name)


def _look_in(play: Play, leader: Leader, name: str) -> None:
    record = leader.core.transfers[name].record
    if record.state is TransferState.PAUSED and play.world.chance(0.5):
        play.world.note("the operator resumes", name, record.reason)
        leader.tell(e.Wished(name, Wish.RUN))
    if record.state is TransferState.UNDECIDED and play.world.chance(0.2):
        _decide(play, leader, name)


def _decide(play: Play, leader: Leader, name: str) -> None:
    for shard in leader.core.transfers[name].shards.values():
        batch = shard.batch
        if batch is None or shard.reason != "UNDECIDED":
            continue
        play.undecided += 1
        if not _may_be_undecided(play, batch):
            play.wrong.append(f"undecided without need: {batch}")
        if shard.current is None or leader.now < shard.current.unknown_since + LATE:
            continue  # something may still be on its way
        there = {one.origin for one in play.telegram.target}
        sent = [one for one in batch.message_ids if one in there]
        play.world.note("the operator settles", name, batch.batch, bool(sent))
        leader.tell(e.SettledByPerson(name, batch.shard, batch.batch, sent=bool(sent)))


def _may_be_undecided(play: Play, batch: BatchRecord) -> bool:
    numbered = play.telegram.channel_source and not play.copies
    deleted = not any(one in play.telegram.source for one in batch.message_ids)
    no_evidence = not numbered and (play.repeating_texts or deleted)
    return no_evidence or batch.account_id in play.gone or not play.runs(batch.account_id)
