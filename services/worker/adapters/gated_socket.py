"""A TCP connection whose every send(2) is preceded by the gate's question. Knows neither MTProto nor any
library of it.

asyncio's own transports keep what the kernel did not take and send it later by themselves, which a fence
cannot see: bytes accepted before a deadline would leave after it. So this one owns its socket: `send` asks
the gate before each chunk that it hands to the kernel, and `abort` resets the connection (SO_LINGER 0), which
drops what the kernel still holds.
"""

import asyncio
import contextlib
import socket
import struct

from python_socks import ProxyError, ProxyType
from python_socks.async_.asyncio import Proxy

from services.runtime.addresses import HostPort
from services.worker.adapters.telegram_route import ProxyAddress
from services.worker.domain.telegram import Fenced, LinkCause, LinkDown
from services.worker.gate import Gate

DIAL_TIMEOUT = 10.0
"""Seconds for the TCP (and proxy) handshake."""
_CHUNK = 64 * 1024
_READ_AHEAD = 128 * 1024
"""Bytes kept unread before the kernel is left to slow the sender down."""
_WRITE_LIMIT = 10.0
"""Seconds that a peer may take nothing before the connection counts as gone."""
_DIAL_ERRORS = (OSError, TimeoutError, ProxyError, ValueError)
"""ValueError: credentials or an address that the proxy's protocol cannot carry."""
_RESET = struct.pack("ii", 1, 0)
_PROXY_TYPES = {"socks5": ProxyType.SOCKS5, "socks4": ProxyType.SOCKS4, "http": ProxyType.HTTP}


class GatedSocket:
    """One connection; made by `dial`."""

    def __init__(self, sock: socket.socket, gate: Gate) -> None:
        self._sock = sock
        self._gate = gate
        self._loop = asyncio.get_running_loop()
        self._unread = bytearray()
        self._arrived = asyncio.Event()
        self._reading = False
        self._eof = False
        self._closed = False
        gate.on_shut(self.abort)
        self._resume_reading()

    @classmethod
    async def dial(
        cls, gate: Gate, to: HostPort, proxy: ProxyAddress | None, limit: float = DIAL_TIMEOUT
    ) -> "GatedSocket":
        """Connects, through the proxy if there is one and never around it. Raises Fenced or LinkDown."""
        gate.check()
        cause = LinkCause.PROXY_FAILED if proxy else LinkCause.DIAL_FAILED
        try:
            async with asyncio.timeout(limit):
                sock = await (_through(proxy, to, limit) if proxy else _direct(to))
        except _DIAL_ERRORS as error:
            raise LinkDown(cause, type(error).__name__) from error
        try:
            gate.check()
            _keep_alive(sock)
        except OSError as error:  # gone before it was used
            sock.close()
            raise LinkDown(cause, type(error).__name__) from error
        except Fenced:
            sock.close()
            raise
        return cls(sock, gate)

    @property
    def closed(self) -> bool:
        """Whether it was closed from this side."""
        return self._closed

    @property
    def peer(self) -> HostPort:
        """Who is at the other end of the wire: the data centre, or the proxy."""
        host, port, *_ = self._sock.getpeername()
        return HostPort(host, port)

    async def read_exactly(self, size: int) -> bytes | None:
        """That many bytes, or None when the connection ended first."""
        while len(self._unread) < size:
            if self._eof or self._closed:
                return None
            self._arrived.clear()
            self._resume_reading()
            await self._arrived.wait()
        taken = bytes(self._unread[:size])
        del self._unread[:size]
        return taken

    async def send(self, data: bytes) -> None:
        """Sends all of it, asking the gate before each chunk. Raises Fenced, or OSError when the connection
        is gone."""
        view = memoryview(data)
        while view:
            self._gate.check()
            if self._closed:
                raise ConnectionResetError("the connection is closed")
            self._gate.used = True
            try:
                sent = self._sock.send(view)
            except (BlockingIOError, InterruptedError):
                await self._writable()
                continue
            view = view[sent:]

    def close(self) -> None:
        """Closes in good order: the peer sees the end of the stream. Idempotent."""
        self._end()

    def abort(self) -> None:
        """Resets the connection at once; nothing that is still in a buffer leaves. Idempotent."""
        if not self._closed:
            with contextlib.suppress(OSError):  # already gone: nothing left to reset
                self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._end()

    def _end(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._gate.forget(self.abort)
        self._pause_reading()
        self._loop.remove_writer(self._sock)
        self._sock.close()
        self._arrived.set()

    def _resume_reading(self) -> None:
        if not (self._reading or self._eof or self._closed):
            self._reading = True
            self._loop.add_reader(self._sock, self._on_readable)

    def _pause_reading(self) -> None:
        if self._reading:
            self._reading = False
            self._loop.remove_reader(self._sock)

    def _on_readable(self) -> None:
        try:
            data = self._sock.recv(_CHUNK)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        self._unread += data
        self._eof = not data
        if self._eof or len(self._unread) >= _READ_AHEAD:
            self._pause_reading()
        self._arrived.set()

    async def _writable(self) -> None:
        """Waits for room in the kernel's buffer. An abort meanwhile wakes it through the write limit of the
        caller."""
        ready = self._loop.create_future()
        self._loop.add_writer(self._sock, _resolve, ready)
        try:
            async with asyncio.timeout(_WRITE_LIMIT):
                await ready
        finally:
            if not self._closed:
                self._loop.remove_writer(self._sock)


def _resolve(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)


async def _direct(to: HostPort) -> socket.socket:
    family = socket.AF_INET6 if ":" in to.host else socket.AF_INET
    if not _is_numeric(to.host):
        found = await asyncio.get_running_loop().getaddrinfo(to.host, to.port, type=socket.SOCK_STREAM)
        family, to = found[0][0], HostPort(str(found[0][4][0]), to.port)
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)  # noqa: FBT003 - the standard library's signature
        await asyncio.get_running_loop().sock_connect(sock, (to.host, to.port))
    except BaseException:
        sock.close()
        raise
    return sock


async def _through(proxy: ProxyAddress, to: HostPort, limit: float) -> socket.socket:
    """The credentials are passed as fields: in a URL, a password with `@` or `%` would not survive."""
    dialler = Proxy(
        _PROXY_TYPES[proxy.scheme], proxy.host, proxy.port, username=proxy.username, password=proxy.password
    )
    sock: socket.socket = await dialler.connect(to.host, to.port, timeout=limit)
    return sock


def _is_numeric(host: str) -> bool:
    for family in (socket.AF_INET, socket.AF_INET6):
        with contextlib.suppress(OSError):
            socket.inet_pton(family, host)
            return True
    return False


def _keep_alive(sock: socket.socket) -> None:
    """As the client library sets it: notices a dead peer within half a minute, also without traffic."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
