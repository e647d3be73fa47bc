"""Calling another service: request id, time limit and error translation in one place. For adapters.

::

    reply = await unary(stub.GetAccount, request, timeout=remaining(context))
    async with open_call(stub.WatchTable, request) as call:      # no `request`: use call.write
        async for update in call: ...                            # leaving the block ends the call

Both raise only `TgfleetError` (and CancelledError when this task itself is cancelled).
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar

import grpc

from services.runtime.errors import Unavailable
from services.runtime.request_id import call_metadata
from services.runtime.status import from_rpc_error

__all__ = ["DEFAULT_TIMEOUT", "call_metadata", "open_call", "remaining", "translated_errors", "unary"]

Request = TypeVar("Request")
Response = TypeVar("Response")

DEFAULT_TIMEOUT = 10.0
"""Seconds for a unary call whose caller set no deadline."""


def remaining(
    context: "grpc.aio.ServicerContext[Any, Any]", default: float | None = DEFAULT_TIMEOUT
) -> float | None:
    """Seconds to the deadline of the call being served, or `default`. They do not propagate by themselves."""
    left: float | None = context.time_remaining()
    return default if left is None else left


@contextmanager
def translated_errors() -> Iterator[None]:
    """Turns what grpc.aio raises into the tree. Also the CancelledError that grpc.aio raises in a task that
    nobody cancelled, when the channel is closed or the server answers CANCELLED."""
    try:
        yield
    except grpc.aio.AioRpcError as error:
        raise from_rpc_error(error) from error
    except grpc.aio.UsageError as error:
        raise Unavailable("The connection to a service that this needs has been closed.") from error
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling() > 0:
            raise
        raise Unavailable("A service that this needs was stopped.", reason="CALL_CUT") from error


async def unary(
    method: "grpc.aio.UnaryUnaryMultiCallable[Request, Response]",
    request: Request,
    *,
    timeout: float | None = DEFAULT_TIMEOUT,  # noqa: ASYNC109 - becomes the deadline of the call
    metadata: tuple[tuple[str, str], ...] = (),
    wait_for_ready: bool | None = None,
) -> Response:
    """Calls a unary method of a stub. `timeout` in seconds."""
    with translated_errors():
        return await method(
            request, timeout=timeout, metadata=call_metadata(*metadata), wait_for_ready=wait_for_ready
        )


@asynccontextmanager
async def open_call(
    method: Callable[..., Any],
    request: Any = None,
    *,
    timeout: float | None = None,  # noqa: ASYNC109 - becomes the deadline of the call
    metadata: tuple[tuple[str, str], ...] = (),
    wait_for_ready: bool | None = None,
) -> AsyncIterator[Any]:
    """Opens a streaming call, yields grpc.aio's call object, cancels it on the way out (`break` does not).

    `request` is the message of a unary-stream method, or an async iterator, or None to use `call.write`.
    """
    arguments = () if request is None else (request,)
    call = method(
        *arguments, timeout=timeout, metadata=call_metadata(*metadata), wait_for_ready=wait_for_ready
    )
    with translated_errors():
        try:
            yield call
        finally:
            call.cancel()
