"""The one server interceptor: translates errors, logs, counts and times all four kinds of call.

It goes outermost (`ServiceServer` puts it first), so that what other interceptors raise is translated as
well. Handlers just raise from `services.runtime.errors`. Facts of grpc.aio that this file exists for:

* what escapes a handler reaches the client as `UNKNOWN: Unexpected <class>: message`, so nothing may escape;
* `context.abort` raises, and exactly that exception object must come out again;
* a stray CancelledError (an inner call's, not this call's) leaves the caller without any status;
* a request that cannot be parsed (malformed.py) and a response of the wrong type fail outside of the handler.

Every error carries the request id in its trailing metadata; so does a success whose caller sent one (sending
back ids that nobody asked for would cost a tenth of the rate).

A unary call that went well and fast is counted and timed, but its log line is of level debug: a line for each
would cost a quarter of the rate. Errors, slow calls and the ends of streams are told at info.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from inspect import isasyncgenfunction
from typing import Any, NoReturn, TypeAlias

import grpc

from services.runtime.arrivals import Arrivals
from services.runtime.errors import TgfleetError, Unavailable, Unimplemented
from services.runtime.logs import get_logger, shows_debug
from services.runtime.malformed import Malformed, lenient, strict
from services.runtime.metrics import CALLS
from services.runtime.request_id import HEADER, current_request_id, enter_call, given_request_id
from services.runtime.status import DETAILS_KEY, as_tgfleet_error, leaf_errors, to_status

_log = get_logger("rpc")
_HEALTH_PREFIX = "/grpc.health."
_QUIET_PREFIXES = (_HEALTH_PREFIX, "/grpc.reflection.")
_STOPPING = "This server is about to stop and takes no more calls; try again in a moment."
_UNKNOWN = "unknown"
_SLOW = 1.0
"""Seconds from which a unary call that went well is worth a line at info."""
_CODES: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}

Handler = Any  # grpc.RpcMethodHandler, whose stubs know only synchronous handlers
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Behaviour = Callable[[Any, Context], Awaitable[Any]]


class ServerInterceptor(grpc.aio.ServerInterceptor):
    """Wraps every handler once and remembers the result."""

    def __init__(self, arrivals: Arrivals) -> None:
        self._arrivals = arrivals
        self._wrapped: dict[str, tuple[Handler, Handler]] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        method: str = handler_call_details.method
        enter_call(handler_call_details.invocation_metadata)
        if not method.startswith(_HEALTH_PREFIX):
            self._arrivals.note()
            if self._arrivals.refused:
                return self._refusal(method, Unavailable(_STOPPING, reason="STOPPING"))
        try:
            handler = await continuation(handler_call_details)
        except Exception as error:  # noqa: BLE001 - what an inner interceptor refuses is told like any error
            return self._refusal(method, error)
        if handler is None:
            return _UNKNOWN_METHOD
        known = self._wrapped.get(method)
        if known is not None and known[0] is handler:
            return known[1]
        wrapped = _wrap(method, handler)
        self._wrapped[method] = (handler, wrapped)
        return wrapped

    def _refusal(self, method: str, error: Exception) -> Handler:
        """A handler of any kind that fails at once. Methods nobody has called well are counted as one."""

        async def refuse(_request: Any, _context: Context) -> None:
            raise error

        label = method if method in self._wrapped else _UNKNOWN
        return grpc.stream_stream_rpc_method_handler(_Guard(label, refuse).run)


def _wrap(method: str, handler: Handler) -> Handler:
    serialize = handler.response_serializer
    if handler.request_streaming and handler.response_streaming:
        guard = _Guard(method, _writing(handler.stream_stream))
        return grpc.stream_stream_rpc_method_handler(
            guard.run, strict(handler.request_deserializer), serialize
        )
    if handler.request_streaming:
        guard = _Guard(method, handler.stream_unary, serialize)
        return grpc.stream_unary_rpc_method_handler(guard.run, strict(handler.request_deserializer), None)
    if handler.response_streaming:
        guard = _Guard(method, _writing(handler.unary_stream))
        return grpc.unary_stream_rpc_method_handler(
            guard.run, lenient(handler.request_deserializer), serialize
        )
    guard = _Guard(method, handler.unary_unary, serialize, is_unary=True)
    return grpc.unary_unary_rpc_method_handler(guard.run, lenient(handler.request_deserializer), None)


def _writing(behaviour: Callable[[Any, Context], Any]) -> Behaviour:
    """Both styles of streaming handler as one that writes; a generator is closed when the call ends."""
    if not isasyncgenfunction(behaviour):
        return behaviour

    async def write(request: Any, context: Context) -> None:
        async with aclosing(behaviour(request, context)) as responses:
            async for response in responses:
                await context.write(response)

    return write


class _Guard:
    """Everything that surrounds the handler of one method. `serialize` is given for methods with one answer:
    done here, an answer of the wrong type is an error like any other."""

    def __init__(
        self,
        method: str,
        behaviour: Behaviour,
        serialize: Callable[[Any], bytes] | None = None,
        *,
        is_unary: bool = False,
    ) -> None:
        self._method = method
        self._behaviour = behaviour
        self._serialize = serialize
        self._quiet = method.startswith(_QUIET_PREFIXES)
        self._slow = _SLOW if is_unary else 0.0
        self._figures = CALLS.of(method)

    async def run(self, request: Any, context: Context) -> Any:
        started = time.perf_counter()
        given = given_request_id()
        if given:
            context.set_trailing_metadata(((HEADER, given),))
        code = "CANCELLED"
        try:
            if isinstance(request, Malformed):
                await _abort(context, request.error)
            response = await self._behaviour(request, context)
            if self._serialize is not None:
                response = self._serialize(response)
            code = _name(context.code())
        except asyncio.CancelledError as error:
            if _is_own_cancellation():
                raise
            await _abort(context, as_tgfleet_error(error))
        except Exception as error:  # noqa: BLE001 - the boundary: nothing may pass it untranslated
            over = _already_over(error, context)
            if over is not None:
                code = _name(context.code(), default=code)
                raise over from None
            known = as_tgfleet_error(error)
            code = known.code
            await _abort(context, known)
        else:
            return response
        finally:
            self._finish(code, time.perf_counter() - started)

    def _finish(self, code: str, seconds: float) -> None:
        self._figures.count(code, seconds)
        dull = self._quiet or (code == "OK" and seconds < self._slow)
        if not dull:
            _log.info("call", method=self._method, code=code, ms=round(seconds * 1000, 2))
        elif shows_debug():
            _log.debug("call", method=self._method, code=code, ms=round(seconds * 1000, 2))


def _already_over(error: Exception, context: Context) -> BaseException | None:
    """The exception that grpc wants to see when a status was sent already or nobody is left to get one."""
    for leaf in leaf_errors(error):
        gone = isinstance(leaf, grpc.aio.BaseError) and not isinstance(leaf, grpc.aio.UsageError)
        if gone or context.done():
            return leaf
    return None


async def _abort(context: Context, error: TgfleetError) -> NoReturn:
    """Ends the call with the error's rich status; raises the AbortError that grpc insists on seeing."""
    status = to_status(error)
    details = ((DETAILS_KEY, status.SerializeToString()), (HEADER, current_request_id()))
    await context.abort(_CODES[status.code], status.message, details)


def _name(code: grpc.StatusCode | int | None, default: str = "OK") -> str:
    """The name of the code that a handler may have set on its context."""
    if isinstance(code, grpc.StatusCode):
        return code.name
    return _CODES[code].name if code in _CODES else default


def _is_own_cancellation() -> bool:
    """Whether this call's task was asked to stop, rather than something it awaited."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


async def _unknown_method(_request: Any, _context: Context) -> None:
    raise Unimplemented("This server has no such method.", reason="METHOD_UNKNOWN")


# Works on the wire for any kind of call, as it answers before reading.
_UNKNOWN_METHOD: Handler = grpc.stream_stream_rpc_method_handler(_Guard(_UNKNOWN, _unknown_method).run)
