"""Looks into the target for a batch of unknown outcome: asked for, and what they show. What follows from that
is decided in `doubts.py`.
"""

from services.scheduler.domain.transfers import dispatch
from services.scheduler.domain.transfers.batch import By
from services.scheduler.domain.transfers.batching import DELETED
from services.scheduler.domain.transfers.orders import Answer, Looked, LookInTarget, OrderRefused
from services.scheduler.domain.transfers.reading import reference
from services.scheduler.domain.transfers.records import Mode
from services.scheduler.domain.transfers.refusals import Meaning, meaning
from services.scheduler.domain.transfers.sending import sent
from services.scheduler.domain.transfers.settling import Evidence, Finding, Sought, judge
from services.scheduler.domain.transfers.state import (
    Batch,
    Desk,
    Look,
    Outstanding,
    Purpose,
    Shard,
    Transfer,
    span,
)
from services.scheduler.domain.transfers.waiting import note_wait

_BACKOFF = 0.25
_BACKOFF_CAP = 30.0
_TRIES = 6
NOT_DELIVERED = "NOT_DELIVERED"
"""Telegram did not name it, and it is not in the target although it is in the source."""


def put_off(desk: Desk, batch: Batch, until: float = 0.0) -> None:
    """Nothing more is tried for a moment, longer each time."""
    batch.retry = max(until, desk.now + min(_BACKOFF_CAP, _BACKOFF * 2 ** min(batch.tries, 10)))
    batch.tries += 1


def give_look(desk: Desk, shard: Shard, batch: Batch, account_id: str) -> bool:
    """Asks an account to look. False when it cannot just now."""
    record, transfer = batch.record, shard.transfer.record
    work = LookInTarget(
        reference(transfer.source),
        reference(transfer.target),
        record.message_ids,
        record.target_top_id,
        desk.rules.look_limit,
        transfer.spec.topic_id,
    )
    name = f"{shard.key}/look/{desk.next_number()}"
    if dispatch.give(desk, shard, account_id, name=name, purpose=Purpose.LOOK, work=work):
        batch.order_id = name
        shard.active = True
        return True
    put_off(desk, batch)
    return False


def looked(desk: Desk, out: Outstanding, answer: Answer | None) -> None:
    """What a look found; None when its worker is gone."""
    shard = out.shard
    batch = shard.current
    if batch is None or batch.order_id != out.order.order_id:
        return
    batch.order_id = ""
    desk.touch(shard)
    account_id = out.order.account_id
    if not isinstance(answer, Looked):
        _look_failed(desk, batch, account_id, answer)
        return
    evidence = judge(_sought(desk, shard, batch), answer)
    if batch.delivered:
        _name_delivered(desk, shard, batch, answer, evidence)
    elif evidence.finding is Finding.ALL and not _contested(desk, shard.transfer):
        sent(desk, shard, By.EVIDENCE, evidence.target_ids, dict.fromkeys(evidence.gone, DELETED))
    else:
        clear = evidence.finding is Finding.NONE and not batch.moved
        batch.looks.append(Look(desk.now, account_id, clear, evidence.detail))
        if clear and account_id == batch.record.account_id:
            batch.absent = desk.now


def _contested(desk: Desk, transfer: Transfer) -> bool:
    """Whether another transfer moves the same messages to the same place: its traces look the same."""
    return any(
        other is not transfer
        and other.record.source.chat_id == transfer.record.source.chat_id
        and other.record.target.chat_id == transfer.record.target.chat_id
        and _overlap(other, transfer)
        for other in desk.transfers.values()
    )


def _overlap(one: Transfer, other: Transfer) -> bool:
    (first, last), (begin, end) = span(one), span(other)
    return (not last or begin <= last) and (not end or first <= end)


def _look_failed(desk: Desk, batch: Batch, account_id: str, answer: Answer | None) -> None:
    put_off(desk, batch)
    if batch.delivered and batch.tries > _TRIES:  # the ids are not worth waiting for
        batch.looks.append(Look(desk.now, account_id, clear=False))
    if note_wait(desk, account_id, answer) or not isinstance(answer, OrderRefused):
        return
    if meaning(answer) is not Meaning.UNKNOWN:
        batch.looks.append(Look(desk.now, account_id, clear=False, detail=answer.name))


def _name_delivered(desk: Desk, shard: Shard, batch: Batch, found: Looked, evidence: Evidence) -> None:
    """Telegram said that it is delivered; what the answer did not name is known now, or does not exist."""
    named = {**batch.named, **evidence.target_ids}
    refused: dict[int, str] = {}
    if not batch.named and evidence.finding is Finding.ALL:
        refused = dict.fromkeys(evidence.gone, DELETED)
    if batch.named:
        there = {trace.message_id for trace in found.source}
        refused = {
            one: NOT_DELIVERED if one in there else DELETED
            for one in batch.record.message_ids
            if one not in named and (one not in there or evidence.finding is Finding.NONE)
        }
    sent(desk, shard, By.EVIDENCE, named, refused)


def _sought(desk: Desk, shard: Shard, batch: Batch) -> Sought:
    record, transfer = batch.record, shard.transfer.record
    view = desk.accounts.get(record.account_id)
    senders = frozenset({view.user_id, transfer.target.chat_id}) if view and view.user_id else frozenset()
    return Sought(
        tuple(one for one in record.message_ids if one not in batch.named),
        transfer.source.chat_id,
        transfer.source.kind == "channel",
        transfer.spec.mode is Mode.COPY,
        transfer.spec.drop_captions,
        senders,
        frozenset(batch.named.values()),
    )
