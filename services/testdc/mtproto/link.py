"""One TCP link of a client: bytes to packets and back, and every way a link can be ill.

Knows nothing of keys or calls; whoever owns it gets the packets through a `Sink`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol, cast

from services.testdc.mtproto.framing import Framing, FramingError, detect


class Sink(Protocol):
    """Who is told what happens on links."""

    def opened(self, link: Link) -> None:
        """A client has connected."""

    def packet(self, link: Link, packet: bytes) -> None:
        """A whole packet has come."""

    def closed(self, link: Link, reason: str) -> None:
        """The link is gone; called exactly once."""


class Link(asyncio.Protocol):
    """The server's end of a connection."""

    def __init__(self, sink: Sink, connection_id: int, *, media: bool) -> None:
        self._sink = sink
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._framing: Framing | None = None
        self._timers: set[asyncio.TimerHandle] = set()
        self._expiry: asyncio.TimerHandle | None = None
        self._reason = "closed by the client"
        self._suspended = False
        self._held = b""
        self.connection_id = connection_id
        self.media = media
        self.peer = ""
        """The client's address and port."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        self._transport = cast("asyncio.Transport", transport)
        host, port = transport.get_extra_info("peername")[:2]
        self.peer = f"{host}:{port}"
        self._sink.opened(self)

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        self._buffer += data
        try:
            self._cut()
        except FramingError as e:
            self.close(str(e))

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        self._cancel_timers()
        self._transport = None
        self._sink.closed(self, f"{self._reason}: {type(exc).__name__}" if exc else self._reason)

    def send(self, packet: bytes) -> None:
        """Write one packet, unless the link is gone or suspended."""
        if self._transport is None or self._suspended or self._framing is None:
            return
        self._transport.write(self._framing.frame(packet))

    def close(self, reason: str) -> None:
        """Cut the link at once; `reason` goes to the journal."""
        if self._transport is not None:
            self._reason = reason
            self._transport.abort()

    def suspend(self) -> None:
        """Stop reading and writing and leave the socket open: half-open, as clients see it."""
        if self._transport is not None and not self._suspended:
            self._suspended = True
            self._transport.pause_reading()

    def suspend_before(self, packet: bytes) -> None:
        """The same, as if this packet had not been read yet."""
        self._held = packet
        self.suspend()

    def resume(self) -> None:
        """Go on after `suspend`; whatever the client did meanwhile comes now."""
        if self._transport is None or not self._suspended:
            return
        self._suspended = False
        self._transport.resume_reading()
        held, self._held = self._held, b""
        if held:
            self._sink.packet(self, held)
        self._cut()

    def expire_in(self, seconds: float) -> None:
        """Close the link unless this is called again within so many seconds (ping_delay_disconnect)."""
        if self._expiry is not None:
            self._expiry.cancel()
        self._expiry = asyncio.get_running_loop().call_later(seconds, self._expired)

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        """Do something in so many seconds, unless the link is gone by then."""
        loop = asyncio.get_running_loop()

        def run() -> None:
            self._timers.discard(handle)
            action()

        handle = loop.call_later(seconds, run)
        self._timers.add(handle)

    def _cut(self) -> None:
        if self._framing is None:
            self._framing = detect(self._buffer)
        while self._framing is not None and not self._suspended:
            packet = self._framing.cut(self._buffer)
            if packet is None:
                return
            self._sink.packet(self, packet)

    def _expired(self) -> None:
        if not self._suspended:
            self.close("no ping within disconnect_delay")

    def _cancel_timers(self) -> None:
        for handle in self._timers:
            handle.cancel()
        self._timers.clear()
        if self._expiry is not None:
            self._expiry.cancel()
