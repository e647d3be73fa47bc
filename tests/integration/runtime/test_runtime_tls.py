"""mTLS over real sockets: who gets in, as whom, and that certificates change while calls go on."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from services.runtime.addresses import HostPort
from services.runtime.channels import open_channel
from services.runtime.lifecycle import Lifecycle, RuntimeSettings
from services.runtime.peers import Rule
from services.runtime.rotating_channel import RotatingChannel
from services.runtime.server import ServiceServer
from tests.integration.runtime.echo import KINDS, SERVICE, Echo, EchoStub, add_echo, call_all
from tests.support.certificates import Authority, Paths, named
from tests.support.errors import refusal
from tests.support.fleet import eventually, free_port

ANY_PORT = HostPort("127.0.0.1", 0)
RULES = {
    f"/{SERVICE}/{kind}": Rule(frozenset({"worker", "gateway"}), lambda request: (request.value,))
    for kind in KINDS
}


@dataclass
class Running:
    """A registry that echoes, and its authority."""

    authority: Authority
    own: Paths
    life: Lifecycle
    server: ServiceServer
    health_port: int

    def channel(self, paths: Paths, **options: object) -> grpc.aio.Channel:
        """A channel of ours, as services open it."""
        return open_channel(
            str(self.server.address), tls=paths.certificates(), server="registry", retries=False, **options
        )

    async def raw(self, credentials: grpc.ChannelCredentials, server: str = "registry") -> str:
        """One call over a channel of grpc's own: the answer, or the code."""
        address = str(self.server.address)
        async with grpc.aio.secure_channel(address, credentials, options=named(server)) as channel:
            try:
                return (await EchoStub(channel).One(StringValue(value="w-1"), timeout=5)).value
            except grpc.aio.AioRpcError as error:
                return error.code().name


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    authority = Authority(tmp_path / "ca")
    own = authority.issue("registry", "r-1")
    health_port = free_port()
    life = Lifecycle(RuntimeSettings(health_listen=HostPort("127.0.0.1", health_port)))
    life.tls = own.certificates()
    server = ServiceServer("registry", ANY_PORT, life, rules=RULES, reflection_enabled=True)
    server.add(add_echo, Echo(stopping=life.stopping))
    async with server:
        yield Running(authority, own, life, server, health_port)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_worker_acts_as_itself_and_as_nobody_else(running: Running, kind: str) -> None:
    async with running.channel(running.authority.issue("worker", "w-1")) as channel:
        assert (await call_all(EchoStub(channel), kind, "w-1"))[-1] == "w-1"
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call_all(EchoStub(channel), kind, "w-2")
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert refusal(caught.value).reason == "NOT_YOUR_WORKER_ID"


@pytest.mark.parametrize("kind", KINDS)
async def test_a_service_that_is_not_in_the_rule_is_refused(running: Running, kind: str) -> None:
    async with running.channel(running.authority.issue("scheduler", "s-1")) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call_all(EchoStub(channel), kind, "s-1")
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert refusal(caught.value).reason == "CALLER_NOT_ALLOWED"


async def test_without_a_certificate_of_our_ca_nobody_gets_in(running: Running, tmp_path: Path) -> None:
    roots = running.authority.ca.read_bytes()
    stranger = Authority(tmp_path / "stranger").issue("worker", "w-1")
    forged = grpc.ssl_channel_credentials(roots, stranger.key.read_bytes(), stranger.certificate.read_bytes())
    assert await running.raw(grpc.ssl_channel_credentials(roots)) == "UNAVAILABLE"
    assert await running.raw(forged) == "UNAVAILABLE"
    assert await running.raw(stranger.channel_credentials()) == "UNAVAILABLE"
    async with open_channel(str(running.server.address), retries=False) as clear:
        with pytest.raises(grpc.aio.AioRpcError):
            await EchoStub(clear).One(StringValue(value="w-1"), timeout=5)
    assert await running.raw(running.authority.issue("worker", "w-1").channel_credentials()) == "w-1"


