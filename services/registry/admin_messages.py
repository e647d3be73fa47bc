"""Between protobuf and domain, for tokens, master keys and the audit trail. Decides nothing; `servicer` uses
it."""

from services.registry.domain import audit, tokens
from services.registry.handlers.keys import MasterKey, Progress
from services.registry.messages import moment, timestamp
from services.runtime.errors import InvalidArgument
from tgfleet.gateway.v1 import audit_pb2, key_pb2, token_pb2

_OUTCOMES = {audit_pb2.AuditOutcome.Value(f"AUDIT_OUTCOME_{outcome}"): outcome for outcome in audit.Outcome}
_OUTCOME_NUMBERS = {outcome: number for number, outcome in _OUTCOMES.items()}
_ROLES = {token_pb2.Role.Value(f"ROLE_{role}"): role for role in tokens.Role}


def api_token(token: tokens.Token) -> token_pb2.ApiToken:
    """The public message."""
    return token_pb2.ApiToken(
        name=token.name,
        role=token_pb2.Role.Value(f"ROLE_{token.role}"),
        create_time=timestamp(token.create_time),
        expire_time=timestamp(token.expire_time),
        last_use_time=timestamp(token.last_use_time),
    )


def role_from(number: int) -> tokens.Role | None:
    """None for an unset or unknown one."""
    return _ROLES.get(number)  # type: ignore[call-overload, no-any-return]


def master_key(key: MasterKey) -> key_pb2.MasterKey:
    """The public message."""
    return key_pb2.MasterKey(key_id=key.key_id, active=key.active, present=key.present, secrets=key.secrets)


def progress(found: Progress) -> key_pb2.RotateKeysResponse:
    """The public message."""
    return key_pb2.RotateKeysResponse(
        key_id=found.key_id,
        resealed=found.resealed,
        remaining=found.remaining,
        unreadable=found.unreadable,
        unreadable_account_ids=found.unreadable_account_ids,
        done=found.done,
    )


def entry(found: audit.Entry) -> audit_pb2.AuditEntry:
    """The public message."""
    return audit_pb2.AuditEntry(
        entry_id=found.entry_id,
        time=timestamp(found.time),
        token_name=found.token_name,
        role=token_pb2.Role.Value(f"ROLE_{found.role or 'UNSPECIFIED'}"),
        peer=found.peer,
        method=found.method,
        targets=found.targets,
        outcome=_OUTCOME_NUMBERS[found.outcome],
        reason=found.reason,
        detail=found.detail,
        request_id=found.request_id,
    )


def entry_from(message: audit_pb2.AuditEntry, field: str) -> audit.Entry:
    """Raises InvalidArgument."""
    outcome = _OUTCOMES.get(message.outcome)
    if outcome is None:
        raise InvalidArgument("An entry says how the call ended.", field=f"{field}.outcome")
    role = role_from(message.role)
    return audit.Entry(
        entry_id=message.entry_id,
        time=moment(message.time, f"{field}.time"),
        token_name=message.token_name,
        role=role.value if role else "",
        peer=message.peer,
        method=message.method,
        targets=tuple(message.targets),
        outcome=outcome,
        reason=message.reason,
        detail=message.detail,
        request_id=message.request_id,
    )
