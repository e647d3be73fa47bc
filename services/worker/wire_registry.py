"""Protobuf <-> domain for the calls to the registry. Nothing else."""

from collections.abc import Sequence

from services.worker import wire
from services.worker.domain import facts as fact_kinds
from services.worker.domain import picture
from services.worker.domain.outcomes import Ending, Outcome, Reason
from services.worker.domain.telegram import Credentials
from services.worker.ports import Acquired, Grant, Held, KnownWait, NewLease, Release, Wanted
from tgfleet.gateway.v1 import result_pb2
from tgfleet.registry.v1 import registry_pb2 as registry


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
                lease_id=lease.lease_id, sessions=lease.sessions, settle=wire.duration(lease.settle)
            )
            for lease in held
        ],
        assignments=dict.fromkeys(one.assignment for one in wanted if one.assignment),
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
        chat_policy=wire.chat_policy(message.chat_policy),
        waits=tuple(
            KnownWait(wait.method, wait.chat_id, wire.to_datetime(wait.until_time))
            for wait in message.flood_waits
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
    """A refusal that a newer registry words in a way unknown here is a failure with its own sentence."""
    retry = wire.to_datetime(message.retry_time) if message.HasField("retry_time") else None
    try:
        outcome = Outcome(result_pb2.Outcome.Name(message.outcome).removeprefix("OUTCOME_"))
        reason = Reason(result_pb2.Reason.Name(message.reason).removeprefix("REASON_"))
    except ValueError:
        outcome, reason = Outcome.FAILED, Reason.INTERNAL
    return Ending(outcome, reason, message.detail, retry)


def release(given: Release) -> registry.Release:
    """A release on the wire."""
    return registry.Release(
        account_id=given.account_id,
        auth_key_id=given.auth_key_id,
        token=wire.token(given.token),
        clean=given.clean,
    )


def fact(given: fact_kinds.Fact, worker_id: str, incarnation: str) -> registry.Fact:
    """A fact on the wire."""
    message = registry.Fact(
        fact_id=given.fact_id,
        account_id=given.account_id,
        time=wire.timestamp(given.time),
        worker_id=worker_id,
    )
    if given.token is not None:
        message.token.CopyFrom(wire.token(given.token))
    match given.kind:
        case fact_kinds.FloodWaited() as kind:
            message.flood_wait.CopyFrom(wire.flood_wait(kind.method, kind.chat_id, kind.until))
        case fact_kinds.SessionDied() as kind:
            message.session_died.reason = wire.reason(kind.reason)
            message.session_died.auth_key_id = kind.auth_key_id
        case fact_kinds.LinkLost() as kind:
            message.link_lost.cause = kind.cause
            message.link_lost.uptime.CopyFrom(wire.duration(kind.uptime))
            message.link_lost.reconnected = kind.reconnected
            if kind.downtime is not None:
                message.link_lost.downtime.CopyFrom(wire.duration(kind.downtime))
        case fact_kinds.SessionRan() as kind:
            message.session_ran.user_id = kind.user_id
            message.session_ran.stable = kind.stable
        case fact_kinds.ChatCounts() as kind:
            message.chat_counts.day = kind.day
            message.chat_counts.incarnation = incarnation
            message.chat_counts.received = kind.received
            message.chat_counts.answered = kind.answered
    return message
