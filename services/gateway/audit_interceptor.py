"""Makes an audit entry of every call that may change something, however it ends. Runs around the
authentication, so that refused callers are seen as well.

None of the public RPCs takes a stream of requests; a handler that does is the refusal which the
authentication puts in the place of the real one.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NoReturn
from urllib.parse import unquote

import grpc

from services.gateway.auditing import detail_of, shown, targets_of
from services.gateway.domain.roles import audited_as
from services.gateway.handlers.audit import AuditTrail
from services.gateway.handlers.authentication import current_session
from services.runtime.clock import Clock
from services.runtime.malformed import Malformed, lenient
from services.runtime.request_id import current_request_id
from services.runtime.status import as_tgfleet_error
from tgfleet.gateway.v1 import audit_pb2

Handler = Any  # grpc.RpcMethodHandler, whose stubs know only synchronous handlers

_REFUSALS = frozenset(
    {
        "INVALID_ARGUMENT",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "FAILED_PRECONDITION",
        "PERMISSION_DENIED",
        "UNAUTHENTICATED",
        "RESOURCE_EXHAUSTED",
        "UNIMPLEMENTED",
    }
)
"""Codes after which nothing was changed. After others nobody knows."""


@dataclass(frozen=True, slots=True)
class _Unreadable:
    """Stands in for a request that could not be parsed."""

    error: Exception


@dataclass(slots=True)
class _Call:
    """A call under way."""

    name: str
    arrived: datetime
    peer: str
    targets: list[str]


class AuditInterceptor(grpc.aio.ServerInterceptor):
    """Goes outside of the authentication."""

    def __init__(self, trail: AuditTrail, clock: Clock) -> None:
        self._trail = trail
        self._clock = clock
        self._wrapped: dict[str, tuple[Handler, Handler]] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        handler = await continuation(handler_call_details)
        method: str = handler_call_details.method
        name = audited_as(method)
        if handler is None or name is None:
            return handler
        if handler.request_streaming:
            return grpc.stream_stream_rpc_method_handler(self._refusing(name, handler.stream_stream))
        known = self._wrapped.get(method)
        if known is None or known[0] is not handler:
            known = self._wrapped[method] = (handler, self._wrap(name, handler))
        return known[1]

    def _wrap(self, name: str, handler: Handler) -> Handler:
        parse = _reading(handler.request_deserializer)
        serialize = handler.response_serializer
        if handler.response_streaming:
            return grpc.unary_stream_rpc_method_handler(
                self._streaming(name, handler.unary_stream), parse, serialize
            )
        return grpc.unary_unary_rpc_method_handler(
            self._answering(name, handler.unary_unary), parse, serialize
        )

    def _refusing(self, name: str, behaviour: Callable[..., Awaitable[Any]]) -> Callable[..., Any]:
        async def refuse(request: Any, context: Any) -> NoReturn:
            call = self._begin(name, None, context)
            try:
                await behaviour(request, context)
            except BaseException as error:
                await self._failed(call, error)
                raise
            raise AssertionError("a refusal refuses")

        return refuse

    def _answering(self, name: str, behaviour: Callable[..., Awaitable[Any]]) -> Callable[..., Any]:
        async def answer(request: Any, context: Any) -> Any:
            call = self._begin(name, request, context)
            try:
                _refuse_unreadable(request)
                response = await behaviour(request, context)
            except BaseException as error:
                await self._failed(call, error)
                raise
            await self._trail.record(self._entry(call, detail=detail_of(response)))
            return response

        return answer

    def _streaming(self, name: str, behaviour: Callable[..., Any]) -> Callable[..., AsyncIterator[Any]]:
        async def stream(request: Any, context: Any) -> AsyncIterator[Any]:
            call, last = self._begin(name, request, context), None
            try:
                _refuse_unreadable(request)
                async with aclosing(behaviour(request, context)) as answers:
                    async for answer in answers:
                        last = answer
                        yield answer
            except BaseException as error:
                await self._failed(call, error)
                raise
            await self._trail.record(self._entry(call, detail=detail_of(last) if last is not None else ""))

        return stream

    def _begin(self, name: str, request: Any, context: Any) -> _Call:
        readable = request is not None and not isinstance(request, _Unreadable)
        targets = targets_of(request) if readable else []
        return _Call(name, self._clock.wall(), _peer(context), targets)

    async def _failed(self, call: _Call, error: BaseException) -> None:
        if isinstance(error, asyncio.CancelledError | GeneratorExit):  # the caller is gone: do not wait
            failed = audit_pb2.AUDIT_OUTCOME_FAILED
            self._trail.put(self._entry(call, outcome=failed, reason="CANCELLED"))
            return
        known = as_tgfleet_error(error)
        refused = known.code in _REFUSALS
        outcome = audit_pb2.AUDIT_OUTCOME_REFUSED if refused else audit_pb2.AUDIT_OUTCOME_FAILED
        await self._trail.record(self._entry(call, outcome=outcome, reason=known.reason))

    def _entry(
        self,
        call: _Call,
        *,
        outcome: audit_pb2.AuditOutcome.ValueType = audit_pb2.AUDIT_OUTCOME_DONE,
        reason: str = "",
        detail: str = "",
    ) -> audit_pb2.AuditEntry:
        session = current_session.get(None)
        entry = audit_pb2.AuditEntry(
            entry_id=str(uuid.uuid4()),
            token_name=session.caller.name if session else "",
            peer=call.peer,
            method=call.name,
            targets=call.targets,
            outcome=outcome,
            reason=reason,
            detail=detail,
            request_id=shown(current_request_id()),
        )
        entry.time.FromDatetime(call.arrived)
        if session:
            entry.role = session.caller.role.value  # type: ignore[assignment]  # the same numbers
        return entry


def _reading(parse: Callable[[bytes], Any] | None) -> Callable[[bytes], Any] | None:
    """A parser whose failure comes to our wrapper instead of passing it by."""
    tolerant = lenient(parse)
    if tolerant is None:
        return None

    def read(data: bytes) -> Any:
        found = tolerant(data)
        return _Unreadable(found.error) if isinstance(found, Malformed) else found

    return read


def _refuse_unreadable(request: Any) -> None:
    if isinstance(request, _Unreadable):
        raise request.error


def _peer(context: Any) -> str:
    """Address and port, as in `127.0.0.1:40112` or `[::1]:40112`."""
    scheme, _, address = unquote(context.peer() or "").partition(":")
    return address[:100] if scheme in {"ipv4", "ipv6"} else scheme
