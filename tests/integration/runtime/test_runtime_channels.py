"""Channels against servers that stand by, die, freeze and come back."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue

from services.runtime import errors
from services.runtime.addresses import Endpoints, HostPort
from services.runtime.calls import open_call, translated_errors, unary
from services.runtime.channels import grpc_target, open_channel
from services.runtime.lifecycle import Lifecycle
from services.runtime.lifeline import ReadyPipe
from services.runtime.server import ServiceServer
from tests.integration.runtime.conftest import ANY_PORT
from tests.integration.runtime.echo import Echo, EchoStub, add_echo


class Named(Echo):
    """Answers with its own name."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    async def one(self, request: StringValue, context: object) -> StringValue:
        return StringValue(value=self.name)


async def start(name: str, *, serving: bool = True, listen: HostPort = ANY_PORT) -> ServiceServer:
    server = ServiceServer(name, listen, Lifecycle())
    server.add(add_echo, Named(name))
    await server.set_serving(serving=serving)
    await server.start()
    return server


async def ask(stub: EchoStub) -> str:
    return (await unary(stub.One, StringValue(), timeout=5, wait_for_ready=True)).value


async def eventually(condition: Callable[[], "asyncio.Future[bool]"], limit: float) -> float:
    started = time.monotonic()
    async with asyncio.timeout(limit):
        while not await condition():
            await asyncio.sleep(0.02)
    return time.monotonic() - started


async def test_only_serving_servers_get_calls_and_a_standby_takes_over() -> None:
    leader, standby = await start("leader"), await start("standby", serving=False)
    channel = open_channel(f"{leader.address},{standby.address}", health_checked=True)
    stub = EchoStub(channel)
    assert {await ask(stub) for _ in range(20)} == {"leader"}

    await leader.set_serving(serving=False)
    await standby.set_serving(serving=True)

    async def only_standby() -> bool:
        return {await ask(stub) for _ in range(5)} == {"standby"}

    assert await eventually(only_standby, 5) < 2  # type: ignore[arg-type]
    assert {await ask(stub) for _ in range(20)} == {"standby"}
    await channel.close()
    await leader.stop()
    await standby.stop()


async def test_without_health_checking_all_servers_get_calls() -> None:
    first, second = await start("first"), await start("second", serving=False)
    channel = open_channel(f"{first.address},{second.address}")
    stub = EchoStub(channel)

    async def both() -> bool:
        return {await ask(stub) for _ in range(10)} == {"first", "second"}

    await eventually(both, 5)  # type: ignore[arg-type]
    await channel.close()
    await first.stop()
    await second.stop()


async def test_nobody_serving_waits_or_fails_as_told() -> None:
    standby = await start("standby", serving=False)
    channel = open_channel(str(standby.address), health_checked=True, retries=False)
    with pytest.raises(errors.Unavailable):
        await unary(EchoStub(channel).One, StringValue(), timeout=5)
    waiting = asyncio.create_task(ask(EchoStub(channel)))
    await asyncio.sleep(0.1)
    assert not waiting.done()
    await standby.set_serving(serving=True)
    assert await waiting == "standby"
    await channel.close()
    await standby.stop()


async def test_a_server_that_dies_is_left_for_the_other() -> None:
    first, second = await start("first"), await start("second")
    channel = open_channel([str(first.address), str(second.address)], health_checked=True)
    stub = EchoStub(channel)
    await ask(stub)
    await first.stop()
    assert {(await unary(stub.One, StringValue(), timeout=5)).value for _ in range(20)} == {"second"}
    await channel.close()
    await second.stop()


async def test_names_work_alone_and_in_a_list() -> None:
    first, second = await start("first"), await start("second")
    both = f"localhost:{first.address.port},127.0.0.1:{second.address.port}"
    for target, expected in ((f"localhost:{first.address.port}", {"first"}), (both, {"first", "second"})):
        channel = open_channel(target)
        stub = EchoStub(channel)

        async def all_answer(stub: EchoStub = stub, expected: set[str] = expected) -> bool:
            return {await ask(stub) for _ in range(6)} == expected

        await eventually(all_answer, 5)  # type: ignore[arg-type]
        await channel.close()
    await first.stop()
    await second.stop()


