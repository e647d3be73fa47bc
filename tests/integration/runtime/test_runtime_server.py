"""Health, reflection and metrics of a running server, seen by ordinary clients."""

import asyncio
import json
import shutil
import sys
from pathlib import Path

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from prometheus_client.parser import text_string_to_metric_families

from services.runtime.addresses import HostPort
from services.runtime.calls import translated_errors, unary
from services.runtime.channels import open_channel
from services.runtime.errors import NotFound, ResourceExhausted, SettingsError, Unavailable
from services.runtime.lifecycle import Lifecycle
from services.runtime.metrics import MetricsServer
from services.runtime.server import ServiceServer
from tests.integration.runtime.conftest import ANY_PORT, Running
from tests.integration.runtime.echo import SERVICE, Echo, EchoStub, add_echo, call_all

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVICE_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


async def health_of(channel: grpc.aio.Channel, service: str = "") -> int:
    stub = health_pb2_grpc.HealthStub(channel)
    answer = await unary(stub.Check, health_pb2.HealthCheckRequest(service=service))
    return int(answer.status)


async def test_health_speaks_for_the_process_and_for_each_service(running: Running) -> None:
    assert await health_of(running.channel) == SERVING
    assert await health_of(running.channel, SERVICE) == SERVING
    await running.server.set_serving(serving=False)
    assert await health_of(running.channel) == NOT_SERVING
    assert await health_of(running.channel, SERVICE) == NOT_SERVING
    with pytest.raises(NotFound):
        await health_of(running.channel, "no.such.Service")


async def test_a_health_watch_tells_each_change_and_ends_with_the_server(running: Running) -> None:
    stub = health_pb2_grpc.HealthStub(running.channel)
    answers = aiter(stub.Watch(health_pb2.HealthCheckRequest(service=SERVICE)))
    assert (await anext(answers)).status == SERVING
    await running.server.set_serving(serving=False)
    assert (await anext(answers)).status == NOT_SERVING
    await running.server.set_serving(serving=True)
    assert (await anext(answers)).status == SERVING
    async with asyncio.timeout(2):  # far below the grace
        await running.server.stop()
        assert [answer.status async for answer in answers] == [NOT_SERVING]


async def test_watching_an_unknown_service_is_answered_as_the_standard_says(running: Running) -> None:
    stub = health_pb2_grpc.HealthStub(running.channel)
    call = stub.Watch(health_pb2.HealthCheckRequest(service="no.such.Service"))
    assert (await anext(aiter(call))).status == SERVICE_UNKNOWN
    call.cancel()


async def test_nothing_turns_health_back_on_after_the_stop() -> None:
    life = Lifecycle()
    server = ServiceServer("x", ANY_PORT, life)
    server.add(add_echo, Echo())
    await server.start()
    channel = open_channel(str(server.address))
    call = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
    answers = aiter(call)
    assert (await anext(answers)).status == SERVING
    stopping = asyncio.create_task(server.stop())
    await life.stopping.wait()
    await server.set_serving(serving=True)
    assert [answer.status async for answer in answers] == [NOT_SERVING]
    await stopping
    await channel.close()


async def test_a_client_that_learns_of_the_stop_may_still_call(running: Running) -> None:
    call = health_pb2_grpc.HealthStub(running.channel).Watch(health_pb2.HealthCheckRequest())
    answers = aiter(call)
    assert (await anext(answers)).status == SERVING
    stopping = asyncio.create_task(running.server.stop())
    assert (await anext(answers)).status == NOT_SERVING
    assert (await unary(running.stub.One, StringValue(value="x"))).value == "x"
    call.cancel()
    await stopping


async def test_who_does_not_learn_of_the_stop_is_told_to_try_again(running: Running) -> None:
    await unary(running.stub.One, StringValue(value="x"))
    stopping = asyncio.create_task(running.server.stop())
    await running.life.stopping.wait()
    with pytest.raises(Unavailable) as caught:
        await unary(running.stub.One, StringValue(value="x"))
    assert caught.value.reason == "STOPPING"
    await stopping


