"""Reading ahead, and the one look at the target that tells its newest id. One order of each at a time and
shard, by the account that sends. Knows nothing of batches.
"""

from dataclasses import replace

from services.scheduler.domain.transfers import dispatch, holding
from services.scheduler.domain.transfers.orders import (
    Answer,
    ChatReference,
    InspectChats,
    Inspected,
    OrderNotDone,
    OrderRefused,
    ReadSource,
    SourcePage,
)
from services.scheduler.domain.transfers.records import BatchState, Chat
from services.scheduler.domain.transfers.refusals import HISTORY, Meaning, meaning, reason
from services.scheduler.domain.transfers.sentences import (
    protected_source,
    read_refused,
    source_migrated,
    verdict,
)
from services.scheduler.domain.transfers.state import Desk, Outstanding, Purpose, Shard
from services.scheduler.domain.transfers.stopping import fail, pause_all
from services.scheduler.domain.transfers.waiting import note_wait

_BACKOFF = 0.25
_BACKOFF_CAP = 30.0
_NEWEST = 1


def reference(chat: Chat) -> ChatReference:
    """A chat for a worker."""
    return ChatReference(chat.query, chat.chat_id)


def read_on(desk: Desk, shard: Shard) -> None:
    """Asks for the next page, if there is room for it and an account that may read."""
    intake, rules = shard.intake, desk.rules
    if shard.reading or intake.ended or intake.ids >= rules.read_ahead * rules.batch_size:
        return
    if not _may_read(desk, shard):
        return
    record = shard.transfer.record
    work = ReadSource(
        reference(record.source),
        intake.after_id,
        intake.through_id,
        rules.page_size,
        record.spec.media,
        record.spec.match,
        rules.follow_min_age if record.spec.follow else 0.0,
    )
    name = f"{shard.key}/read/{desk.next_number()}"
    if dispatch.give(desk, shard, shard.account_id, name=name, purpose=Purpose.READ, work=work):
        shard.reading = name


def inspect(desk: Desk, shard: Shard) -> None:
    """Asks for the target's newest id, from which on a batch would be looked for."""
    if shard.inspecting or not _may_read(desk, shard):
        return
    record = shard.transfer.record
    work = InspectChats(
        reference(record.source),
        reference(record.target),
        record.spec.topic_id,
        "ids",
        _NEWEST,
        _NEWEST,
    )
    name = f"{shard.key}/inspect/{desk.next_number()}"
    if dispatch.give(desk, shard, shard.account_id, name=name, purpose=Purpose.INSPECT, work=work):
        shard.inspecting = name


def page_read(desk: Desk, out: Outstanding, answer: Answer | None) -> None:
    """What became of a reading; None when its worker is gone."""
    shard = out.shard
    if shard.reading != out.order.order_id:
        return
    shard.reading = ""
    desk.touch(shard)
    if not isinstance(answer, SourcePage):
        _failed(desk, shard, out.order.account_id, answer)
        return
    shard.read_tries = 0
    if answer.migrated_to_chat_id:
        fail(desk, shard.transfer, *source_migrated(shard.transfer.record))
        return
    follow = shard.transfer.record.spec.follow and shard.record.last_id == 0
    held_before = shard.intake.holding
    shard.intake.feed(answer, final=not follow or (held_before and not answer.messages))
    if follow and shard.intake.ended:
        wait = desk.rules.follow_min_age if shard.intake.holding else desk.rules.follow_interval
        shard.read_again = desk.now + wait
        shard.caught_up = not shard.intake.units


def inspected(desk: Desk, out: Outstanding, answer: Answer | None) -> None:
    """What became of an inspection."""
    shard = out.shard
    if shard.inspecting != out.order.order_id:
        return
    shard.inspecting = ""
    desk.touch(shard)
    transfer = shard.transfer
    if not isinstance(answer, Inspected):
        _failed(desk, shard, out.order.account_id, answer)
        return
    shard.read_tries = 0
    source, target = answer.source, answer.target
    if source.protected:
        fail(desk, transfer, *protected_source(transfer.record))
    elif not source.can_read:
        _deny(desk, shard, out.order.account_id, "CANNOT_READ")
    elif not target.can_post:
        _deny(desk, shard, out.order.account_id, "CANNOT_POST")
    elif transfer.lost_target and not target.migrated_to_chat_id:
        transfer.lost_target = False
        _deny(desk, shard, out.order.account_id, "CANNOT_POST")
    else:
        transfer.lost_target = False
        if target.slow_mode_seconds:
            transfer.slow[out.order.account_id] = target.slow_mode_seconds
        target_moved(desk, shard, target.migrated_to_chat_id)
        transfer.top = max(transfer.top or 0, target.top_message_id)
        desk.touch_all(transfer)


def target_moved(desk: Desk, shard: Shard, chat_id: int) -> None:
    """The target became a supergroup: it is followed; what the random_ids come from stays."""
    record = shard.transfer.record
    if chat_id and chat_id != record.target.chat_id:
        record.target = replace(record.target, chat_id=chat_id, kind="supergroup")
        shard.transfer.top = None
        for one in shard.transfer.shards.values():
            if one.current is not None and one.current.record.state is not BatchState.INTENDED:
                one.current.moved = True
        desk.saver.transfer(record)
        desk.note(shard.transfer)


def _may_read(desk: Desk, shard: Shard) -> bool:
    if desk.now < shard.read_again:
        desk.wake_at(shard, shard.read_again)
        return False
    until = desk.pool.waiting(shard.account_id, HISTORY, 0, desk.now)
    if until is None:
        return True
    shard.read_again = until
    shard.reason, shard.wake = "FLOOD_WAIT", until
    shard.detail = "The account must wait before it may read on."
    desk.wake_at(shard, until)
    return False


def _failed(desk: Desk, shard: Shard, account_id: str, answer: Answer | None) -> None:
    shard.read_tries += 1
    shard.read_again = desk.now + min(_BACKOFF_CAP, _BACKOFF * 2 ** min(shard.read_tries, 10))
    if note_wait(desk, account_id, answer):
        return
    if isinstance(answer, OrderNotDone) and answer.cause == "CHAT_NOT_FOUND":
        _deny(desk, shard, account_id, "CANNOT_READ")
    if not isinstance(answer, OrderRefused):
        return
    kind = meaning(answer)
    if kind is Meaning.VERDICT:
        pause_all(desk, shard.transfer, reason(answer), *verdict(reason(answer), _name(desk, account_id)))
    elif kind is not Meaning.UNKNOWN:
        shard.detail = read_refused(reason(answer))
        _deny(desk, shard, account_id, "CANNOT_READ")


def _deny(desk: Desk, shard: Shard, account_id: str, why: str) -> None:
    desk.pool.deny(shard.transfer.record.transfer_id, account_id, why)
    shard.read_again = desk.now
    shard.read_tries = 0
    if shard.account_id == account_id and shard.current is None:
        holding.release(desk, shard)


def _name(desk: Desk, account_id: str) -> str:
    view = desk.accounts.get(account_id)
    return view.name if view is not None else account_id
