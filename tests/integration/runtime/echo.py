"""A service of all four kinds of call whose answer, or failure, is chosen by the request. For tests.

Messages are google.protobuf.StringValue: a real protobuf type with a text field, without a proto of our own.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
from google.protobuf.wrappers_pb2 import StringValue

SERVICE = "tgfleet.echo.v1.EchoService"
Failure = Callable[[], BaseException]


class Echo:
    """`failures` maps a request's text to the exception that the handler raises for it."""

    def __init__(
        self, failures: dict[str, Failure] | None = None, stopping: asyncio.Event | None = None
    ) -> None:
        self.failures = failures or {}
        self.stopping = stopping or asyncio.Event()
        self.started = asyncio.Event()
        self.closed_generators = 0
        self.on_call: Callable[[grpc.aio.ServicerContext], Awaitable[Any]] | None = None

    async def one(self, request: StringValue, context: grpc.aio.ServicerContext) -> Any:
        await self._obey(request.value, context)
        return StringValue(value=request.value)

    async def watch(
        self, request: StringValue, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[StringValue]:
        """Async generator style. `until-stop` answers once, then waits for the stop."""
        try:
            yield StringValue(value="first")
            await self._obey(request.value, context)
            if request.value == "until-stop":
                await self.stopping.wait()
            yield StringValue(value=request.value)
        finally:
            self.closed_generators += 1

    async def write(self, request: StringValue, context: grpc.aio.ServicerContext) -> None:
        """Writer style."""
        await context.write(StringValue(value="first"))
        await self._obey(request.value, context)
        await context.write(StringValue(value=request.value))

    async def collect(
        self, requests: AsyncIterator[StringValue], context: grpc.aio.ServicerContext
    ) -> StringValue:
        texts = []
        async for request in requests:
            texts.append(request.value)
            await self._obey(request.value, context)
        return StringValue(value=",".join(texts))

    async def chat(
        self, requests: AsyncIterator[StringValue], context: grpc.aio.ServicerContext
    ) -> AsyncIterator[StringValue]:
        async for request in requests:
            await self._obey(request.value, context)
            yield StringValue(value=request.value)

    async def _obey(self, text: str, context: grpc.aio.ServicerContext) -> None:
        self.started.set()
        if self.on_call is not None:
            await self.on_call(context)
        if text == "forever":
            await asyncio.Event().wait()
        if text in self.failures:
            failure = self.failures[text]()
            raise failure


def add_echo(servicer: Echo, server: Any) -> None:
    """What the generated add_EchoServiceServicer_to_server would be."""
    codec = (StringValue.FromString, StringValue.SerializeToString)
    handlers = {
        "One": grpc.unary_unary_rpc_method_handler(servicer.one, *codec),
        "Watch": grpc.unary_stream_rpc_method_handler(servicer.watch, *codec),
        "Write": grpc.unary_stream_rpc_method_handler(servicer.write, *codec),
        "Collect": grpc.stream_unary_rpc_method_handler(servicer.collect, *codec),
        "Chat": grpc.stream_stream_rpc_method_handler(servicer.chat, *codec),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    server.add_registered_method_handlers(SERVICE, handlers)


class EchoStub:
    """What the generated stub would be."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        codec = (StringValue.SerializeToString, StringValue.FromString)
        self.One = channel.unary_unary(f"/{SERVICE}/One", *codec)
        self.Watch = channel.unary_stream(f"/{SERVICE}/Watch", *codec)
        self.Write = channel.unary_stream(f"/{SERVICE}/Write", *codec)
        self.Collect = channel.stream_unary(f"/{SERVICE}/Collect", *codec)
        self.Chat = channel.stream_stream(f"/{SERVICE}/Chat", *codec)


async def call_all(stub: EchoStub, kind: str, text: str) -> list[str]:
    """Calls one of the five methods with one request; all answers."""
    request = StringValue(value=text)

    async def requests() -> AsyncIterator[StringValue]:
        yield request

    match kind:
        case "One":
            return [(await stub.One(request, timeout=10)).value]
        case "Collect":
            return [(await stub.Collect(requests(), timeout=10)).value]
        case "Chat":
            return [answer.value async for answer in stub.Chat(requests(), timeout=10)]
        case _:
            return [answer.value async for answer in getattr(stub, kind)(request, timeout=10)]


KINDS = ("One", "Watch", "Write", "Collect", "Chat")
