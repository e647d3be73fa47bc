"""Protobuf <-> domain: what the worker's two conversations share. Nothing else."""

from datetime import UTC, datetime, timedelta
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from services.worker.domain.chat_policy import ChatPolicy
from services.worker.domain.outcomes import Outcome, Reason
from services.worker.domain.picture import Token
from tgfleet.gateway.v1 import account_pb2, result_pb2
from tgfleet.worker.v1 import worker_pb2


def timestamp(when: datetime) -> Timestamp:
    """A time on the wire."""
    stamp = Timestamp()
    stamp.FromDatetime(when.astimezone(UTC))
    return stamp


def duration(seconds: float) -> Duration:
    """Seconds on the wire, never negative."""
    span = Duration()
    span.FromTimedelta(timedelta(seconds=max(0.0, seconds)))
    return span


def to_datetime(stamp: Timestamp) -> datetime:
    """A time from the wire, in UTC."""
    return stamp.ToDatetime(tzinfo=UTC)


def reason(given: Reason) -> Any:
    """A reason on the wire."""
    return result_pb2.Reason.Value(f"REASON_{given}")


def outcome(given: Outcome) -> Any:
    """An outcome on the wire."""
    return result_pb2.Outcome.Value(f"OUTCOME_{given}")


def token(given: Token) -> worker_pb2.Token:
    """A token on the wire."""
    return worker_pb2.Token(generation=given.generation, revision=given.revision)


def flood_wait(method: str, chat_id: int, until: datetime) -> result_pb2.FloodWait:
    """A wait on the wire."""
    return result_pb2.FloodWait(method=method, chat_id=chat_id, until_time=timestamp(until))


def chat_policy(message: account_pb2.ChatPolicy) -> ChatPolicy:
    """Where an account may answer."""
    return ChatPolicy(frozenset(message.chat_ids), frozenset(message.user_ids), message.contacts)
