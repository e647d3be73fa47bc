"""What an audit entry says of a request and its answer. Only fields named here are ever copied out of a
message, and what looks like a secret or a phone number in them is masked: people put things into wrong
fields.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from services.runtime.redact import mask_name, redact_text
from tgfleet.gateway.v1 import account_pb2, key_pb2, token_pb2, transfer_pb2

_MAX_LISTED = 20
"""Targets of one kind that are listed; of more, the number is told."""
_MAX_TEXT = 80
_MAX_ENTRY = 200

_ROLES = {number: name.removeprefix("ROLE_").lower() for name, number in token_pb2.Role.items()}
_SINGLE = ("account_id", "name", "worker_id", "transfer_id")
_STATES = {
    number: name.removeprefix("TRANSFER_STATE_") for name, number in transfer_pb2.TransferState.items()
}
_FLEET_CALLS = ("StartAllRequest", "StopAllRequest", "StartChatRequest", "StopChatRequest")


def targets_of(request: Any) -> list[str]:
    """What the call was about, as `account_id=acc_...`."""
    return list(_targets(request))


def _targets(request: Any) -> Iterator[str]:
    fields = request.DESCRIPTOR.fields_by_name
    for name in _SINGLE:
        if name in fields and getattr(request, name):
            yield _target(name, getattr(request, name))
    if "account_ids" in fields:
        yield from _some("account", request.account_ids)
        yield from _some("label", (f"{key}={value}" for key, value in sorted(request.match_labels.items())))
        if request.DESCRIPTOR.name in _FLEET_CALLS and not (request.account_ids or request.match_labels):
            yield "all accounts"
    if "role" in fields and request.role in _ROLES:
        yield f"role={_ROLES[request.role]}"
    if "undo" in fields and request.undo:
        yield "undo"
    yield from _particular(request)


def _particular(request: Any) -> Iterator[str]:
    """What only one kind of request has."""
    match request:
        case account_pb2.UpdateAccountRequest():
            yield _target("account_id", request.account.account_id)
            yield from _some("field", request.update_mask.paths)
        case account_pb2.ImportAccountsRequest():
            yield from _some("name", (item.name for item in request.items))
        case transfer_pb2.CreateTransferRequest():
            yield from _transfer(request.spec)
        case transfer_pb2.SettleBatchRequest():
            yield f"shard={request.shard} batch={request.batch} {'sent' if request.sent else 'not sent'}"


def _transfer(spec: transfer_pb2.TransferSpec) -> Iterator[str]:
    yield _target("source", spec.source)
    yield _target("target", spec.target)
    yield from _some("account", spec.account_ids)
    yield from _some("label", (f"{key}={value}" for key, value in sorted(spec.match_labels.items())))


def _some(kind: str, values: Iterable[str]) -> Iterator[str]:
    listed = list(values)
    for value in listed[:_MAX_LISTED]:
        yield _target(kind, value)
    if len(listed) > _MAX_LISTED:
        yield f"{len(listed)} in all"


def _target(kind: str, value: str) -> str:
    return f"{kind}={shown(value)}"


def shown(text: str) -> str:
    """A stranger's text as it may stand in the trail."""
    return mask_name(redact_text(text[:_MAX_ENTRY]))[:_MAX_TEXT]


def detail_of(answer: Any) -> str:
    """What came of it; empty when the outcome says all."""
    if isinstance(answer, account_pb2.ImportAccountsResponse):
        counts = Counter(result.reason or "ADDED" for result in answer.results)
        return _counted(counts.items())
    if isinstance(answer, key_pb2.RotateKeysResponse):
        return f"{answer.resealed} resealed with {shown(answer.key_id)}, {answer.unreadable} unreadable"
    if "transfer" in answer.DESCRIPTOR.fields_by_name:
        return f"{shown(answer.transfer.transfer_id)} {_STATES.get(answer.transfer.state, '')}".strip()
    if "summary" in answer.DESCRIPTOR.fields_by_name and answer.HasField("summary"):
        return _counted(answer.summary.by_outcome.items())
    return ""


def _counted(counts: Iterable[tuple[str, int]]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts))
