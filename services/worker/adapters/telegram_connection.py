"""The library's `Connection`, with every byte passing our gate (DESIGN section 3, "the fence is at the
socket").

It dials once and never by itself again, goes where our route says and not where the library would, and frames
packets as MTProto's abridged transport does (core.telegram.org/mtproto/mtproto-transports#abridged). Media
connections are made by the same factory and so pass the same gate.
"""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from pyrogram.connection import Connection

from services.runtime.addresses import HostPort
from services.worker.adapters.gated_socket import GatedSocket
from services.worker.adapters.telegram_packets import InPlace
from services.worker.adapters.telegram_route import ProxyAddress, Route
from services.worker.gate import Gate

_ABRIDGED = b"\xef"
_LONG = 0x7F
_TRANSPORT_ERROR_SIZE = 4

# For media connections, whose sessions are the library's own. One thread, which keeps packets in order; the
# library makes one for each connection (0.2 MiB each).
_THREAD = ThreadPoolExecutor(1, thread_name_prefix="crypto")
_IN_PLACE = InPlace()


class AbridgedTransport:
    """Stands where the library expects its TCP class: packets in, packets out."""

    def __init__(self, socket: GatedSocket, crypto: InPlace | ThreadPoolExecutor) -> None:
        self._socket = socket
        self._writing = asyncio.Lock()
        self.crypto_executor = crypto

    async def open(self) -> None:
        """Announces the framing."""
        await self._socket.send(_ABRIDGED)

    async def send(self, packet: bytes) -> None:
        """One packet, whole."""
        words = len(packet) // 4
        head = bytes([words]) if words < _LONG else bytes([_LONG]) + words.to_bytes(3, "little")
        async with self._writing:
            await self._socket.send(head + packet)

    async def recv(self) -> bytes | None:
        """The next packet, None at the end of the connection."""
        head = await self._socket.read_exactly(1)
        if head is not None and head[0] == _LONG:
            head = await self._socket.read_exactly(3)
        if head is None:
            return None
        return await self._socket.read_exactly(int.from_bytes(head, "little") * 4)

    @property
    def closed(self) -> bool:
        """Whether the socket was closed from this side."""
        return self._socket.closed

    def close(self) -> None:
        """In good order."""
        self._socket.close()

    def abort(self) -> None:
        """At once."""
        self._socket.abort()


class GatedConnection(Connection):  # type: ignore[misc]  # the library has no types
    """A connection of one account. Made by the library through `functools.partial`."""

    def __init__(
        self,
        *,
        gate: Gate,
        route: Route,
        through: ProxyAddress | None,
        on_transport_error: Callable[[int], None],
        room: Callable[[], Awaitable[None]],
        register: Callable[["GatedConnection"], None],
        **given: Any,
    ) -> None:
        super().__init__(**given)
        self._gate = gate
        self._through = through
        self._on_transport_error = on_transport_error
        self._room = room
        wanted = HostPort(given["server_address"], given["port"])
        if self.media:
            target = route.media(self.dc_id, wanted, test_mode=self.test_mode)
        else:
            target = route.main(self.dc_id, test_mode=self.test_mode)
        self.server_address: str = target.host
        self.port: int = target.port
        self.ipv6 = ":" in target.host
        self.protocol: AbridgedTransport | None = None
        register(self)

    async def connect(self) -> None:
        """Dials once. Raises Fenced or LinkDown, neither of which the library answers with another
        attempt."""
        target = HostPort(self.server_address, self.port)
        socket = await GatedSocket.dial(self._gate, target, self._through)
        self.protocol = AbridgedTransport(socket, _THREAD if self.media else _IN_PLACE)
        await self.protocol.open()

    async def close(self) -> None:
        """In good order. Idempotent."""
        if self.protocol is not None:
            self.protocol.close()

    def abort(self) -> None:
        """At once. Idempotent."""
        if self.protocol is not None:
            self.protocol.abort()

    @property
    def open(self) -> bool:
        """Whether a socket is open."""
        return self.protocol is not None and not self.protocol.closed

    async def send(self, data: bytes) -> None:
        """Raises Fenced, or OSError when the connection is gone."""
        self._gate.check()
        if self.protocol is None:
            raise ConnectionResetError("nothing was dialled yet")
        await self.protocol.send(data)

    async def recv(self) -> bytes | None:
        """The next packet, None at the end; transport errors are noted on the way."""
        if self.protocol is None:
            return None
        await self._room()
        packet = await self.protocol.recv()
        if packet is not None and len(packet) == _TRANSPORT_ERROR_SIZE:
            self._on_transport_error(-int.from_bytes(packet, "little", signed=True))
        return packet
