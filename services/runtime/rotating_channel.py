"""A client channel whose certificate can be replaced while it is in use, without failing a call.

gRPC fixes a channel's credentials for its life (1.85 has no reloading ones for Python clients). So this one
stands before a real channel: when the certificate files changed it opens another, waits until that has
connected, and from then on makes calls there. Calls that run on the old one end there. Streams that never end
are ended by the server when their connection has reached its age (`server.MTLS_OPTIONS`).
"""

import asyncio
from collections.abc import Callable
from typing import Any, Self

import grpc

from services.runtime.logs import get_logger
from services.runtime.tasks import cancel_and_wait
from services.runtime.tls import RELOAD_PERIOD, Certificates, Material

CONNECT_PATIENCE = 10.0
"""Seconds that a new channel gets to connect while the old one works; then it is tried again."""
_DRAIN_LIMIT = 24 * 3600.0
"""Far longer than any call: the server's limit on the age of connections comes first."""

_log = get_logger("runtime.tls")


class RotatingChannel(grpc.aio.Channel):
    """Looks like any channel. Must be made on the event loop that uses it, and be closed."""

    def __init__(
        self,
        open_with: Callable[[Material], grpc.aio.Channel],
        certificates: Certificates,
        period: float = RELOAD_PERIOD,
    ) -> None:
        self._open_with, self._certificates, self._period = open_with, certificates, period
        self._material = certificates.material
        self._current = open_with(self._material)
        self._generation = 0
        self._rotated = asyncio.Event()
        self._draining: set[asyncio.Task[None]] = set()
        self._watching = asyncio.create_task(self._watch(), name="watch certificates")

    @property
    def generation(self) -> int:
        """How often the channel behind was replaced."""
        return self._generation

    @property
    def current(self) -> grpc.aio.Channel:
        """The channel that new calls use."""
        return self._current

    async def close(self, grace: float | None = None) -> None:
        """Closes the channel and those that still drain."""
        await cancel_and_wait(self._watching, *self._draining)
        await self._current.close(grace)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:  # noqa: FBT001, FBT002 - grpc's
        return self._current.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        """Returns on a replacement as well: whoever watches looks at the state again."""
        change = asyncio.ensure_future(self._current.wait_for_state_change(last_observed_state))
        rotated = asyncio.ensure_future(self._rotated.wait())
        try:
            await asyncio.wait({change, rotated}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await cancel_and_wait(change, rotated)

    async def channel_ready(self) -> None:
        while (state := self.get_state(try_to_connect=True)) is not grpc.ChannelConnectivity.READY:
            await self.wait_for_state_change(state)

    def unary_unary(self, *args: Any, **kwargs: Any) -> Any:
        return _Method(self, "unary_unary", args, kwargs)

    def unary_stream(self, *args: Any, **kwargs: Any) -> Any:
        return _Method(self, "unary_stream", args, kwargs)

    def stream_unary(self, *args: Any, **kwargs: Any) -> Any:
        return _Method(self, "stream_unary", args, kwargs)

    def stream_stream(self, *args: Any, **kwargs: Any) -> Any:
        return _Method(self, "stream_stream", args, kwargs)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._period)
            material = self._certificates.refresh()
            if material is not self._material:
                await self._replace(material)

    async def _replace(self, material: Material) -> None:
        """Takes the new channel once it is connected, or when the old one does not work either."""
        new = self._open_with(material)
        taken = False
        try:
            taken = await _connected(new) or not self._works()
        finally:
            if not taken:
                await new.close()
        if not taken:
            _log.warning("the new certificate does not connect yet; going on with the one before")
            return
        old, self._current = self._current, new
        self._material = material
        self._generation += 1
        self._rotated.set()
        self._rotated = asyncio.Event()
        task = asyncio.create_task(_drain(old), name="drain channel")
        self._draining.add(task)
        task.add_done_callback(self._draining.discard)

    def _works(self) -> bool:
        return self._current.get_state() is grpc.ChannelConnectivity.READY


class _Method:
    """A method of a stub: made anew for each channel, so a call costs one comparison more."""

    def __init__(
        self, owner: RotatingChannel, kind: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        self._owner, self._kind, self._args, self._kwargs = owner, kind, args, kwargs
        self._generation = -1
        self._call: Callable[..., Any] | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        call = self._call
        if call is None or self._generation != self._owner.generation:
            call = self._call = getattr(self._owner.current, self._kind)(*self._args, **self._kwargs)
            self._generation = self._owner.generation
        return call(*args, **kwargs)


async def _connected(channel: grpc.aio.Channel) -> bool:
    try:
        async with asyncio.timeout(CONNECT_PATIENCE):
            await channel.channel_ready()
    except TimeoutError:
        return False
    return True


async def _drain(channel: grpc.aio.Channel) -> None:
    """Lets running calls end; closes at once what is left when cancelled."""
    try:
        await channel.close(_DRAIN_LIMIT)
    finally:
        await channel.close()
