"""Records of transfers to rows and back. Knows the tables' columns, no statements.

Rows are plain dictionaries with one key for each column. Numbers of a batch are packed, as 100 ids in
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
    TransferRecord,
    TransferSpec,
    TransferState,
    Usage,
    UsageChange,
    WaitRecord,
    Wish,
)

Row = dict[str, Any]

_TUPLES = ("media", "account_ids")
_SPEC_FIELDS = frozenset(field.name for field in fields(TransferSpec))


def transfer_row(record: TransferRecord) -> Row:
    return {
        "transfer_id": record.transfer_id,
        "request_id": record.request_id or None,
        "spec": _json(asdict(record.spec) | {"mode": record.spec.mode.name}),
        "source": _json(asdict(record.source)),
        "target": _json(asdict(record.target)),
        "target_key": record.target_key,
        "state": record.state.value,
        "wish": record.wish.value,
        "created": record.created,
        "reason": record.reason,
        "detail": record.detail,
        "action": record.action,
        "wake": record.wake,
        "ended": record.ended,
        "candidates": _json([asdict(one) for one in record.candidates]),
    }


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
    return {
        "transfer_id": record.transfer_id,
        "shard": record.shard,
        "first_id": record.first_id,
        "last_id": record.last_id,
        "checkpoint": record.checkpoint,
        "next_batch": record.next_batch,
        "done": record.done,
        "skipped": _json(record.skipped) if record.skipped else "{}",
        "account_id": record.account_id,
        "finished": record.finished,
    }


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
    return {
        "transfer_id": record.transfer_id,
        "shard": record.shard,
        "batch": record.batch,
        "state": record.state.value,
        "account_id": record.account_id,
        "message_ids": _packed("i", record.message_ids),
        "random_ids": _packed("q", record.random_ids),
        "target_ids": _packed("i", record.target_ids),
        "target_top_id": record.target_top_id,
        "through_id": record.through_id,
        "skipped": _json(record.skipped) if record.skipped else "{}",
        "order_id": record.order_id,
        "attempt": record.attempt,
        "first_sent": record.first_sent,
        "refused": _json(record.refused) if record.refused else "{}",
        "detail": record.detail,
    }


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
    """Names a batch's row in a statement, apart from the columns' own names."""
    return {"of_transfer": record.transfer_id, "of_shard": record.shard, "of_batch": record.batch}


def refused_rows(record: BatchRecord) -> list[Row]:
    return [
        {"transfer_id": record.transfer_id, "message_id": message_id, "reason": reason}
        for message_id, reason in record.refused.items()
    ]


def wait_row(record: WaitRecord) -> Row:
    return {
        "account_id": record.account_id,
        "method": record.method,
        "chat_id": record.chat_id,
        "until": record.until,
        "seconds": record.seconds,
    }


def wait(row: Any) -> WaitRecord:
    return WaitRecord(row.account_id, row.method, row.chat_id, row.until, row.seconds)


def usage_row(change: UsageChange) -> Row:
    return {
        "account_id": change.account_id,
        "day": change.day,
        "reserved": change.reserved,
        "sent": change.sent,
        "total": change.sent,
    }


def usage(row: Any) -> Usage:
    return Usage(row.account_id, row.day, row.reserved, row.sent, row.total)


def model_row(record: ModelRecord) -> Row:
    return {"account_id": record.account_id, "method": record.method, "state": record.state}


def model(row: Any) -> ModelRecord:
    return ModelRecord(row.account_id, row.method, row.state)


def _json(value: Mapping[Any, Any] | Sequence[Any]) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _packed(kind: str, numbers: Sequence[int]) -> bytes:
    return struct.pack(f"<{len(numbers)}{kind}", *numbers)


def _unpacked(kind: str, packed: bytes) -> tuple[int, ...]:
    return struct.unpack(f"<{len(packed) // struct.calcsize('<' + kind)}{kind}", packed)
