"""Which form each request of TransferService must have; `checks` is the entrance.

Here rather than in the domain because a regular expression is tried out: with RE2, as the scheduler runs it,
in time linear in its length."""

from collections.abc import Callable, Mapping
from typing import Any

import re2
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from services.gateway.domain import forms
from services.gateway.domain import transfer_forms as transfers
from services.gateway.domain.forms import BadForm
from tgfleet.gateway.v1 import account_pb2, transfer_pb2

_PAGE = 1000
_RE2_MEMORY = 1 << 20
"""Bytes that a compiled expression may take."""
_MODES = dict(transfer_pb2.TransferMode.DESCRIPTOR.values_by_number)
_MEDIA: Mapping[int, str] = {number: name for name, number in transfer_pb2.MediaKind.items()}
_STATES: Mapping[int, str] = {number: name for name, number in transfer_pb2.TransferState.items()}


def check_transfer_policy(request: account_pb2.UpdateAccountRequest) -> None:
    """`account.transfer_policy` of an update."""
    policy = request.account.transfer_policy
    forms.check_number("account.transfer_policy.daily_cap", policy.daily_cap, 0, transfers.MAX_DAILY_CAP)
    transfers.check_hours("account.transfer_policy.allowed_hours", policy.allowed_hours)


def _create(request: transfer_pb2.CreateTransferRequest) -> None:
    if not request.HasField("spec"):
        raise BadForm("spec", "Say what to move.")
    spec = request.spec
    transfers.check_chats(spec.source, spec.target)
    transfers.check_accounts(spec.account_ids, spec.match_labels)
    _range(spec)
    _content(spec)
    forms.check_number("spec.parallel", spec.parallel, 0, transfers.MAX_PARALLEL)
    forms.check_number("spec.topic_id", spec.topic_id, 0, transfers.MAX_MESSAGE_ID)
    forms.check_number("spec.max_per_hour", spec.max_per_hour, 0, transfers.MAX_PER_HOUR)
    forms.check_request_id(request.request_id)


def _range(spec: transfer_pb2.TransferSpec) -> None:
    kind = spec.WhichOneof("range")
    if kind == "ids":
        transfers.check_ids(spec.ids.first, spec.ids.last)
    elif kind == "last":
        forms.check_number("spec.last", spec.last, 1, transfers.MAX_MESSAGE_ID)
    elif kind == "dates":
        since, until = (_seconds(spec.dates, name) for name in ("since", "until"))
        transfers.check_dates(since, until)


def _seconds(dates: transfer_pb2.DateRange, name: str) -> float | None:
    if not dates.HasField(name):  # type: ignore[arg-type]  # one of the two names
        return None
    stamp: Timestamp = getattr(dates, name)
    forms.check_timestamp(f"spec.dates.{name}", stamp.seconds, stamp.nanos)
    return stamp.seconds + stamp.nanos / 1e9


def _content(spec: transfer_pb2.TransferSpec) -> None:
    if spec.mode not in _MODES:
        raise BadForm("spec.mode", "Use TRANSFER_MODE_FORWARD or TRANSFER_MODE_COPY.")
    if spec.drop_captions and spec.mode != transfer_pb2.TRANSFER_MODE_COPY:
        raise BadForm(
            "spec.drop_captions", "Captions can be dropped from copies only; use TRANSFER_MODE_COPY."
        )
    if len(spec.media) > len(_MEDIA):
        raise BadForm("spec.media", "Name each kind once.")
    for index, kind in enumerate(spec.media):
        forms.check_enum(f"spec.media[{index}]", kind, _MEDIA)
    _expression(spec.match)


def _expression(pattern: str) -> None:
    if len(pattern) > transfers.MAX_MATCH:
        raise BadForm("spec.match", f"Use at most {transfers.MAX_MATCH:,} characters.")
    options = re2.Options()
    options.log_errors, options.max_mem = False, _RE2_MEMORY
    try:
        re2.compile(pattern, options)
    except (re2.error, UnicodeError) as error:
        raise BadForm(
            "spec.match", "This is no RE2 regular expression (github.com/google/re2/wiki/Syntax)."
        ) from error


def _list(request: transfer_pb2.ListTransfersRequest) -> None:
    forms.check_page(request.page_size, request.page_token, _PAGE)
    if len(request.states) > len(_STATES):
        raise BadForm("states", "Name each state once.")
    for index, state in enumerate(request.states):
        forms.check_enum(f"states[{index}]", state, _STATES)


def _named(request: Any) -> None:
    forms.check_reference("transfer_id", request.transfer_id)


def _settle(request: transfer_pb2.SettleBatchRequest) -> None:
    _named(request)
    forms.check_number("shard", request.shard, 1, 2**31 - 1)
    forms.check_number("batch", request.batch, 1, 2**63 - 1)


TRANSFER_CHECKS: Mapping[type[Message], Callable[[Any], None]] = {
    transfer_pb2.CreateTransferRequest: _create,
    transfer_pb2.GetTransferRequest: _named,
    transfer_pb2.ListTransfersRequest: _list,
    transfer_pb2.WatchTransferRequest: _named,
    transfer_pb2.PauseTransferRequest: _named,
    transfer_pb2.ResumeTransferRequest: _named,
    transfer_pb2.CancelTransferRequest: _named,
    transfer_pb2.ExplainTransferRequest: _named,
    transfer_pb2.SettleBatchRequest: _settle,
}
