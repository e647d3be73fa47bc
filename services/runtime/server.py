"""A gRPC server of ours: interceptor, health, reflection, keepalive, and a shutdown in the right order.

::

    server = ServiceServer("registry", settings.listen, life)
    server.add(add_RegistryServiceServicer_to_server, RegistryServicer(...))
    await server.serve(ready={"extra": "facts"})     # in main(): starts, announces, returns after the stop
    # or by hand, in tests:
    async with ServiceServer("x", HostPort("127.0.0.1", 0), Lifecycle()) as server: server.address

Order of a stop (STYLE.md): health NOT_SERVING, and calls are served until clients that watch health have
left; new calls are refused with UNAVAILABLE, and `life.stopping` is set, which streams watch; running calls
get the grace; then the hooks registered with `life.on_stop`, in their order: clients, last events, leases,
channels, database.

A standby calls `await server.set_serving(serving=False)` before `start` and `set_serving(serving=True)` when
it leads.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import grpc
from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from services.runtime.addresses import HostPort
from services.runtime.arrivals import Arrivals
from services.runtime.channels import MAX_MESSAGE_BYTES
from services.runtime.errors import SettingsError
from services.runtime.health import HealthPort, HealthServicer
from services.runtime.interceptor import ServerInterceptor
from services.runtime.lifecycle import Lifecycle
from services.runtime.lifeline import announce_ready
from services.runtime.logs import get_logger
from services.runtime.peers import PeerInterceptor, Rules
from services.runtime.tasks import cancel_and_wait
from services.runtime.tls import server_credentials

_log = get_logger("runtime.server")

MIN_PING_INTERVAL_MS = 1_000
"""Shorter than the clients' 4 s: equal figures fail on jitter ("Too many pings")."""

_LEAVING = 1.0
"""Seconds that callers get at most to go elsewhere, in each of the two steps before the server stops."""

_OPTIONS: tuple[tuple[str, Any], ...] = (
    ("grpc.so_reuseport", 0),  # two servers on one port would share the calls without a word
    ("grpc.http2.min_ping_interval_without_data_ms", MIN_PING_INTERVAL_MS),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 7_000),
    ("grpc.http2.ping_timeout_ms", 7_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
)

MTLS_OPTIONS: tuple[tuple[str, Any], ...] = (
    ("grpc.max_connection_age_ms", 30 * 60_000),
    ("grpc.max_connection_age_grace_ms", 15 * 60_000),
)
"""With mTLS no connection outlives a certificate that was replaced or withdrawn by more than 45 min; the
grace is longer than the calls that people make."""


