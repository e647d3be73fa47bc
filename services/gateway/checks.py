"""Which form each public request must have: protobuf fields to `domain.forms`, one function per kind of
request.

`check(request)` is the only entrance; a request type without a function here is refused, and a test walks
them all."""

from collections.abc import Callable, Mapping
from typing import Any

from google.protobuf.message import Message

from services.gateway.domain import forms
from services.gateway.domain.forms import BadForm
from services.gateway.transfer_checks import TRANSFER_CHECKS, check_transfer_policy
from services.runtime.errors import InvalidArgument
from tgfleet.gateway.v1 import account_pb2, audit_pb2, fleet_pb2, key_pb2, token_pb2

MAX_IMPORT_ITEMS = 1000
_MAX_PRIORITY = 1000
_MAX_CHATS = 10_000
_MAX_PROXY = 1024
_MAX_TIME_ZONE = 64
_PAGE = 1000
_STATUS_PAGE = 10_000
_ROLES: Mapping[int, str] = {value: name for name, value in token_pb2.Role.items()}


def check(request: Message) -> None:
    """Raises InvalidArgument that names the field."""
    try:
        _CHECKS[type(request)](request)
    except BadForm as error:
        raise InvalidArgument(error.sentence, field=error.field) from error


def _start_all(request: fleet_pb2.StartAllRequest) -> None:
    _fleet_call(request)
    forms.check_duration("wait_for", request.wait_for.seconds, request.wait_for.nanos)


def _fleet_call(
    request: fleet_pb2.StartAllRequest
    | fleet_pb2.StopAllRequest
    | fleet_pb2.StartChatRequest
    | fleet_pb2.StopChatRequest,
) -> None:
    _selection(request)
    forms.check_request_id(request.request_id)


def _selection(request: Any) -> None:
    forms.check_selection(request.account_ids, request.match_labels)


def _fleet_status(request: fleet_pb2.GetFleetStatusRequest) -> None:
    _selection(request)
    forms.check_page(request.page_size, request.page_token, _STATUS_PAGE)


def _accounts_page(request: account_pb2.ListAccountsRequest) -> None:
    _selection(request)
    forms.check_page(request.page_size, request.page_token, _PAGE)


def _page(
    request: fleet_pb2.ListWorkersRequest | token_pb2.ListTokensRequest | audit_pb2.ListAuditEntriesRequest,
) -> None:
    forms.check_page(request.page_size, request.page_token, _PAGE)


def _drain(request: fleet_pb2.DrainWorkerRequest) -> None:
    forms.check_worker_id("worker_id", request.worker_id)
    forms.check_duration("timeout", request.timeout.seconds, request.timeout.nanos)


def _nothing(
    _request: fleet_pb2.ResumeStartsRequest | key_pb2.ListKeysRequest | key_pb2.RotateKeysRequest,
) -> None:
    """An empty message cannot be wrong."""


def _account(
    request: account_pb2.GetAccountRequest
    | account_pb2.DeleteAccountRequest
    | account_pb2.EnableAccountRequest
    | account_pb2.DisableAccountRequest
    | account_pb2.ResetFloodWaitsRequest,
) -> None:
    forms.check_reference("account_id", request.account_id)


def _import(request: account_pb2.ImportAccountsRequest) -> None:
    """Only the list as a whole: a bad item must not spoil the others, so items are the registry's to
    judge."""
    if request.ByteSize() > forms.MAX_REQUEST_BYTES:
        raise BadForm(
            "items", f"Send at most {forms.MAX_REQUEST_BYTES // 2**20} MiB in one call; import in parts."
        )
    if not 1 <= len(request.items) <= MAX_IMPORT_ITEMS:
        raise BadForm("items", f"Import 1 to {MAX_IMPORT_ITEMS:,} accounts in one call.")
    forms.check_request_id(request.request_id)


