"""Who may call what, for every public RPC that the contract knows."""

import asyncio
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import MethodDescriptor
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from services.gateway.domain.roles import REQUIRED_ROLES, Role
from services.gateway.handlers.authentication import Authenticator
from services.gateway.interceptor import AuthenticationInterceptor
from services.runtime.clock import SystemClock
from services.runtime.server import ServiceServer
from tests.integration.gateway.conftest import LOOPBACK, Stage
from tests.integration.gateway.fakes import (
    ADMIN,
    OPERATOR,
    VIEWER,
    bearer,
    error_info,
    quick_life,
    serve_registry,
)
from tests.support.errors import refusal
from tgfleet.gateway.v1 import (
    account_pb2,
    audit_pb2,
    fleet_pb2,
    key_pb2,
    token_pb2,
    token_pb2_grpc,
    transfer_pb2,
)

SERVICES = [
    service
    for module in (fleet_pb2, account_pb2, token_pb2, key_pb2, audit_pb2, transfer_pb2)
    for service in module.DESCRIPTOR.services_by_name.values()
]
METHODS = [method for service in SERVICES for method in service.methods]
BEARERS = {Role.VIEWER: VIEWER, Role.OPERATOR: OPERATOR, Role.ADMIN: ADMIN}


def path(method: MethodDescriptor) -> str:
    return f"/{method.containing_service.full_name}/{method.name}"


async def call(
    channel: grpc.aio.Channel, method: MethodDescriptor, metadata: tuple[Any, ...]
) -> grpc.StatusCode:
    """Sends an empty request by hand, as any client might, and gives the status."""
    kind = channel.unary_stream if method.server_streaming else channel.unary_unary
    running = kind(path(method), lambda _: b"", lambda data: data)(None, metadata=metadata, timeout=10)
    try:
        if method.server_streaming:
            await running.read()
            return grpc.StatusCode.OK
        await running
    except grpc.aio.AioRpcError as error:
        return error.code()
    finally:
        running.cancel()
    return grpc.StatusCode.OK


def test_every_public_rpc_has_a_role() -> None:
    assert {path(method) for method in METHODS} == set(REQUIRED_ROLES)


@pytest.mark.parametrize("method", METHODS, ids=path)
async def test_a_call_without_token_is_refused(stage: Stage, method: MethodDescriptor) -> None:
    assert await call(stage.channel, method, ()) is grpc.StatusCode.UNAUTHENTICATED
    assert stage.registry.asked == []


@pytest.mark.parametrize("method", METHODS, ids=path)
async def test_each_role_may_do_what_it_may(stage: Stage, method: MethodDescriptor) -> None:
    stage.scheduler.watch = _silent_watch
    for role, secret in BEARERS.items():
        code = await call(stage.channel, method, bearer(secret))
        allowed = role >= REQUIRED_ROLES[path(method)]
        assert (code is not grpc.StatusCode.PERMISSION_DENIED) == allowed
        assert code is not grpc.StatusCode.UNAUTHENTICATED


async def _silent_watch(_request: Any, _context: Any) -> Any:
    yield fleet_pb2.WatchEventsResponse()
    await asyncio.Event().wait()


@pytest.mark.parametrize(
    ("authorization", "reason"),
    [
        ((), "TOKEN_MISSING"),
        (("Bearer tgf_nobody_knows_this",), "TOKEN_INVALID"),
        (("Bearer not-one-of-ours",), "TOKEN_INVALID"),
        (("Bearer ",), "TOKEN_INVALID"),
        ((f"Basic {ADMIN}",), "TOKEN_INVALID"),
        ((f"Bearer {ADMIN} {ADMIN}",), "TOKEN_INVALID"),
        ((f"Bearer {ADMIN}", f"Bearer {ADMIN}"), "TOKEN_INVALID"),
        (("Bearer tgf_expired_0000",), "TOKEN_EXPIRED"),
    ],
)
async def test_reasons_of_a_refusal(stage: Stage, authorization: tuple[str, ...], reason: str) -> None:
    stage.registry.expired.add("tgf_expired_0000")
    metadata = tuple(("authorization", value) for value in authorization)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stage.fleet.GetFleetStatus(fleet_pb2.GetFleetStatusRequest(), metadata=metadata)
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
    info = error_info(caught.value)
    assert (info.reason, info.domain) == (reason, "tgfleet")
    assert "tgf_" not in (caught.value.details() or "").replace("tgf_...", "")


