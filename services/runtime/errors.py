"""The one exception tree of tgfleet. It knows no gRPC, SQL, etcd or Telegram: adapters translate into it.

::

    TgfleetError
    ├── InvalidArgument      the request itself is wrong; always names the `field`
    ├── NotFound             what was named does not exist
    ├── AlreadyExists        what was to be made exists
    ├── FailedPrecondition   the request is fine, the state of the thing is not; do not just repeat it
    ├── PermissionDenied     known caller, not allowed
    ├── Unauthenticated      unknown caller
    ├── ResourceExhausted    a quota or rate limit; see `retry_after`
    ├── Aborted              lost against a concurrent change (term, token, transaction); start over
    ├── Unavailable          something needed is away; repeating later is right
    ├── DeadlineExceeded     not done in time; whether it happened is unknown
    ├── Unimplemented        this server has no such method
    ├── Internal             our mistake; the log knows more under metadata["incident"]
    └── SettingsError        the environment is wrong; printed at start, exit code 2 (never crosses gRPC)

Every error has a `reason` that a program can match (UPPER_SNAKE, at most 63 characters, as
google.rpc.ErrorInfo asks) and a sentence for a person. Neither may hold a secret. `services.runtime.status`
maps the tree to gRPC and back.
"""

from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import ClassVar

_NOTHING: Mapping[str, str] = MappingProxyType({})


class TgfleetError(Exception):
    """Base of the tree. `code` is the name of the gRPC status code that the class stands for."""

    code: ClassVar[str] = "INTERNAL"
    default_reason: ClassVar[str] = "INTERNAL"

    def __init__(
        self,
        message: str,
        *,
        reason: str | None = None,
        metadata: Mapping[str, str] = _NOTHING,
        field: str | None = None,
        retry_after: timedelta | None = None,
    ) -> None:
        """`message` is the sentence; `field` the path of the offending request field (`account_ids[3]`)."""
        super().__init__(message)
        self.message = message
        self.reason = reason or self.default_reason
        self.metadata = MappingProxyType(dict(metadata))
        self.field = field
        self.retry_after = retry_after

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.reason}: {self.message})"


class InvalidArgument(TgfleetError):
    """The request is wrong whatever the state of the fleet; `field` names the culprit."""

    code = "INVALID_ARGUMENT"
    default_reason = "INVALID_ARGUMENT"

    def __init__(
        self,
        message: str,
        *,
        field: str,
        reason: str | None = None,
        metadata: Mapping[str, str] = _NOTHING,
        retry_after: timedelta | None = None,
    ) -> None:
        super().__init__(message, reason=reason, metadata=metadata, field=field, retry_after=retry_after)


class NotFound(TgfleetError):
    """What was named does not exist."""

    code = "NOT_FOUND"
    default_reason = "NOT_FOUND"


class AlreadyExists(TgfleetError):
    """What was to be made exists already."""

    code = "ALREADY_EXISTS"
    default_reason = "ALREADY_EXISTS"


class FailedPrecondition(TgfleetError):
    """The thing is in the wrong state for this; repeating without a change will not help."""

    code = "FAILED_PRECONDITION"
    default_reason = "FAILED_PRECONDITION"


class PermissionDenied(TgfleetError):
    """The caller is known and may not do this."""

    code = "PERMISSION_DENIED"
    default_reason = "PERMISSION_DENIED"


class Unauthenticated(TgfleetError):
    """The caller is not known."""

    code = "UNAUTHENTICATED"
    default_reason = "UNAUTHENTICATED"


class ResourceExhausted(TgfleetError):
    """A quota, a size or a rate limit was hit."""

    code = "RESOURCE_EXHAUSTED"
    default_reason = "RESOURCE_EXHAUSTED"


class Aborted(TgfleetError):
    """A concurrent change won (a stale term or token, a lost transaction); read again and start over."""

    code = "ABORTED"
    default_reason = "ABORTED"


class Unavailable(TgfleetError):
    """Something needed cannot be reached now; repeating later is right."""

    code = "UNAVAILABLE"
    default_reason = "UNAVAILABLE"


class DeadlineExceeded(TgfleetError):
    """The time allowed ran out; whether the call took effect is unknown."""

    code = "DEADLINE_EXCEEDED"
    default_reason = "DEADLINE_EXCEEDED"


class Unimplemented(TgfleetError):
    """The server has no such method, or a version of it that lacks this."""

    code = "UNIMPLEMENTED"
    default_reason = "UNIMPLEMENTED"


class Internal(TgfleetError):
    """Our own mistake. The sentence is neutral; `metadata["incident"]` finds the story in the log."""

    code = "INTERNAL"
    default_reason = "INTERNAL"


class SettingsError(TgfleetError):
    """The environment cannot be used; the sentence names the variable and never echoes a secret."""

    code = "FAILED_PRECONDITION"
    default_reason = "BAD_SETTINGS"
