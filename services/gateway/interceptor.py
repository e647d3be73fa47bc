"""Authentication of every call, before its request is even parsed. Runs inside of the runtime's interceptor.

It must raise nothing itself: what escapes `intercept_service` never reaches the runtime's translation. A
refused call gets a handler that does nothing but raise."""

from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

import grpc

from services.gateway.domain.roles import is_open
from services.gateway.handlers.authentication import Authenticator, authorization_of

Handler = Any  # grpc.RpcMethodHandler, whose stubs know only synchronous handlers


class AuthenticationInterceptor(grpc.aio.ServerInterceptor):
    """Has the caller's session put into `current_session`, in whose task the handler then runs."""

    def __init__(self, authenticator: Authenticator) -> None:
        self._authenticator = authenticator

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        handler = await continuation(handler_call_details)
        method: str = handler_call_details.method
        if handler is None or is_open(method):
            return handler
        values = authorization_of(handler_call_details.invocation_metadata)
        try:
            if len(values) != 1 or not self._authenticator.recall(method, values[0]):
                await self._authenticator.admit(method, values)
        except Exception as error:  # noqa: BLE001 - raised again where the runtime translates it
            return _refusal(error)
        return handler


def _refusal(error: Exception) -> Handler:
    async def refuse(_request: Any, _context: object) -> NoReturn:
        raise error

    # Works on the wire for any kind of call, as it answers before reading.
    return grpc.stream_stream_rpc_method_handler(refuse)