async def test_a_low_role_is_told_which_one_is_needed(stage: Stage) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stage.tokens.ListTokens(token_pb2.ListTokensRequest(), metadata=bearer(OPERATOR))
    info = error_info(caught.value)
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert (info.reason, info.metadata["needed_role"]) == ("ROLE_TOO_LOW", "ADMIN")


async def test_the_registry_is_asked_once_for_many_calls(stage: Stage) -> None:
    metadata = bearer(VIEWER)
    for _ in range(20):
        await stage.fleet.GetFleetStatus(fleet_pb2.GetFleetStatusRequest(), metadata=metadata)
    assert stage.registry.verified == 1


async def test_an_unreachable_registry_is_unavailable_not_unauthenticated(stage: Stage) -> None:
    await stage.registry_server.stop()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stage.fleet.GetFleetStatus(
            fleet_pb2.GetFleetStatusRequest(), metadata=bearer(VIEWER), timeout=10
        )
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert error_info(caught.value).reason == "REGISTRY_UNAVAILABLE"


async def test_health_and_reflection_need_no_token(stage: Stage) -> None:
    health = health_pb2_grpc.HealthStub(stage.channel)
    async with asyncio.timeout(5):
        async for reply in health.Watch(health_pb2.HealthCheckRequest()):
            if reply.status == health_pb2.HealthCheckResponse.SERVING:
                break
    reflection = reflection_pb2_grpc.ServerReflectionStub(stage.channel)

    async def question() -> Any:
        yield reflection_pb2.ServerReflectionRequest(list_services="")

    async for answer in reflection.ServerReflectionInfo(question()):
        names = {service.name for service in answer.list_services_response.service}
        assert {service.full_name for service in SERVICES} <= names
        break


async def test_health_says_when_the_registry_is_gone_and_back(stage: Stage) -> None:
    health = health_pb2_grpc.HealthStub(stage.channel)
    port = stage.registry_server.address.port
    states = health.Watch(health_pb2.HealthCheckRequest())
    answer = health_pb2.HealthCheckResponse
    async with asyncio.timeout(20):
        await _until(states, answer.SERVING)
        await stage.registry_server.stop()
        await _until(states, answer.NOT_SERVING)
        again = await serve_registry(stage.registry, port)
        await _until(states, answer.SERVING)
        await again.stop()
    states.cancel()


async def _until(states: Any, wanted: int) -> None:
    while (await states.read()).status != wanted:
        pass


async def test_malformed_text_is_invalid_argument(stage: Stage) -> None:
    """A raw client that sends bytes that are no UTF-8 in a text field."""
    send = stage.channel.unary_unary(
        "/tgfleet.gateway.v1.AccountService/GetAccount", lambda data: data, lambda data: data
    )
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await send(b"\x0a\x02\xff\xfe", metadata=bearer(VIEWER))
    said = refusal(caught.value)
    assert (said.code, said.reason, said.fields) == ("INVALID_ARGUMENT", "NOT_UTF8", ("account_id",))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await send(b"\xff\xff\xff", metadata=bearer(VIEWER))
    assert refusal(caught.value).code == "INVALID_ARGUMENT"


async def test_a_fault_while_authenticating_leaks_nothing() -> None:
    class Broken:
        async def verify(self, secret: str) -> Any:
            raise RuntimeError(f"cannot look up {secret} in table tokens")

    interceptor = AuthenticationInterceptor(Authenticator(Broken(), SystemClock()))
    server = ServiceServer("gateway", LOOPBACK, quick_life(), interceptors=(interceptor,))
    server.add(token_pb2_grpc.add_TokenServiceServicer_to_server, token_pb2_grpc.TokenServiceServicer())
    async with server, grpc.aio.insecure_channel(str(server.address)) as channel:
        stub = token_pb2_grpc.TokenServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.ListTokens(token_pb2.ListTokensRequest(), metadata=bearer(ADMIN), timeout=10)
    assert caught.value.code() is grpc.StatusCode.INTERNAL
    assert "table" not in str(caught.value)
    assert "incident" in error_info(caught.value).metadata
