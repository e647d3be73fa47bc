"""The one pair of functions between the exception tree and gRPC. The only file that knows google.rpc details.

* `to_status(error) -> google.rpc.Status`, always with ErrorInfo (reason, domain `tgfleet`, metadata),
  BadRequest when a field is named, RetryInfo when there is a time to retry. What is not a `TgfleetError`
  becomes INTERNAL with a neutral sentence and an incident id under which the log has the traceback. Texts
  pass `redact_text` on the way out.
* `from_rpc_error(error) -> TgfleetError` for a `grpc.aio.AioRpcError` of ours, of another gRPC server, or
  made by grpc itself.
"""

import asyncio
import itertools
import uuid
from datetime import timedelta
from typing import TypeVar

import grpc
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2

from services.runtime import errors
from services.runtime.errors import Internal, TgfleetError
from services.runtime.logs import get_logger
from services.runtime.redact import redact_text

M = TypeVar("M", bound=Message)

DOMAIN = "tgfleet"
DETAILS_KEY = "grpc-status-details-bin"

# Clients accept 8 KiB of headers by default (grpc.max_metadata_size) and the sentence travels twice.
# (percent-encoded: times three; in base64: times four thirds). All in bytes of UTF-8.
_MAX_SENTENCE = 1000
_MAX_DETAIL = 300
_MAX_METADATA_KEYS = 16
_MAX_STATUS = 3000

_log = get_logger("runtime.status")

_CLASSES: dict[grpc.StatusCode, type[TgfleetError]] = {
    grpc.StatusCode[cls.code]: cls
    for cls in (
        errors.NotFound,
        errors.AlreadyExists,
        errors.FailedPrecondition,
        errors.PermissionDenied,
        errors.Unauthenticated,
        errors.ResourceExhausted,
        errors.Aborted,
        errors.Unavailable,
        errors.DeadlineExceeded,
        errors.Unimplemented,
        errors.Internal,
    )
}

# Sentences for statuses that carry no details of ours: grpc's own texts name addresses and internals.
_PLAIN = {
    grpc.StatusCode.UNAVAILABLE: "A service that this needs cannot be reached now; try again in a moment.",
    grpc.StatusCode.DEADLINE_EXCEEDED: "No answer came in time; whether the call took effect is unknown.",
    grpc.StatusCode.CANCELLED: "The service that this needs was stopped; try again in a moment.",
    grpc.StatusCode.UNIMPLEMENTED: "The service that was called does not know this method.",
    grpc.StatusCode.RESOURCE_EXHAUSTED: "The service that was called refused: too large, or too many.",
}
_PLAIN_OTHER = "A service that this needs answered with an error that it did not explain."


def grpc_code(error: TgfleetError) -> grpc.StatusCode:
    """The status code that an error's class stands for."""
    return grpc.StatusCode[error.code]


def pick_error(error: BaseException) -> BaseException:
    """The error that speaks for a TaskGroup's ExceptionGroup: the first of ours, else the first."""
    leaves = leaf_errors(error)
    return next((leaf for leaf in leaves if isinstance(leaf, TgfleetError)), leaves[0])


def as_tgfleet_error(error: BaseException) -> TgfleetError:
    """The error itself, or for anything unknown an `Internal` that tells nothing, logged as an incident."""
    picked = pick_error(error)
    if isinstance(picked, TgfleetError):
        return picked
    if isinstance(picked, grpc.aio.AioRpcError):
        return from_rpc_error(picked)
    if isinstance(picked, asyncio.CancelledError):
        return errors.Unavailable("The work for this call was given up; try again.", reason="CALL_CUT")
    incident = uuid.uuid4().hex[:12]
    _log.error("unexpected error", incident=incident, exc_info=error)
    return Internal(
        f"Something went wrong inside tgfleet; the log has the details under incident {incident}.",
        reason="INTERNAL",
        metadata={"incident": incident},
    )


