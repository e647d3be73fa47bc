"""A gateway in this process on loopback, between a fake registry and fake schedulers."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

import grpc
import pytest

from services.gateway.__main__ import build
from services.gateway.settings import Settings
from services.runtime.addresses import Endpoints, HostPort
from services.runtime.process import Lifecycle
from services.runtime.server import ServiceServer
from tests.integration.gateway.fakes import (
    FakeRegistry,
    FakeScheduler,
    quick_life,
    serve_registry,
    serve_scheduler,
)
from tgfleet.gateway.v1 import account_pb2_grpc, fleet_pb2_grpc, token_pb2_grpc, transfer_pb2_grpc

LOOPBACK = HostPort("127.0.0.1", 0)


@dataclass
class Stage:
    """What a test plays with."""

    registry: FakeRegistry
    registry_server: ServiceServer
    schedulers: list[FakeScheduler]
    scheduler_servers: list[ServiceServer]
    gateway: ServiceServer
    life: Lifecycle
    channel: grpc.aio.Channel

    @property
    def scheduler(self) -> FakeScheduler:
        return self.schedulers[0]

    @property
    def fleet(self) -> fleet_pb2_grpc.FleetServiceStub:
        return fleet_pb2_grpc.FleetServiceStub(self.channel)

    @property
    def accounts(self) -> account_pb2_grpc.AccountServiceStub:
        return account_pb2_grpc.AccountServiceStub(self.channel)

    @property
    def transfers(self) -> transfer_pb2_grpc.TransferServiceStub:
        return transfer_pb2_grpc.TransferServiceStub(self.channel)

    @property
    def tokens(self) -> token_pb2_grpc.TokenServiceStub:
        return token_pb2_grpc.TokenServiceStub(self.channel)


async def start_gateway(
    registry: ServiceServer, schedulers: list[ServiceServer], life: Lifecycle
) -> ServiceServer:
    """Another gateway over the same fakes."""
    settings = Settings(
        listen=LOOPBACK,
        registry=Endpoints.parse(str(registry.address)),
        scheduler=Endpoints.parse(",".join(str(s.address) for s in schedulers)),
    )
    server = await build(settings, life)
    await server.start()
    return server


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with AsyncExitStack() as stack:
        registry, leader, standby = FakeRegistry(), FakeScheduler(), FakeScheduler()
        registry_server = await serve_registry(registry)
        servers = [await serve_scheduler(leader), await serve_scheduler(standby, leads=False)]
        for server in (registry_server, *servers):
            stack.push_async_callback(server.stop)
        life = quick_life()
        gateway = await start_gateway(registry_server, servers, life)
        stack.push_async_callback(gateway.stop)
        channel = grpc.aio.insecure_channel(str(gateway.address))
        stack.push_async_callback(channel.close)
        yield Stage(registry, registry_server, [leader, standby], servers, gateway, life, channel)
