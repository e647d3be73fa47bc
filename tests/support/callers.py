"""Calls every method of a service as every kind of service, over real mTLS, to see who is let in."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message_factory import GetMessageClass

from services.runtime.addresses import HostPort
from services.runtime.lifecycle import Lifecycle
from services.runtime.peers import Rules
from services.runtime.server import ServiceServer
from tests.support.certificates import Authority, named
from tests.support.errors import refusal

KINDS = ("registry", "scheduler", "worker", "gateway")
ID = "x-1"
Add = Callable[[Any, Any], None]


async def who_may_call(
    directory: Path, name: str, rules: Rules, services: dict[ServiceDescriptor, tuple[Add, Any]]
) -> dict[str, set[str]]:
    """Method -> the services that the server lets in, each with an empty request. Servicers implement
    nothing: whoever is let in gets UNIMPLEMENTED or INTERNAL."""
    authority = Authority(directory / "ca")
    life = Lifecycle()
    life.tls = authority.issue(name, ID).certificates()
    server = ServiceServer(name, HostPort("127.0.0.1", 0), life, rules=rules)
    for add, servicer in services.values():
        server.add(add, servicer)
    found: dict[str, set[str]] = {}
    async with server:
        for kind in KINDS:
            credentials = authority.issue(kind, ID, f"as-{kind}").channel_credentials()
            async with grpc.aio.secure_channel(
                str(server.address), credentials, options=named(name)
            ) as channel:
                for service in services:
                    for method in service.methods:
                        allowed = await call(channel, method, None) != "CALLER_NOT_ALLOWED"
                        found.setdefault(method.name, set()).update({kind} if allowed else set())
    return found


async def call(channel: grpc.aio.Channel, method: MethodDescriptor, request: Any) -> str:
    """The reason of the refusal; empty when nobody objected."""
    answer = GetMessageClass(method.output_type)
    asked = GetMessageClass(method.input_type)() if request is None else request
    path = f"/{method.containing_service.full_name}/{method.name}"
    sides = (method.client_streaming, method.server_streaming)
    kind = "_".join("stream" if streams else "unary" for streams in sides)
    stub = getattr(channel, kind)(path, type(asked).SerializeToString, answer.FromString)
    made = stub(_one(asked) if method.client_streaming else asked, timeout=10, wait_for_ready=True)
    try:
        if method.server_streaming:
            async for _ in made:
                break
        else:
            await made
    except grpc.aio.AioRpcError as error:
        return refusal(error).reason
    finally:
        made.cancel()
    return ""


async def _one(request: Any) -> AsyncIterator[Any]:
    yield request
