"""Who may call what between services: a table of rules, checked before the handler runs.

Only with mTLS on; the caller is the one that its certificate names. The tables themselves belong to the
services (`services/<name>/authorization.py`). A method without a rule is refused to everybody, so a new one
cannot be forgotten; health is open to everyone whom the handshake let in.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from inspect import isasyncgenfunction
from typing import Any

import grpc

from services.runtime.errors import PermissionDenied, Unauthenticated
from services.runtime.tls import SPIFFE_PREFIX, Identity

OPEN_PREFIXES = ("/grpc.health.v1.Health/",)
"""Open to every certificate of our CA: clients look for the serving one of several servers by it."""
_WORKER = "worker"
Handler = Any  # grpc.RpcMethodHandler, whose stubs know only synchronous handlers


@dataclass(frozen=True, slots=True)
class Rule:
    """The services that may call a method, and the workers in whose name a request speaks: a worker may name
    itself only. For a method that streams requests the first one counts."""

    callers: frozenset[str]
    speaks_for: Callable[[Any], Iterable[str]] | None = None


Rules = Mapping[str, Rule]
"""Rules by full method name, as in `/tgfleet.registry.v1.RegistryService/SetWanted`."""


class PeerInterceptor(grpc.aio.ServerInterceptor):
    """Wraps every handler once with the check of its rule. Errors that callers see: UNAUTHENTICATED
    (NO_IDENTITY), PERMISSION_DENIED (CALLER_NOT_ALLOWED, NOT_YOUR_WORKER_ID)."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._wrapped: dict[str, tuple[Handler, Handler]] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        handler = await continuation(handler_call_details)
        method: str = handler_call_details.method
        if handler is None or method.startswith(OPEN_PREFIXES):
            return handler
        known = self._wrapped.get(method)
        if known is not None and known[0] is handler:
            return known[1]
        wrapped = _guarded(handler, method, self._rules.get(method, Rule(frozenset())))
        self._wrapped[method] = (handler, wrapped)
        return wrapped


def peer_identity(context: Any) -> Identity:
    """Whom the caller's certificate names. Raises Unauthenticated when it names nobody, or several."""
    uris = [value.decode() for value in context.auth_context().get("peer_uri", ())]
    found = [identity for uri in uris if (identity := Identity.parse(uri))]
    if len(found) != 1:
        raise Unauthenticated(
            f"The caller's certificate must name exactly one {SPIFFE_PREFIX}<service>/<id>.",
            reason="NO_IDENTITY",
        )
    return found[0]


def _admit(context: Any, method: str, rule: Rule) -> Identity:
    identity = peer_identity(context)
    if identity.service not in rule.callers:
        raise PermissionDenied(
            f"A {identity.service} may not call {method.rpartition('/')[2]}.",
            reason="CALLER_NOT_ALLOWED",
            metadata={"caller": str(identity), "method": method},
        )
    return identity


def _check_name(identity: Identity, request: Any, rule: Rule) -> None:
    if identity.service != _WORKER or rule.speaks_for is None:
        return
    for worker_id in rule.speaks_for(request):
        if worker_id != identity.id:
            raise PermissionDenied(
                f"The certificate of worker {identity.id} does not let it act as {worker_id or 'nobody'}.",
                reason="NOT_YOUR_WORKER_ID",
                metadata={"caller": str(identity)},
            )


async def _checked(requests: AsyncIterator[Any], identity: Identity, rule: Rule) -> AsyncIterator[Any]:
    first = True
    async for request in requests:
        if first:
            _check_name(identity, request, rule)
            first = False
        yield request


def _guarded(handler: Handler, method: str, rule: Rule) -> Handler:
    """The same handler behind the check. Called once for each method."""
    codec = (handler.request_deserializer, handler.response_serializer)
    kind = (handler.request_streaming, handler.response_streaming)
    behaviour, make = {
        (False, False): (handler.unary_unary, grpc.unary_unary_rpc_method_handler),
        (False, True): (handler.unary_stream, grpc.unary_stream_rpc_method_handler),
        (True, False): (handler.stream_unary, grpc.stream_unary_rpc_method_handler),
        (True, True): (handler.stream_stream, grpc.stream_stream_rpc_method_handler),
    }[kind]

    def admitted(request: Any, context: Any) -> Any:
        identity = _admit(context, method, rule)
        if handler.request_streaming:
            return _checked(request, identity, rule)
        _check_name(identity, request, rule)
        return request

    async def run(request: Any, context: Any) -> Any:
        return await behaviour(admitted(request, context), context)

    async def stream(request: Any, context: Any) -> AsyncIterator[Any]:
        async with aclosing(behaviour(admitted(request, context), context)) as responses:
            async for response in responses:
                yield response

    return make(stream if isasyncgenfunction(behaviour) else run, *codec)