class ServiceServer:
    """One listening server. `address` is valid after `start`."""

    def __init__(
        self,
        name: str,
        listen: HostPort,
        life: Lifecycle,
        *,
        reflection_enabled: bool | None = None,
        interceptors: Sequence[grpc.aio.ServerInterceptor] = (),
        credentials: grpc.ServerCredentials | None = None,
        rules: Rules | None = None,
        options: Sequence[tuple[str, Any]] = (),
    ) -> None:
        """`interceptors` run inside of ours (errors they raise are translated). Reflection is on by default
        only on a loopback address. With `rules` the server is an internal one: where the process has
        certificates (`life.tls`), it speaks mTLS and lets callers do what the rules say."""
        self.name = name
        self.address = listen
        self._life = life
        if rules is not None and life.tls is not None:
            credentials, options = server_credentials(life.tls), (*MTLS_OPTIONS, *options)
            interceptors = (PeerInterceptor(rules), *interceptors)
        elif rules is not None and not listen.is_loopback:
            _log.warning(
                "other machines reach this port and nothing on it is encrypted; set TGFLEET_TLS_CERT_FILE",
                listen=str(listen),
            )
        self._credentials = credentials
        self._reflection = listen.is_loopback if reflection_enabled is None else reflection_enabled
        self._services: list[str] = []
        self._serving = True
        self._started = False
        self._stopped = False
        self._health = HealthServicer()
        self._arrivals = Arrivals()
        self._server = grpc.aio.server(
            interceptors=(ServerInterceptor(self._arrivals), *interceptors),
            options=list(dict([*_OPTIONS, *options]).items()),  # of two values grpc takes the first
        )
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        self._probes = HealthPort(self._health, life.settings.health_listen)

    def add(self, add_to_server: Callable[[Any, Any], None], servicer: Any) -> None:
        """Adds a service by its generated `add_XServicer_to_server` function. Before `start`."""
        add_to_server(servicer, _NameRecorder(self._server, self._services))

    async def start(self) -> HostPort:
        """Binds, serves, sets health. Raises SettingsError when the address cannot be listened on."""
        if self._reflection:
            names = (*self._services, health.SERVICE_NAME, reflection.SERVICE_NAME)
            reflection.enable_server_reflection(names, self._server)
        port = self._bind()
        self.address = HostPort(self.address.host, port)
        await self._server.start()
        await self._probes.start()
        self._started = True
        self._health.set_all(self._services, serving=self._serving)
        _log.info("serving", listen=str(self.address), services=self._services)
        return self.address

    async def set_serving(self, *, serving: bool) -> None:
        """What health answers, for "" and each service; ignored once the stop has begun."""
        self._serving = serving
        if self._started:
            self._health.set_all(self._services, serving=serving)

    async def serve(self, ready: Mapping[str, Any] | None = None) -> None:
        """Starts, announces itself to the supervisor, waits until the process is to stop, stops."""
        await self.start()
        try:
            metrics = self._life.metrics_address
            announce_ready(
                {
                    "service": self.name,
                    "listen": str(self.address),
                    "metrics": str(metrics) if metrics else None,
                    **(ready or {}),
                }
            )
            await self._life.stop_requested.wait()
        finally:
            await self.stop()

    async def stop(self) -> None:
        """The graceful stop, in the order above. Idempotent."""
        if self._stopped:
            return
        self._stopped = True
        self._health.stop()
        await self._callers_left()
        self._arrivals.refused = True
        self._life.stopping.set()
        await self._callers_left()
        await self._stop_server()
        await self._probes.stop()
        await self._life.run_stop_hooks()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    def _bind(self) -> int:
        address = str(self.address)
        try:
            if self._credentials is not None:
                return int(self._server.add_secure_port(address, self._credentials))
            return int(self._server.add_insecure_port(address))
        except RuntimeError as error:
            raise SettingsError(
                f"the {self.name} cannot listen on {address}; is something else using the port?",
                reason="CANNOT_LISTEN",
            ) from error

    async def _callers_left(self) -> None:
        """Within the grace; at once when it is time to hurry, or nobody could have called yet."""
        limit = min(_LEAVING, self._life.settings.shutdown_grace.total_seconds())
        leaving = asyncio.ensure_future(self._arrivals.ended(limit if self._started else 0))
        hurrying = asyncio.ensure_future(self._life.hurry.wait())
        try:
            await asyncio.wait({leaving, hurrying}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await cancel_and_wait(leaving, hurrying)

    async def _stop_server(self) -> None:
        grace = self._life.settings.shutdown_grace.total_seconds()
        stopping = asyncio.ensure_future(self._server.stop(0 if self._life.hurry.is_set() else grace))
        hurrying = asyncio.ensure_future(self._life.hurry.wait())
        await asyncio.wait({stopping, hurrying}, return_when=asyncio.FIRST_COMPLETED)
        hurrying.cancel()
        if not stopping.done():
            await self._server.stop(0)
        await stopping


class _NameRecorder:
    """Stands in for the server while a service is added, to learn its name for health and reflection."""

    def __init__(self, server: grpc.aio.Server, names: list[str]) -> None:
        self._server = server
        self._names = names

    def add_generic_rpc_handlers(self, handlers: Sequence[Any]) -> None:
        self._names.extend(handler.service_name() for handler in handlers)
        self._server.add_generic_rpc_handlers(tuple(handlers))

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Any]) -> None:
        self._server.add_registered_method_handlers(service, handlers)