async def test_a_client_talks_to_the_service_it_means_only(running: Running) -> None:
    worker = running.authority.issue("worker", "w-1").channel_credentials()
    assert await running.raw(worker, server="scheduler") == "UNAVAILABLE"


async def test_reflection_is_closed_and_probes_reach_health_alone(running: Running) -> None:
    async with running.channel(running.authority.issue("worker", "w-1")) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            async for _ in reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(
                iter([reflection_pb2.ServerReflectionRequest(list_services="")]), timeout=5
            ):
                pass
        assert refusal(caught.value).reason == "CALLER_NOT_ALLOWED"
    async with grpc.aio.insecure_channel(f"127.0.0.1:{running.health_port}") as channel:
        answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=5)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await EchoStub(channel).One(StringValue(value="w-1"), timeout=5)
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_both_sides_rotate_to_a_new_ca_under_load_without_a_failed_call(
    running: Running, tmp_path: Path
) -> None:
    """CA, server's and client's certificates are replaced while calls go on and a stream stays open: first
    both trust old and new, then each shows the new certificate, then the old CA goes."""
    old, new = running.authority, Authority(tmp_path / "new")
    mine = old.issue("worker", "w-1")
    stolen = old.issue("worker", "w-1", "stolen").channel_credentials()
    both = old.ca.read_bytes() + new.ca.read_bytes()
    async with running.channel(mine) as channel:
        assert isinstance(channel, RotatingChannel)
        stub = EchoStub(channel)
        stream = stub.Chat(timeout=60)
        await stream.write(StringValue(value="w-1"))
        stop = asyncio.Event()
        load = [asyncio.create_task(_load(stub, stop)) for _ in range(4)]
        steps = (
            lambda: (mine.ca.write_bytes(both), running.own.ca.write_bytes(both)),
            lambda: _reissue(running.own, new.issue("registry", "r-1"), both),
            lambda: _reissue(mine, new.issue("worker", "w-1"), both),
            lambda: (
                mine.ca.write_bytes(new.ca.read_bytes()),
                running.own.ca.write_bytes(new.ca.read_bytes()),
            ),
        )
        for count, step in enumerate(steps):
            before = channel.generation
            step()
            if count != 1:  # that step changes no file of the client
                await eventually(lambda b=before: _rose(channel, b), 15, "the client took up its files")
            await asyncio.sleep(0.1)
        assert await running.raw(stolen) == "UNAVAILABLE", "the old CA's certificates are worth nothing now"
        assert (await stream.read()).value == "w-1"
        await stream.write(StringValue(value="w-1"))
        assert (await stream.read()).value == "w-1", "a stream outlives the change"
        stream.cancel()
        stop.set()
        assert sum(await asyncio.gather(*load)) > 100


async def test_a_certificate_that_the_server_does_not_take_is_not_used(
    running: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.runtime.rotating_channel.CONNECT_PATIENCE", 0.5)
    mine = running.authority.issue("worker", "w-1")
    strange = Authority(tmp_path / "strange").issue("worker", "w-1")
    async with running.channel(mine) as channel:
        stub = EchoStub(channel)
        await stub.One(StringValue(value="w-1"), timeout=5)
        mine.become(strange)
        for _ in range(25):
            await stub.One(StringValue(value="w-1"), timeout=5)
            await asyncio.sleep(0.1)
        assert channel.generation == 0


def _reissue(paths: Paths, new: Paths, roots: bytes) -> None:
    new.ca.write_bytes(roots)
    paths.become(new)


async def _rose(channel: RotatingChannel, before: int) -> bool:
    return channel.generation > before


async def _load(stub: EchoStub, stop: asyncio.Event) -> int:
    calls = 0
    while not stop.is_set():
        await stub.One(StringValue(value="w-1"), timeout=10)
        calls += 1
        await asyncio.sleep(0.005)
    return calls
