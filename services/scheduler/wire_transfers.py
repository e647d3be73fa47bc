"""Transfers between their records and the public contract. Decides nothing; what is wrong with a request that
can be seen without looking anywhere is told by `planning.check`."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from services.scheduler.domain.transfers.choosing.words import Explained, Obstacle, Predicted
from services.scheduler.domain.transfers.records import (
    BatchRecord,
    BatchState,
    Candidate,
    Chat,
    Mode,
    RefusedMessage,
    ShardRecord,
    TransferRecord,
    TransferSpec,
    TransferState,
)
from services.scheduler.domain.transfers.state import Transfer
from services.scheduler.wire import timestamp, wall_time
from services.scheduler.wire_transfer_orders import media_kinds
from tgfleet.gateway.v1 import transfer_pb2 as pb

NameOf = Callable[[str], str]
"""An account's name by its id; the id for one that is not known any more."""

_MODES = {pb.TRANSFER_MODE_UNSPECIFIED: Mode.FORWARD} | {mode.value: mode for mode in Mode}
_STATES = {state.value: state for state in TransferState}
_PREFIX = len("MEDIA_KIND_")


def spec(message: pb.TransferSpec) -> TransferSpec | None:
    """The accounts as they were asked for. None when it names a mode or media that this version does not
    know."""
    kinds = [kind for kind in message.media if kind in pb.MediaKind.values() and kind]
    if message.mode not in _MODES or len(kinds) != len(message.media):
        return None
    return TransferSpec(
        source=message.source.strip(),
        target=message.target.strip(),
        mode=_MODES[message.mode],
        media=tuple(pb.MediaKind.Name(kind)[_PREFIX:] for kind in sorted(set(kinds))),
        match=message.match,
        account_ids=tuple(dict.fromkeys(message.account_ids)),
        match_labels=dict(message.match_labels),
        range_kind=message.WhichOneof("range") or "",
        range_first=message.ids.first,
        range_last=message.ids.last if message.HasField("ids") else message.last,
        range_since=wall_time(message.dates.since),
        range_until=wall_time(message.dates.until),
        parallel=message.parallel or 1,
        topic_id=message.topic_id,
        silent=message.silent,
        drop_captions=message.drop_captions,
        max_per_hour=message.max_per_hour,
        strict=message.strict,
        follow=message.follow,
        only_running=message.only_running,
    )


def states(values: Sequence[int]) -> list[TransferState] | None:
    """None when one of them is none."""
    return [_STATES[value] for value in values] if all(value in _STATES for value in values) else None


def transfer(
    record: TransferRecord, shards: Sequence[ShardRecord], live: Transfer | None, now: float, name_of: NameOf
) -> pb.Transfer:
    """What is stored, and of one that has not ended what only the core (`live`) knows; without refused
    messages and candidates. `now` is the core's."""
    made = _transfer(record, shards)
    for shard in shards:
        part = live.shards.get(shard.shard) if live is not None else None
        made.shards.append(_shard(shard, name_of, part.detail if part is not None else ""))
        if part is not None and part.batch is not None and part.batch.state is BatchState.UNDECIDED:
            made.undecided.append(_undecided(part.batch))
    if live is not None:
        made.rate = live.rate(now)
    return made


def add_details(
    made: pb.Transfer,
    refused: Sequence[RefusedMessage],
    candidates: Sequence[Candidate],
    name_of: NameOf,
) -> pb.Transfer:
    """Adds what only those see who ask for one transfer."""
    made.refused.extend(pb.SkippedMessage(message_id=one.message_id, reason=one.reason) for one in refused)
    made.candidates.extend(
        pb.TransferCandidate(
            account_id=one.account_id,
            name=name_of(one.account_id),
            usable=one.usable,
            reason=one.reason,
            detail=one.detail,
        )
        for one in candidates
    )
    return made


def explained(one: Explained) -> pb.AccountExplanation:
    return pb.AccountExplanation(
        account_id=one.account_id,
        name=one.name,
        chosen=one.chosen,
        rank=one.rank,
        obstacles=[_obstacle(obstacle) for obstacle in one.obstacles],
        sent_today=one.sent_today,
        daily_cap=one.daily_cap,
        sent_total=one.sent_total,
        predictions=[_predicted(prediction) for prediction in one.predictions],
    )


def _transfer(record: TransferRecord, shards: Sequence[ShardRecord]) -> pb.Transfer:
    return pb.Transfer(
        transfer_id=record.transfer_id,
        spec=_spec(record.spec),
        source=_chat(record.source),
        target=_chat(record.target),
        state=pb.TransferState.ValueType(record.state.value),
        reason=record.reason,
        detail=record.detail,
        action=record.action,
        next_wake_time=timestamp(record.wake),
        total=sum(map(_size, shards)),
        done=sum(shard.done for shard in shards),
        skipped=_sum(shard.skipped for shard in shards),
        create_time=timestamp(record.created),
        end_time=timestamp(record.ended),
    )


def _size(shard: ShardRecord) -> int:
    """Ids in it; while it has no end, those that were looked at."""
    last = shard.last_id or shard.checkpoint
    return max(0, last - shard.first_id + 1)


def _sum(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for one in counts:
        for reason, number in one.items():
            total[reason] = total.get(reason, 0) + number
    return total


def _spec(record: TransferSpec) -> pb.TransferSpec:
    made = pb.TransferSpec(
        source=record.source,
        target=record.target,
        mode=pb.TransferMode.ValueType(record.mode.value),
        media=media_kinds(record.media),
        match=record.match,
        account_ids=() if record.match_labels else record.account_ids,
        match_labels=record.match_labels,
        parallel=record.parallel,
        topic_id=record.topic_id,
        silent=record.silent,
        drop_captions=record.drop_captions,
        max_per_hour=record.max_per_hour,
        strict=record.strict,
        follow=record.follow,
        only_running=record.only_running,
    )
    if record.range_kind == "ids":
        made.ids.first, made.ids.last = record.range_first, record.range_last
    elif record.range_kind == "last":
        made.last = record.range_last
    elif record.range_kind == "dates":
        made.dates.CopyFrom(
            pb.DateRange(since=timestamp(record.range_since), until=timestamp(record.range_until))
        )
    return made


def _chat(chat: Chat) -> pb.TransferChat:
    return pb.TransferChat(chat_id=chat.chat_id, title=chat.title, kind=chat.kind)


def _shard(record: ShardRecord, name_of: NameOf, detail: str) -> pb.TransferShard:
    return pb.TransferShard(
        shard=record.shard,
        first_id=record.first_id,
        last_id=record.last_id,
        checkpoint_id=record.checkpoint,
        account_id=record.account_id,
        account_name=name_of(record.account_id) if record.account_id else "",
        detail=detail,
    )


def _undecided(batch: BatchRecord) -> pb.UndecidedBatch:
    return pb.UndecidedBatch(
        shard=batch.shard,
        batch=batch.batch,
        message_ids=batch.message_ids,
        account_id=batch.account_id,
        detail=batch.detail,
    )


def _obstacle(one: Obstacle) -> pb.Obstacle:
    return pb.Obstacle(reason=one.reason, detail=one.detail, until_time=timestamp(one.until))


def _predicted(one: Predicted) -> pb.Prediction:
    return pb.Prediction(
        method=one.method,
        budget=one.budget,
        budget_left=one.budget_left,
        recovery_per_hour=one.recovery_per_hour,
        waits_seen=one.waits_seen,
        detail=one.detail,
    )
