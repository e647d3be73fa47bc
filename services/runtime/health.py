"""The standard health service (grpc.health.v1), with a Watch that ends when the server stops.

grpcio-health-checking has one, too. But its Watch goes on until the grace of a shutdown is over, so every
client with health checking makes every stop as slow as it can be; and a slow watcher holds up the others.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.runtime.addresses import HostPort
from services.runtime.errors import NotFound, SettingsError

_ANSWER = health_pb2.HealthCheckResponse

LIVE = "live"
"""Asked about this name, a server says SERVING for as long as it answers and was not told to stop. A standby
is alive although it does not serve."""


class HealthServicer(health_pb2_grpc.HealthServicer):  # type: ignore[misc]
    """Answers for "" (the whole process), each service by name, and `LIVE`. Starts as NOT_SERVING."""

    def __init__(self) -> None:
        self._statuses: dict[str, int] = {"": _ANSWER.NOT_SERVING, LIVE: _ANSWER.SERVING}
        self._stopped = False
        self._changed = asyncio.Event()

    def set_all(self, services: Iterable[str], *, serving: bool) -> None:
        """Says SERVING or NOT_SERVING for "" and these services. Ignored after `stop`."""
        if not self._stopped:
            status = _ANSWER.SERVING if serving else _ANSWER.NOT_SERVING
            self._statuses |= dict.fromkeys(("", *services), status)
            self._wake()

    def stop(self) -> None:
        """NOT_SERVING from now on; watchers are told and their streams end."""
        self._stopped = True
        self._statuses = dict.fromkeys(self._statuses, _ANSWER.NOT_SERVING)
        self._wake()

    async def Check(self, request: Any, _context: Any) -> Any:  # noqa: N802 - gRPC's name
        status = self._statuses.get(request.service)
        if status is None:
            raise NotFound("This server has no service of that name.", reason="SERVICE_UNKNOWN")
        return _ANSWER(status=status)

    async def Watch(self, request: Any, _context: Any) -> AsyncIterator[Any]:  # noqa: N802 - gRPC's name
        last = None
        while True:
            changed = self._changed
            status = self._statuses.get(request.service, _ANSWER.SERVICE_UNKNOWN)
            if status != last:
                yield _ANSWER(status=status)
                last = status
            elif self._stopped:
                return
            else:
                await changed.wait()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


class HealthPort:
    """The health service alone, in clear, on a port of its own: Kubernetes' gRPC probes speak no TLS."""

    def __init__(self, health: HealthServicer, listen: HostPort | None) -> None:
        """Without an address there is no such port."""
        self._health, self._listen = health, listen
        self._server: grpc.aio.Server | None = None

    async def start(self) -> None:
        """Raises SettingsError when the address cannot be listened on."""
        if self._listen is None:
            return
        self._server = grpc.aio.server(options=(("grpc.so_reuseport", 0),))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        try:
            self._server.add_insecure_port(str(self._listen))
        except RuntimeError as error:
            raise SettingsError(
                f"health cannot be served on {self._listen}; is something else using the port?",
                reason="CANNOT_LISTEN",
            ) from error
        await self._server.start()

    async def stop(self) -> None:
        """Ends at once: watchers were told by `HealthServicer.stop`."""
        if self._server is not None:
            await self._server.stop(0)
