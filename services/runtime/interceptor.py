"""The one server interceptor: for all four kinds of call it translates errors, logs, counts, times and names the request.

It goes outermost (`ServiceServer` puts it first), so that what other interceptors raise is translated as well.
Handlers just raise from `services.runtime.errors`. Facts of grpc.aio that this file exists for:

* what escapes a handler reaches the client as `UNKNOWN: Unexpected <class>: message`, so nothing may escape;
* `context.abort` raises, and exactly that exception object must come out again;
* a stray CancelledError (an inner call's, not this call's) leaves the caller without any status;
* a request that cannot be parsed and a response of the wrong type fail outside of the handler.
"""

import asyncio
import functools
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from inspect import isasyncgenfunction
from typing import Any, NoReturn, TypeAlias

import grpc
from google.protobuf.message import DecodeError

from services.runtime import metrics
from services.runtime.errors import InvalidArgument, Unimplemented
from services.runtime.logs import get_logger
from services.runtime.request_id import HEADER, accept_request_id, set_request_id
from services.runtime.status import DETAILS_KEY, as_tgfleet_error, pick_error, to_status

_log = get_logger("rpc")
_QUIET_PREFIXES = ("/grpc.health.", "/grpc.reflection.")
_CODES: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}

Handler = Any  # grpc.RpcMethodHandler, whose stubs know only synchronous handlers
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Behaviour = Callable[[Any, Context], Awaitable[Any]]


class _Malformed:
    """Stands in for a unary request whose bytes are no message of its type."""


_MALFORMED = _Malformed()


class ServerInterceptor(grpc.aio.ServerInterceptor):
    """Wraps every handler once and remembers the result."""

    def __init__(self) -> None:
        self._wrapped: dict[str, tuple[Handler, Handler]] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        method: str = handler_call_details.method
        handler = await continuation(handler_call_details)
        if handler is None:
            return _UNKNOWN_METHOD
        known = self._wrapped.get(method)
        if known is not None and known[0] is handler:
            return known[1]
        wrapped = _wrap(method, handler)
        self._wrapped[method] = (handler, wrapped)
        return wrapped


def _wrap(method: str, handler: Handler) -> Handler:
    if handler.request_streaming and handler.response_streaming:
        return grpc.stream_stream_rpc_method_handler(
            _guard(method, _streaming(handler.stream_stream)),
            _strict(handler.request_deserializer),
            handler.response_serializer,
        )
    if handler.request_streaming:
        return grpc.stream_unary_rpc_method_handler(
            _guard(method, _answering(handler.stream_unary, handler.response_serializer)),
            _strict(handler.request_deserializer),
            None,
        )
    if handler.response_streaming:
        return grpc.unary_stream_rpc_method_handler(
            _guard(method, _streaming(handler.unary_stream)),
            _lenient(handler.request_deserializer),
            handler.response_serializer,
        )
    return grpc.unary_unary_rpc_method_handler(
        _guard(method, _answering(handler.unary_unary, handler.response_serializer)),
        _lenient(handler.request_deserializer),
        None,
    )


def _answering(behaviour: Behaviour, serialize: Callable[[Any], bytes] | None) -> Behaviour:
    """A handler with one answer, serialised inside so that an answer of the wrong type is caught too."""
    if serialize is None:
        return behaviour

    async def answer(request: Any, context: Context) -> bytes:
        return serialize(await behaviour(request, context))

    return answer


def _streaming(behaviour: Callable[[Any, Context], Any]) -> Behaviour:
    """Both styles of streaming handler as one that writes; a generator is closed at once when the call ends."""
    if not isasyncgenfunction(_unwrap_partial(behaviour)):
        return behaviour

    async def stream(request: Any, context: Context) -> None:
        responses: AsyncIterator[Any] = behaviour(request, context)
        async with aclosing(responses):  # type: ignore[type-var]
            async for response in responses:
                await context.write(response)

    return stream


def _unwrap_partial(behaviour: Any) -> Any:
    while isinstance(behaviour, functools.partial):
        behaviour = behaviour.func
    return behaviour


def _guard(method: str, behaviour: Behaviour) -> Behaviour:
    quiet = method.startswith(_QUIET_PREFIXES)
    observe = metrics.RPC_DURATION.labels(method).observe
    counters: dict[str, Any] = {}

    def finish(code: str, seconds: float) -> None:
        child = counters.get(code)
        if child is None:
            child = counters[code] = metrics.RPC_REQUESTS.labels(method, code)
        child.inc()
        observe(seconds)
        write = _log.debug if quiet else _log.info
        write("call", method=method, code=code, ms=round(seconds * 1000, 2))

    async def guarded(request: Any, context: Context) -> Any:
        request_id = accept_request_id(context.invocation_metadata())
        set_request_id(request_id)
        context.set_trailing_metadata(((HEADER, request_id),))
        started = time.perf_counter()
        code = "CANCELLED"
        try:
            if request is _MALFORMED:
                raise _malformed_request()
            response = await behaviour(request, context)
            code = _name(context.code())
        except asyncio.CancelledError as error:
            if _is_own_cancellation():
                raise
            await _abort(context, request_id, error)
        except Exception as error:
            picked = pick_error(error)
            if isinstance(picked, grpc.aio.AbortError):
                code = _name(context.code())
                raise picked  # the handler has sent its status itself
            if isinstance(picked, grpc.aio.BaseError):
                raise picked  # the call is over for grpc: nobody is left to tell
            known = as_tgfleet_error(error)
            code = known.code
            await _abort(context, request_id, known)
        else:
            return response
        finally:
            finish(code, time.perf_counter() - started)

    return guarded


async def _abort(context: Context, request_id: str, error: BaseException) -> NoReturn:
    """Ends the call with the error's rich status; raises the AbortError that grpc insists on seeing."""
    status = to_status(error)
    details = ((DETAILS_KEY, status.SerializeToString()), (HEADER, request_id))
    await context.abort(_CODES[status.code], status.message, details)


def _name(code: grpc.StatusCode | int | None) -> str:
    """The name of a code that a handler may have set on its context; none means OK."""
    if isinstance(code, grpc.StatusCode):
        return code.name
    return _CODES[code].name if code in _CODES else "OK"


def _is_own_cancellation() -> bool:
    """Whether this call's task was asked to stop, rather than something it awaited."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


def _lenient(parse: Callable[[bytes], Any] | None) -> Callable[[bytes], Any] | None:
    """A parser whose failure is reported by the handler's wrapper: unary requests are parsed before it runs."""
    if parse is None:
        return None

    def lenient(data: bytes) -> Any:
        try:
            return parse(data)
        except (DecodeError, ValueError):
            return _MALFORMED

    return lenient


def _strict(parse: Callable[[bytes], Any] | None) -> Callable[[bytes], Any] | None:
    """A parser that raises our error: streamed requests are parsed while the handler reads them."""
    if parse is None:
        return None

    def strict(data: bytes) -> Any:
        try:
            return parse(data)
        except (DecodeError, ValueError) as error:
            raise _malformed_request() from error

    return strict


def _malformed_request() -> InvalidArgument:
    return InvalidArgument(
        "The request is no valid message of this method's type; text fields must be UTF-8.",
        field="request",
        reason="MALFORMED_REQUEST",
    )


async def _unknown_method(_request: Any, _context: Context) -> None:
    raise Unimplemented("This server has no such method.", reason="METHOD_UNKNOWN")


# Works on the wire for any kind of call, as it answers before reading.
_UNKNOWN_METHOD: Handler = grpc.stream_stream_rpc_method_handler(_guard("unknown", _unknown_method))