async def test_no_call_is_lost_while_two_servers_stop_in_turn() -> None:
    failed: list[str] = []
    done = asyncio.Event()

    async def call(stub: EchoStub) -> None:
        while not done.is_set():
            try:
                await stub.One(StringValue(value="x"))
            except grpc.aio.AioRpcError as error:
                failed.append(f"{error.code()} {error.details()}")

    servers = [(await _serving(ANY_PORT))[0] for _ in range(2)]
    addresses = ",".join(str(server.address) for server in servers)
    async with open_channel(addresses, health_checked=True, retries=False) as channel:
        stub = EchoStub(channel)
        await unary(stub.One, StringValue(value="x"), wait_for_ready=True)
        async with asyncio.TaskGroup() as group:
            for _ in range(8):
                group.create_task(call(stub))
            for turn in (0, 1, 0, 1):
                await servers[turn].stop()
                servers[turn], echo = await _serving(servers[turn].address)
                async with asyncio.timeout(10):
                    await echo.started.wait()
            done.set()
    assert not failed
    for server in servers:
        await server.stop()


async def _serving(address: HostPort) -> tuple[ServiceServer, Echo]:
    server, echo = ServiceServer("echo", address, Lifecycle()), Echo()
    server.add(add_echo, echo)
    await server.start()
    return server, echo


async def test_stop_is_idempotent_and_hooks_run_once() -> None:
    life = Lifecycle()
    ran: list[str] = []

    async def hook() -> None:
        ran.append("hook")

    life.on_stop(hook)
    server = ServiceServer("x", ANY_PORT, life)
    await server.start()
    await server.stop()
    await server.stop()
    await life.run_stop_hooks()
    assert ran == ["hook"]


async def _reflected(address: HostPort) -> list[str]:
    def ask() -> list[str]:
        with grpc.insecure_channel(str(address)) as channel:
            return list(ProtoReflectionDescriptorDatabase(channel).get_services())

    return await asyncio.to_thread(ask)


@pytest.mark.parametrize(
    ("listen", "wanted", "expected"),
    [
        ("127.0.0.1:0", None, True),
        ("127.0.0.1:0", False, False),
        ("0.0.0.0:0", None, False),
        ("0.0.0.0:0", True, True),
    ],
)
async def test_reflection_is_on_by_default_only_on_loopback(
    listen: str, wanted: bool | None, expected: bool
) -> None:
    server = ServiceServer("x", HostPort.parse(listen), Lifecycle(), reflection_enabled=wanted)
    server.add(add_echo, Echo())
    async with server:
        address = HostPort("127.0.0.1", server.address.port)
        if expected:
            assert set(await _reflected(address)) == {
                SERVICE,
                "grpc.health.v1.Health",
                "grpc.reflection.v1alpha.ServerReflection",
            }
        else:
            with pytest.raises(grpc.RpcError) as caught:
                await _reflected(address)
            assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED  # type: ignore[attr-defined]


async def test_a_third_party_client_can_list_and_call(running: Running) -> None:
    buf = shutil.which("buf") or str(Path(sys.executable).with_name("buf"))
    url = f"http://{running.server.address}"
    command = [buf, "curl", "--http2-prior-knowledge", "--protocol", "grpc"]

    async def run(*arguments: str) -> str:
        process = await asyncio.create_subprocess_exec(*command, *arguments, stdout=asyncio.subprocess.PIPE)
        out, _ = await asyncio.wait_for(process.communicate(), 30)
        assert process.returncode == 0
        return out.decode()

    assert SERVICE in (await run("--list-services", url)).split()
    answer = await run("-d", "{}", f"{url}/grpc.health.v1.Health/Check")
    assert json.loads(answer) == {"status": "SERVING"}


