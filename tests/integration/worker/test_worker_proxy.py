"""Proxies: an account with one goes through it or nowhere. And media connections pass the same gate."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from services.runtime.addresses import HostPort
from services.runtime.clock import SystemClock
from services.testdc.embed import NewAccount, TestDataCentre
from services.worker.adapters.telegram import KurigramClients, TelegramConfig
from services.worker.adapters.telegram_route import Route
from services.worker.domain.telegram import Credentials, Fenced, LinkDown
from services.worker.gate import Gate
from services.worker.ports import Unrestrained
from tests.integration.worker.conftest import MakeWorld
from tests.integration.worker.rig import RECONNECTING, RUNNING
from tgfleet.gateway.v1 import result_pb2

USER, PASSWORD = "us er@x", "p%ss:w@rd"


class ProxyServer:
    """SOCKS5 with a password (RFC 1928, 1929), SOCKS4 and HTTP CONNECT: the first byte says which."""

    def __init__(self) -> None:
        self.carried = 0
        self.refused = 0
        self._writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        try:
            first = await reader.readexactly(1)
            shake = {b"\x05": self._socks5, b"\x04": self._socks4}.get(first, self._http)
            target = await shake(reader, writer)
            if target is None:
                self.refused += 1
                return
            far_reader, far_writer = await asyncio.open_connection(*target)
            self._writers.append(far_writer)
            self.carried += 1
            await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))
        except (OSError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()

    async def _socks5(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> tuple[str, int] | None:
        methods = await reader.readexactly((await reader.readexactly(1))[0])
        assert 2 in methods
        writer.write(b"\x05\x02")
        await reader.readexactly(1)
        user = await reader.readexactly((await reader.readexactly(1))[0])
        password = await reader.readexactly((await reader.readexactly(1))[0])
        right = (user.decode(), password.decode()) == (USER, PASSWORD)
        writer.write(b"\x01" + (b"\x00" if right else b"\x01"))
        if not right:
            return None
        await reader.readexactly(4)
        address, port = await reader.readexactly(4), await reader.readexactly(2)
        writer.write(b"\x05\x00\x00\x01" + bytes(6))
        return ".".join(map(str, address)), int.from_bytes(port, "big")

    async def _socks4(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> tuple[str, int] | None:
        head = await reader.readexactly(7)
        await reader.readuntil(b"\x00")
        writer.write(b"\x00\x5a" + bytes(6))
        return ".".join(map(str, head[3:7])), int.from_bytes(head[1:3], "big")

    async def _http(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> tuple[str, int] | None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        wanted = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if wanted not in head:
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
            return None
        host, port = head.split(" ")[1].rsplit(":", 1)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        return host, int(port)

    def drop_all(self) -> None:
        for writer in self._writers:
            writer.transport.abort()


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def proxy_server() -> AsyncIterator[tuple[ProxyServer, int, asyncio.Server]]:
    proxy = ProxyServer()
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    try:
        yield proxy, server.sockets[0].getsockname()[1], server
    finally:
        server.close()
        proxy.drop_all()


@pytest.mark.parametrize(
    "url",
    [
        "socks5://us%20er%40x:p%25ss%3Aw%40rd@127.0.0.1:{port}",
        "http://us%20er%40x:p%25ss%3Aw%40rd@127.0.0.1:{port}",
        "socks4://127.0.0.1:{port}",
    ],
)
async def test_an_account_goes_through_its_proxy(make_world: MakeWorld, url: str) -> None:
    async with proxy_server() as (proxy, port, _):
        w = await make_world()
        w.account("acc_one", proxy=url.format(port=port))
        command = w.house.dispatcher.start(["acc_one"])
        assert (await w.house.dispatcher.until_answered(command, "acc_one")).state == RUNNING
        assert proxy.carried == 1
        opened = [r for r in w.dc.control.get_journal() if r.kind.value == "connection_opened"]
        assert len(opened) == 1


async def test_a_wrong_password_is_a_proxy_error(make_world: MakeWorld) -> None:
    async with proxy_server() as (proxy, port, _):
        w = await make_world(TGFLEET_CONNECT_TIMEOUT="500ms")
        w.account("acc_one", proxy=f"socks5://u:wrong@127.0.0.1:{port}")
        command = w.house.dispatcher.start(["acc_one"])
        report = await w.house.dispatcher.until_answered(command, "acc_one")
        assert report.reason == result_pb2.REASON_PROXY_ERROR
        assert proxy.refused
        assert not w.dc.control.get_journal()


async def test_credentials_that_no_proxy_can_take_are_a_proxy_error(make_world: MakeWorld) -> None:
    async with proxy_server() as (_, port, _server):
        w = await make_world(TGFLEET_CONNECT_TIMEOUT="500ms")
        w.account("acc_one", proxy=f"http://with%3Acolon:x@127.0.0.1:{port}")
        command = w.house.dispatcher.start(["acc_one"])
        report = await w.house.dispatcher.until_answered(command, "acc_one")
        assert report.reason == result_pb2.REASON_PROXY_ERROR


async def test_a_proxy_that_dies_is_not_bypassed_on_reconnect(make_world: MakeWorld) -> None:
    async with proxy_server() as (proxy, port, server):
        w = await make_world()
        w.account("acc_one", proxy=f"socks4://127.0.0.1:{port}")
        command = w.house.dispatcher.start(["acc_one"])
        await w.house.dispatcher.until_answered(command, "acc_one")
        server.close()
        proxy.drop_all()

        def shown() -> bool:
            last = w.house.dispatcher.last("acc_one")
            return last is not None and last.reason == result_pb2.REASON_PROXY_ERROR

        await w.house.dispatcher.until(shown)
        last = w.house.dispatcher.last("acc_one")
        assert last is not None
        assert last.state == RECONNECTING
        opened = [r for r in w.dc.control.get_journal() if r.kind.value == "connection_opened"]
        assert len(opened) == 1, "never around the proxy"


async def test_media_connections_pass_the_same_gate() -> None:
    async with TestDataCentre() as dc:
        account = dc.control.create_account(NewAccount(first_name="A"))
        config = TelegramConfig(
            api_id=12345,
            api_hash="0123456789abcdef0123456789abcdef",
            route=Route(HostPort(dc.host, dc.port), live=False),
            rsa_key=dc.rsa_key_path,
        )
        gate = Gate(lambda: True)
        credentials = Credentials(2, account.auth_key, test_mode=False, user_id=0, api_id=0)
        client = KurigramClients(config, SystemClock()).make(
            credentials, gate, lambda _: None, Unrestrained()
        )
        await client.connect(5)
        media = await client._client.get_session(is_media=True)  # type: ignore[union-attr]
        assert client.facts().open_sockets == 2
        assert {r.media for r in dc.control.get_journal() if r.kind.value == "connection_opened"} == {
            True,
            False,
        }
        seen = len(dc.control.get_journal())
        gate.close()
        assert client.facts().open_sockets == 0
        for _ in range(3):  # the library's own session would dial again and again
            with suppress(Fenced, LinkDown, OSError):
                await asyncio.wait_for(media.restart(), 3)
        await asyncio.sleep(0.2)
        later = [r for r in dc.control.get_journal(seen) if r.kind.value != "connection_closed"]
        assert later == []
        await client.close()