def _has_ipv6_loopback() -> bool:
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET6) as probe:
        probe.bind(("::1", 0))
        return True
    return False


def test_mixed_families_are_written_as_one() -> None:
    assert grpc_target(Endpoints.parse("127.0.0.1:1,[::1]:2")) == "ipv6:[::ffff:127.0.0.1]:1,[::1]:2"
    assert grpc_target(Endpoints.parse("127.0.0.1:1,127.0.0.2:2")) == "ipv4:127.0.0.1:1,127.0.0.2:2"
    assert grpc_target(Endpoints.parse("dns:///a.b:3")) == "dns:///a.b:3"


@pytest.mark.skipif(not _has_ipv6_loopback(), reason="this machine has no ::1")
async def test_a_mixed_list_works() -> None:
    first = await start("first")
    second = await start("second", listen=HostPort("::1", 0))
    channel = open_channel(f"{first.address},{second.address}")
    stub = EchoStub(channel)

    async def both() -> bool:
        return {await ask(stub) for _ in range(6)} == {"first", "second"}

    await eventually(both, 5)  # type: ignore[arg-type]
    await channel.close()
    await first.stop()
    await second.stop()


async def test_after_a_short_outage_the_channel_is_back_at_once() -> None:
    """grpc's own first pause is a second."""
    server = await start("before")
    channel = open_channel(str(server.address), retries=False)
    stub = EchoStub(channel)
    await ask(stub)
    await server.stop()
    with pytest.raises(errors.Unavailable):
        await unary(stub.One, StringValue(), timeout=5)
    again = await start("after", listen=server.address)
    started = time.monotonic()
    assert await ask(stub) == "after"
    assert time.monotonic() - started < 0.9
    await channel.close()
    await again.stop()


async def test_after_an_outage_the_channel_is_back_within_four_seconds() -> None:
    server = await start("before")
    channel = open_channel(str(server.address), retries=False)
    stub = EchoStub(channel)
    await ask(stub)
    await server.stop()
    with pytest.raises(errors.Unavailable):
        await unary(stub.One, StringValue(), timeout=5)
    await asyncio.sleep(1.5)  # let the backoff grow
    again = await start("after", listen=server.address)
    started = time.monotonic()
    assert await ask(stub) == "after"
    assert time.monotonic() - started < 4
    await channel.close()
    await again.stop()


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED])
async def test_calls_that_a_stopping_server_gave_up_are_repeated(code: grpc.StatusCode) -> None:
    server = ServiceServer("flaky", ANY_PORT, Lifecycle())
    echo = Echo()
    calls = 0

    async def fail_twice(context: grpc.aio.ServicerContext) -> None:
        nonlocal calls
        calls += 1
        if calls < 3:
            await context.abort(code)

    echo.on_call = fail_twice
    server.add(add_echo, echo)
    async with server:
        channel = open_channel(str(server.address))
        assert (await unary(EchoStub(channel).One, StringValue(value="x"), timeout=5)).value == "x"
        assert calls == 3
        await channel.close()


@asynccontextmanager
async def child_server() -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    ready = ReadyPipe()
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.integration.runtime.child",
        pass_fds=[ready.fd],
        env={**os.environ, **ready.environ},
    )
    ready.close_child_end()
    try:
        info = await ready.read(limit=20)
        assert info is not None
        yield child, info["listen"]
    finally:
        if child.returncode is None:
            child.kill()
        await child.wait()


async def test_a_frozen_peer_is_noticed_within_ten_seconds() -> None:
    """A stream without a deadline to a process that is stopped, not dead: its socket stays open."""
    async with child_server() as (child, address):
        channel = open_channel(address, retries=False)
        async with open_call(EchoStub(channel).Watch, StringValue(value="until-stop")) as call:
            answers = aiter(call)
            await anext(answers)
            child.send_signal(signal.SIGSTOP)
            started = time.monotonic()
            try:
                async with asyncio.timeout(20):
                    with pytest.raises(errors.Unavailable), translated_errors():
                        await anext(answers)
            finally:
                child.send_signal(signal.SIGCONT)
            assert time.monotonic() - started < 12
        await channel.close()