async def test_two_servers_cannot_share_a_port(running: Running) -> None:
    second = ServiceServer("second", running.server.address, Lifecycle())
    with pytest.raises(SettingsError, match=r"the second cannot listen on 127\.0\.0\.1"):
        await second.start()


async def test_a_message_over_the_limit_is_refused_and_one_below_passes() -> None:
    limit = [("grpc.max_receive_message_length", 1024 * 1024)]  # an option given wins over ours
    server = ServiceServer("small", ANY_PORT, Lifecycle(), options=limit)
    server.add(add_echo, Echo())
    async with server:
        channel = open_channel(str(server.address))
        stub = EchoStub(channel)
        fits = "x" * (1024 * 1024 - 100)
        assert (await unary(stub.One, StringValue(value=fits))).value == fits
        with pytest.raises(ResourceExhausted):
            await unary(stub.One, StringValue(value=fits * 2))
        await channel.close()


async def _scrape(address: HostPort, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(address.host, address.port)
    writer.write(request)
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    return answer


async def test_calls_are_counted_by_method_and_code(running: Running) -> None:
    server = MetricsServer(ANY_PORT)
    address = await server.start()

    async def counted() -> dict[tuple[str, str], float]:
        answer = await _scrape(address, b"GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n\r\n")
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK")
        samples = [s for family in text_string_to_metric_families(body.decode()) for s in family.samples]
        assert any(s.name == "rpc_duration_seconds_bucket" for s in samples)
        assert any(s.name.startswith("process_cpu") for s in samples)
        return {
            (s.labels["method"], s.labels["code"]): s.value for s in samples if s.name == "rpc_requests_total"
        }

    running.echo.failures["fail"] = lambda: NotFound("No.")
    await call_all(running.stub, "One", "x")
    before = await counted()
    await call_all(running.stub, "One", "x")
    for _ in range(2):
        with pytest.raises(NotFound), translated_errors():
            await call_all(running.stub, "Chat", "fail")
    for path in ("/random/One", "/random/Two"):
        with pytest.raises(grpc.aio.AioRpcError):
            await running.channel.unary_unary(path)(b"")
    expected = {
        (f"/{SERVICE}/One", "OK"): 1,
        (f"/{SERVICE}/Chat", "NOT_FOUND"): 2,
        ("unknown", "UNIMPLEMENTED"): 2,
    }
    grown: dict[tuple[str, str], float] = {}
    async with asyncio.timeout(5):
        while grown != expected:  # the server counts after the answer is out
            after = await counted()
            grown = {
                key: after[key] - before.get(key, 0) for key in after if after[key] != before.get(key, 0)
            }
            await asyncio.sleep(0.01)
    await server.stop()


@pytest.mark.parametrize(
    "request_bytes",
    [b"GET / HTTP/1.1\r\n\r\n", b"POST /metrics HTTP/1.1\r\n\r\n", b"\r\n\r\n", b"GET /metricsx\r\n\r\n"],
)
async def test_other_requests_are_not_found(request_bytes: bytes) -> None:
    server = MetricsServer(ANY_PORT)
    address = await server.start()
    assert (await _scrape(address, request_bytes)).startswith(b"HTTP/1.1 404")
    await server.stop()


async def test_a_babbling_scraper_is_dropped() -> None:
    server = MetricsServer(ANY_PORT)
    address = await server.start()
    try:
        answer = await _scrape(address, b"GET /metrics HTTP/1.1\r\n" + b"a: b\r\n" * 200)
    except ConnectionError:
        answer = b""
    assert answer == b""
    await server.stop()


async def test_a_metrics_port_in_use_is_one_sentence() -> None:
    server = MetricsServer(ANY_PORT)
    address = await server.start()
    with pytest.raises(SettingsError, match="TGFLEET_METRICS_LISTEN"):
        await MetricsServer(address).start()
    await server.stop()
