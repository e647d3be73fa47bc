"""Protobuf <-> domain for everything that the worker says and hears. Nothing else."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from services.worker.domain import facts as fact_kinds
from services.worker.domain import orders, picture
from services.worker.domain.chat_policy import ChatPolicy
from services.worker.domain.outcomes import Ending, Outcome, Reason
from services.worker.domain.telegram import Credentials
from services.worker.ports import Acquired, Grant, Held, KnownWait, NewLease, Release, Wanted
from tgfleet.gateway.v1 import account_pb2, event_pb2, fleet_pb2, result_pb2
from tgfleet.registry.v1 import registry_pb2 as registry
from tgfleet.scheduler.v1 import scheduler_pb2 as scheduler
from tgfleet.worker.v1 import worker_pb2 as worker


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


def _reason(reason: Reason) -> Any:
    return result_pb2.Reason.Value(f"REASON_{reason}")


def _outcome(outcome: Outcome) -> Any:
    return result_pb2.Outcome.Value(f"OUTCOME_{outcome}")


def token(given: picture.Token) -> worker.Token:
    """A token on the wire."""
    return worker.Token(generation=given.generation, revision=given.revision)


def report(given: picture.SessionReport) -> worker.SessionReport:
    """A report on the wire."""
    message = worker.SessionReport(
        account_id=given.account_id,
        command_id=given.command_id,
        state=fleet_pb2.SessionState.Value(f"SESSION_STATE_{given.state}"),
        reason=_reason(given.reason),
        detail=given.detail,
        chatting=given.chatting,
        state_time=timestamp(given.state_time),
        user_id=given.user_id,
        released=given.released,
    )
    if given.token is not None:
        message.token.CopyFrom(token(given.token))
    if given.outcome is not None:
        message.outcome = _outcome(given.outcome)
    if given.retry_time is not None:
        message.retry_time.CopyFrom(timestamp(given.retry_time))
    return message


def announced(files: Iterable[picture.SessionFile]) -> list[fleet_pb2.AnnouncedFile]:
    """Session files on the wire."""
    return [
        fleet_pb2.AnnouncedFile(
            file_name=file.file_name,
            auth_key_id=file.auth_key_id,
            user_id=file.user_id,
            problem=file.problem,
        )
        for file in files
    ]


def hello(worker_id: str, incarnation: str, capacity: int, whole: picture.Picture) -> worker.Hello:
    """The first message of a stream."""
    return worker.Hello(
        worker_id=worker_id,
        incarnation=incarnation,
        capacity=capacity,
        sessions=[report(given) for given in whole.sessions],
        files=announced(whole.files),
        draining=whole.draining,
    )


def event(given: picture.Happening, worker_id: str) -> event_pb2.Event:
    """An event on the wire."""
    message = event_pb2.Event(
        time=timestamp(given.time),
        account_id=given.account_id,
        name=given.name,
        worker_id=worker_id,
        detail=given.detail,
    )
    match given.kind:
        case picture.SessionChanged() as kind:
            message.session_changed.state = kind.state
            message.session_changed.reason = _reason(kind.reason)
        case picture.MessageReceived() as kind:
            message.message_received.chat_id = kind.chat_id
            message.message_received.message_id = kind.message_id
            message.message_received.sender_id = kind.sender_id
            message.message_received.text = kind.text
        case picture.MessageAnswered() as kind:
            message.message_answered.chat_id = kind.chat_id
            message.message_answered.message_id = kind.message_id
            message.message_answered.reply_to_message_id = kind.reply_to_message_id
            message.message_answered.text = kind.text
        case picture.Waiting() as kind:
            message.flood_wait.CopyFrom(_flood_wait(kind.method, kind.chat_id, kind.until))
        case picture.Disconnected() as kind:
            message.disconnected.cause = kind.cause
            message.disconnected.uptime.CopyFrom(duration(kind.uptime))
            message.disconnected.reconnected = kind.reconnected
            if kind.downtime is not None:
                message.disconnected.downtime.CopyFrom(duration(kind.downtime))
    return message


def _flood_wait(method: str, chat_id: int, until: datetime) -> result_pb2.FloodWait:
    return result_pb2.FloodWait(method=method, chat_id=chat_id, until_time=timestamp(until))


def order(message: scheduler.AttachWorkerResponse) -> orders.Order | None:
    """What the scheduler said; None for a kind that this worker does not know yet."""
    command: orders.Command
    match message.WhichOneof("message"):
        case "welcome":
            command = orders.Welcome(message.welcome.heartbeat_period.ToTimedelta().total_seconds())
        case "start":
            starts = tuple(
                orders.StartOne(one.account_id, one.chat, one.session_file) for one in message.start.sessions
            )
            command = orders.Start(message.start.command_id, starts)
        case "stop":
            command = orders.Stop(message.stop.command_id, tuple(message.stop.account_ids))
        case "set_chat":
            chat = message.set_chat
            command = orders.SetChat(chat.command_id, tuple(chat.account_ids), chat.chat)
        case "drain":
            command = orders.Drain(message.drain.drain)
        case "fleet_users":
            command = orders.FleetUsers(frozenset(message.fleet_users.user_ids))
        case "configure":
            command = orders.Configure(tuple(_config(one) for one in message.configure.sessions))
        case _:
            return None
    return orders.Order(message.term, command)


def _config(message: worker.SessionConfig) -> orders.SessionConfig:
    policy = chat_policy(message.chat_policy)
    return orders.SessionConfig(message.account_id, message.name, policy, message.time_zone)


def chat_policy(message: account_pb2.ChatPolicy) -> ChatPolicy:
    """Where an account may answer."""
    return ChatPolicy(frozenset(message.chat_ids), frozenset(message.user_ids), message.contacts)


def acquire_request(
    worker_id: str, incarnation: str, request_id: str, wanted: Sequence[Wanted], held: Sequence[Held]
) -> registry.AcquireSessionsRequest:
    """An acquisition on the wire."""
    return registry.AcquireSessionsRequest(
        worker_id=worker_id,
        incarnation=incarnation,
        request_id=request_id,
        items=[
            registry.AcquireItem(account_id=one.account_id, auth_key_id=one.auth_key_id) for one in wanted
        ],
        leases=[
            registry.HeldLease(
                lease_id=lease.lease_id, sessions=lease.sessions, settle=duration(lease.settle)
            )
            for lease in held
        ],
    )


def acquired(message: registry.AcquireSessionsResponse) -> Acquired:
    """The answer to an acquisition."""
    return Acquired(
        tuple(
            _grant(result.grant) if result.WhichOneof("result") == "grant" else _refusal(result.refusal)
            for result in message.results
        ),
        tuple(
            NewLease(
                lease.lease_id,
                lease.ttl.ToTimedelta().total_seconds(),
                lease.settle.ToTimedelta().total_seconds(),
            )
            for lease in message.leases
        ),
    )


def _grant(message: registry.SessionGrant) -> Grant:
    material = message.session if message.HasField("session") else None
    return Grant(
        token=picture.Token(message.token.generation, message.token.revision),
        lease_id=message.lease_id,
        auth_key_id=message.auth_key_id,
        credentials=_credentials(message, material) if material is not None else None,
        user_id=message.user_id,
        name=message.name,
        time_zone=message.time_zone,
        chat_policy=chat_policy(message.chat_policy),
        waits=tuple(
            KnownWait(wait.method, wait.chat_id, to_datetime(wait.until_time)) for wait in message.flood_waits
        ),
        api_id=message.api_id,
        device_model=message.device_model,
        proxy=message.proxy,
    )


def _credentials(grant: registry.SessionGrant, material: registry.SessionMaterial) -> Credentials:
    return Credentials(
        dc_id=material.dc_id,
        auth_key=material.auth_key,
        test_mode=material.test_mode,
        user_id=grant.user_id or material.user_id,
        api_id=grant.api_id,
        device_model=grant.device_model,
        proxy=grant.proxy,
    )


def _refusal(message: registry.SessionRefusal) -> Ending:
    outcome = result_pb2.Outcome.Name(message.outcome).removeprefix("OUTCOME_")
    reason = result_pb2.Reason.Name(message.reason).removeprefix("REASON_")
    retry = to_datetime(message.retry_time) if message.HasField("retry_time") else None
    return Ending(Outcome(outcome), Reason(reason), message.detail, retry)


def release(given: Release) -> registry.Release:
    """A release on the wire."""
    return registry.Release(
        account_id=given.account_id,
        auth_key_id=given.auth_key_id,
        token=token(given.token),
        clean=given.clean,
    )


def fact(given: fact_kinds.Fact, worker_id: str, incarnation: str) -> registry.Fact:
    """A fact on the wire."""
    message = registry.Fact(
        fact_id=given.fact_id,
        account_id=given.account_id,
        time=timestamp(given.time),
        worker_id=worker_id,
    )
    if given.token is not None:
        message.token.CopyFrom(token(given.token))
    match given.kind:
        case fact_kinds.FloodWaited() as kind:
            message.flood_wait.CopyFrom(_flood_wait(kind.method, kind.chat_id, kind.until))
        case fact_kinds.SessionDied() as kind:
            message.session_died.reason = _reason(kind.reason)
        case fact_kinds.LinkLost() as kind:
            message.link_lost.cause = kind.cause
            message.link_lost.uptime.CopyFrom(duration(kind.uptime))
            message.link_lost.reconnected = kind.reconnected
            if kind.downtime is not None:
                message.link_lost.downtime.CopyFrom(duration(kind.downtime))
        case fact_kinds.SessionRan() as kind:
            message.session_ran.user_id = kind.user_id
            message.session_ran.stable = kind.stable
        case fact_kinds.ChatCounts() as kind:
            message.chat_counts.day = kind.day
            message.chat_counts.incarnation = incarnation
            message.chat_counts.received = kind.received
            message.chat_counts.answered = kind.answered
    return message