def to_status(error: BaseException) -> status_pb2.Status:
    """The rich status of any error; logs unknown ones."""
    known = as_tgfleet_error(error)
    sentence = _clip(known.message, _MAX_SENTENCE)
    status = status_pb2.Status(code=grpc_code(known).value[0], message=sentence)
    metadata = {_clip(k, _MAX_DETAIL): _clip(v, _MAX_DETAIL) for k, v in known.metadata.items()}
    some = dict(itertools.islice(metadata.items(), _MAX_METADATA_KEYS))
    info = error_details_pb2.ErrorInfo(reason=known.reason, domain=DOMAIN, metadata=some)
    status.details.add().Pack(info)
    if known.field is not None:
        violation = error_details_pb2.BadRequest.FieldViolation(
            field=_clip(known.field, _MAX_DETAIL),
            description=_clip(sentence, _MAX_DETAIL),
            reason=known.reason,
        )
        status.details.add().Pack(error_details_pb2.BadRequest(field_violations=[violation]))
    if known.retry_after is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromTimedelta(max(known.retry_after, timedelta(0)))
        status.details.add().Pack(retry)
    if status.ByteSize() > _MAX_STATUS:
        status.details[0].Pack(error_details_pb2.ErrorInfo(reason=known.reason, domain=DOMAIN))
    return status


def from_rpc_error(error: grpc.aio.AioRpcError) -> TgfleetError:
    """The error that the other side meant. Never raises; raise the result `from error`."""
    code = error.code()
    status = _rich_status(error)
    info = _detail(status, error_details_pb2.ErrorInfo)
    if status is None or info is None or info.domain != DOMAIN:
        return _plain(code)
    bad_request = _detail(status, error_details_pb2.BadRequest)
    field = bad_request.field_violations[0].field if bad_request and bad_request.field_violations else None
    retry = _detail(status, error_details_pb2.RetryInfo)
    retry_after: timedelta | None = retry.retry_delay.ToTimedelta() if retry else None
    metadata = dict(info.metadata)
    if code is grpc.StatusCode.INVALID_ARGUMENT:
        return errors.InvalidArgument(
            status.message,
            field=field or "request",
            reason=info.reason,
            metadata=metadata,
            retry_after=retry_after,
        )
    return _CLASSES.get(code, Internal)(
        status.message, reason=info.reason, metadata=metadata, field=field, retry_after=retry_after
    )


def _plain(code: grpc.StatusCode) -> TgfleetError:
    sentence = _PLAIN.get(code, _PLAIN_OTHER)
    if code is grpc.StatusCode.INVALID_ARGUMENT:
        return errors.InvalidArgument(sentence, field="request")
    if code is grpc.StatusCode.CANCELLED:  # nobody here cancelled it: a server that stops says so
        return errors.Unavailable(sentence, reason="CALL_CUT")
    return _CLASSES.get(code, Internal)(sentence)


def _rich_status(error: grpc.aio.AioRpcError) -> status_pb2.Status | None:
    for key, value in error.trailing_metadata() or ():
        if key == DETAILS_KEY and isinstance(value, bytes):
            try:
                return status_pb2.Status.FromString(value)
            except DecodeError:
                return None
    return None


def _detail(status: status_pb2.Status | None, kind: type[M]) -> M | None:
    for packed in status.details if status is not None else ():
        message = kind()
        if packed.Is(message.DESCRIPTOR) and packed.Unpack(message):
            return message
    return None


def _clip(text: str, most: int) -> str:
    """Redacted, valid UTF-8, at most so many bytes."""
    return redact_text(text).encode("utf-8", "replace")[:most].decode("utf-8", "ignore")


def leaf_errors(error: BaseException) -> list[BaseException]:
    """The error itself, or what an ExceptionGroup holds, however deep."""
    if not isinstance(error, BaseExceptionGroup):
        return [error]
    return [leaf for inner in error.exceptions for leaf in leaf_errors(inner)]
