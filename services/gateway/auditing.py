"""What an audit entry says of a request and its answer. Only fields named here are ever copied out of a
message, and what looks like a secret or a phone number in them is masked: people put things into wrong
fields.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from services.runtime.redact import mask_name, redact_text
from tgfleet.gateway.v1 import account_pb2, key_pb2, token_pb2

_MAX_LISTED = 20
"""Targets of one kind that are listed; of more, the number is told."""
_MAX_TEXT = 80
_MAX_ENTRY = 200

_ROLES = {number: name.removeprefix("ROLE_").lower() for name, number in token_pb2.Role.items()}
_SINGLE = ("account_id", "name", "worker_id")
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
    if isinstance(request, account_pb2.UpdateAccountRequest):
        yield _target("account_id", request.account.account_id)
        yield from _some("field", request.update_mask.paths)
    if isinstance(request, account_pb2.ImportAccountsRequest):
        yield from _some("name", (item.name for item in request.items))


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
    if "summary" in answer.DESCRIPTOR.fields_by_name and answer.HasField("summary"):
        return _counted(answer.summary.by_outcome.items())
    return ""


def _counted(counts: Iterable[tuple[str, int]]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts))