def _update(request: account_pb2.UpdateAccountRequest) -> None:
    account = request.account
    forms.check_reference("account.account_id", account.account_id)
    forms.check_mask(request.update_mask.paths, tuple(_UPDATES))
    for path in request.update_mask.paths:
        _UPDATES[path](request)


def _update_policy(request: account_pb2.UpdateAccountRequest) -> None:
    policy = request.account.chat_policy
    for name, ids in (("chat_ids", policy.chat_ids), ("user_ids", policy.user_ids)):
        if len(ids) > _MAX_CHATS:
            raise BadForm(f"account.chat_policy.{name}", f"Name at most {_MAX_CHATS:,}.")
    for index, user_id in enumerate(policy.user_ids):
        forms.check_number(f"account.chat_policy.user_ids[{index}]", user_id, 1, 2**63 - 1)
    for index, chat_id in enumerate(policy.chat_ids):
        forms.check_number(f"account.chat_policy.chat_ids[{index}]", chat_id, -(2**63), -1)


def _update_home_worker(request: account_pb2.UpdateAccountRequest) -> None:
    if request.account.home_worker:
        forms.check_worker_id("account.home_worker", request.account.home_worker)


def _create_token(request: token_pb2.CreateTokenRequest) -> None:
    forms.check_name("name", request.name)
    forms.check_enum("role", request.role, _ROLES)
    if request.HasField("expire_time"):
        forms.check_timestamp("expire_time", request.expire_time.seconds, request.expire_time.nanos)


def _update_token(request: token_pb2.UpdateTokenRequest) -> None:
    forms.check_reference("name", request.name)
    forms.check_enum("role", request.role, _ROLES)


def _revoke_token(request: token_pb2.RevokeTokenRequest) -> None:
    forms.check_reference("name", request.name)


_UPDATES: Mapping[str, Callable[[account_pb2.UpdateAccountRequest], None]] = {
    "name": lambda request: forms.check_name("account.name", request.account.name),
    "labels": lambda request: forms.check_labels("account.labels", request.account.labels),
    "priority": lambda request: forms.check_number(
        "account.priority", request.account.priority, -_MAX_PRIORITY, _MAX_PRIORITY
    ),
    "home_worker": _update_home_worker,
    "time_zone": lambda request: forms.check_text(
        "account.time_zone", request.account.time_zone, _MAX_TIME_ZONE
    ),
    "chat_policy": _update_policy,
    "transfer_policy": check_transfer_policy,
    "proxy": lambda request: forms.check_text("proxy", request.proxy, _MAX_PROXY),
}

_CHECKS: Mapping[type[Message], Callable[[Any], None]] = {
    fleet_pb2.StartAllRequest: _start_all,
    fleet_pb2.StopAllRequest: _fleet_call,
    fleet_pb2.StartChatRequest: _fleet_call,
    fleet_pb2.StopChatRequest: _fleet_call,
    fleet_pb2.GetFleetStatusRequest: _fleet_status,
    fleet_pb2.ListWorkersRequest: _page,
    fleet_pb2.DrainWorkerRequest: _drain,
    fleet_pb2.ResumeStartsRequest: _nothing,
    fleet_pb2.WatchEventsRequest: _selection,
    account_pb2.ListAccountsRequest: _accounts_page,
    account_pb2.GetAccountRequest: _account,
    account_pb2.ImportAccountsRequest: _import,
    account_pb2.UpdateAccountRequest: _update,
    account_pb2.DeleteAccountRequest: _account,
    account_pb2.EnableAccountRequest: _account,
    account_pb2.DisableAccountRequest: _account,
    account_pb2.ResetFloodWaitsRequest: _account,
    token_pb2.CreateTokenRequest: _create_token,
    token_pb2.ListTokensRequest: _page,
    token_pb2.UpdateTokenRequest: _update_token,
    token_pb2.RevokeTokenRequest: _revoke_token,
    key_pb2.ListKeysRequest: _nothing,
    key_pb2.RotateKeysRequest: _nothing,
    audit_pb2.ListAuditEntriesRequest: _page,
    **TRANSFER_CHECKS,
}
