"""Records of transfers to rows and back. Knows the tables' columns, no statements.

Rows are written as tuples in the order of the table's columns. Numbers of a batch are packed, as 100 ids in
decimals would be most of what a commit writes.
"""

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

from services.scheduler.domain.transfers.records import (
    BatchRecord,
    BatchState,
    Candidate,
    Chat,
    Mode,
    ModelRecord,
    ShardRecord,
    TargetCount,
    TransferRecord,
    TransferSpec,
    TransferState,
    Usage,
    UsageChange,
    WaitRecord,
    Wish,
)

Row = tuple[Any, ...]

_TUPLES = ("media", "account_ids")
_SPEC_FIELDS = frozenset(field.name for field in fields(TransferSpec))


def transfer_row(record: TransferRecord) -> Row:
    return (
        record.transfer_id,
        record.request_id or None,
        _json(asdict(record.spec) | {"mode": record.spec.mode.name}),
        _json(asdict(record.source)),
        _json(asdict(record.target)),
        record.target_key,
        record.state.value,
        record.wish.value,
        record.created,
        record.reason,
        _text(record.detail),
        _text(record.action),
        record.wake,
        record.ended,
        _json([asdict(one) for one in record.candidates]),
    )


def transfer(row: Any) -> TransferRecord:
    return TransferRecord(
        transfer_id=row.transfer_id,
        request_id=row.request_id or "",
        spec=_spec(json.loads(row.spec)),
        source=Chat(**json.loads(row.source)),
        target=Chat(**json.loads(row.target)),
        target_key=row.target_key,
        state=TransferState(row.state),
        wish=Wish(row.wish),
        created=row.created,
        reason=row.reason,
        detail=row.detail,
        action=row.action,
        wake=row.wake,
        ended=row.ended,
        candidates=tuple(Candidate(**one) for one in json.loads(row.candidates)),
    )


def _spec(kept: dict[str, Any]) -> TransferSpec:
    """A field that a later version added is dropped, one that it lacks has its default."""
    known = {name: value for name, value in kept.items() if name in _SPEC_FIELDS}
    known |= {name: tuple(known[name]) for name in _TUPLES if name in known}
    return TransferSpec(**known | {"mode": Mode[known["mode"]]})


def shard_row(record: ShardRecord) -> Row:
    return (
        record.transfer_id,
        record.shard,
        record.first_id,
        record.last_id,
        record.checkpoint,
        record.next_batch,
        record.done,
        _json(record.skipped) if record.skipped else "{}",
        record.account_id,
        record.finished,
    )


def shard(row: Any) -> ShardRecord:
    return ShardRecord(
        transfer_id=row.transfer_id,
        shard=row.shard,
        first_id=row.first_id,
        last_id=row.last_id,
        checkpoint=row.checkpoint,
        next_batch=row.next_batch,
        done=row.done,
        skipped=json.loads(row.skipped),
        account_id=row.account_id,
        finished=row.finished,
    )


def batch_row(record: BatchRecord) -> Row:
    return (
        record.transfer_id,
        record.shard,
        record.batch,
        record.state.value,
        record.account_id,
        _packed("i", record.message_ids),
        _packed("q", record.random_ids),
        _packed("i", record.target_ids),
        record.target_top_id,
        record.through_id,
        _json(record.skipped) if record.skipped else "{}",
        record.order_id,
        record.attempt,
        record.first_sent,
        _json(record.refused) if record.refused else "{}",
        _text(record.detail),
    )


def batch(row: Any) -> BatchRecord:
    return BatchRecord(
        transfer_id=row.transfer_id,
        shard=row.shard,
        batch=row.batch,
        state=BatchState(row.state),
        account_id=row.account_id,
        message_ids=_unpacked("i", row.message_ids),
        random_ids=_unpacked("q", row.random_ids),
        target_ids=_unpacked("i", row.target_ids),
        target_top_id=row.target_top_id,
        through_id=row.through_id,
        skipped=json.loads(row.skipped),
        order_id=row.order_id,
        attempt=row.attempt,
        first_sent=row.first_sent,
        refused={int(message_id): reason for message_id, reason in json.loads(row.refused).items()},
        detail=row.detail,
    )


def batch_key(record: BatchRecord) -> Row:
    return record.transfer_id, record.shard, record.batch


def refused_rows(record: BatchRecord) -> list[Row]:
    return [(record.transfer_id, message_id, reason) for message_id, reason in record.refused.items()]


def wait_row(record: WaitRecord) -> Row:
    return (
        record.account_id,
        record.method,
        record.chat_id,
        record.until,
        record.seconds,
    )


def wait(row: Any) -> WaitRecord:
    return WaitRecord(row.account_id, row.method, row.chat_id, row.until, row.seconds)


def usage_row(change: UsageChange) -> Row:
    return (
        change.account_id,
        change.day,
        change.reserved,
        change.sent,
        change.sent,
    )


def usage(row: Any) -> Usage:
    return Usage(row.account_id, row.day, row.reserved, row.sent, row.total)


def model_row(record: ModelRecord) -> Row:
    return record.account_id, record.method, record.state


def model(row: Any) -> ModelRecord:
    return ModelRecord(row.account_id, row.method, row.state)


def target_row(record: TargetCount) -> Row:
    return record.target_key, record.minute, record.count


def target(row: Any) -> TargetCount:
    return TargetCount(row.target_key, row.minute, row.count)


def _json(value: Mapping[Any, Any] | Sequence[Any]) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _text(value: str) -> str:
    """PostgreSQL keeps no NUL characters, and a sentence may quote what other people wrote."""
    return value.replace("\0", "")


def _packed(kind: str, numbers: Sequence[int]) -> bytes:
    return struct.pack(f"<{len(numbers)}{kind}", *numbers)


def _unpacked(kind: str, packed: bytes) -> tuple[int, ...]:
    return struct.unpack(f"<{len(packed) // struct.calcsize('<' + kind)}{kind}", packed)
