"""A running echo server and a channel to it."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import grpc
import pytest

from services.runtime.addresses import HostPort
from services.runtime.channels import open_channel
from services.runtime.lifecycle import Lifecycle
from services.runtime.server import ServiceServer
from tests.integration.runtime.echo import Echo, EchoStub, add_echo

ANY_PORT = HostPort("127.0.0.1", 0)


@dataclass
class Running:
    """All the parts of a running echo service."""

    echo: Echo
    life: Lifecycle
    server: ServiceServer
    channel: grpc.aio.Channel
    stub: EchoStub


@pytest.fixture
async def running() -> AsyncIterator[Running]:
    life = Lifecycle()
    echo = Echo(stopping=life.stopping)
    server = ServiceServer("echo", ANY_PORT, life)
    server.add(add_echo, echo)
    async with server:
        channel = open_channel(str(server.address), retries=False)
        yield Running(echo, life, server, channel, EchoStub(channel))
        await channel.close()
