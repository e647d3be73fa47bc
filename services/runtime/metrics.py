"""Prometheus metrics: this process's registry, the figures of every RPC, the endpoint that serves them.

Make your own with `counter`, `gauge`, `histogram` (they live in `REGISTRY`; labels must have few values and
never an account's name or a secret). `MetricsServer` answers `GET /metrics` on the event loop, without
threads.
"""

import asyncio
from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.platform_collector import PlatformCollector

from services.runtime.addresses import HostPort
from services.runtime.errors import SettingsError

REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)

# Seconds; from a cached answer to a long poll.
DURATION_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_REQUEST_TIMEOUT = 5.0
_MAX_HEADER_LINES = 100


def counter(name: str, meaning: str, labels: Sequence[str] = ()) -> Counter:
    """A counter in this process's registry; `name` without the `_total` that Prometheus adds."""
    return Counter(name, meaning, labels, registry=REGISTRY)


def gauge(name: str, meaning: str, labels: Sequence[str] = ()) -> Gauge:
    """A gauge in this process's registry."""
    return Gauge(name, meaning, labels, registry=REGISTRY)


def histogram(
    name: str, meaning: str, labels: Sequence[str] = (), buckets: Sequence[float] = DURATION_BUCKETS
) -> Histogram:
    """A histogram in this process's registry; durations are in seconds."""
    return Histogram(name, meaning, labels, registry=REGISTRY, buckets=buckets)


RPC_REQUESTS = counter("rpc_requests", "Calls answered, by method and status code.", ("method", "code"))
RPC_DURATION = histogram(
    "rpc_duration_seconds", "How long a call took, streams from first to last.", ("method",)
)


class MetricsServer:
    """A minimal HTTP/1.1 endpoint: `await start()` gives the bound address, `await stop()` closes it."""

    def __init__(self, listen: HostPort, registry: CollectorRegistry = REGISTRY) -> None:
        self._listen = listen
        self._registry = registry
        self._server: asyncio.Server | None = None

    async def start(self) -> HostPort:
        """Raises SettingsError when the address cannot be listened on."""
        try:
            self._server = await asyncio.start_server(self._serve, self._listen.host, self._listen.port)
        except OSError as error:
            raise SettingsError(
                f"TGFLEET_METRICS_LISTEN: cannot listen on {self._listen} ({error.strerror})",
                reason="CANNOT_LISTEN",
            ) from error
        return HostPort(self._listen.host, self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Idempotent."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_REQUEST_TIMEOUT):
                writer.write(self._answer(await _read_request_line(reader)))
                await writer.drain()
        except (TimeoutError, OSError, ValueError):
            writer.transport.abort()  # a slow, gone or babbling scraper; it will come again
        finally:
            writer.close()

    def _answer(self, request_line: bytes) -> bytes:
        method, _, rest = request_line.partition(b" ")
        path = rest.partition(b" ")[0].partition(b"?")[0]
        if method != b"GET" or path != b"/metrics":
            return b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        body = generate_latest(self._registry)
        head = f"HTTP/1.1 200 OK\r\nContent-Type: {CONTENT_TYPE_LATEST}\r\nContent-Length: {len(body)}\r\n"
        return head.encode() + b"Connection: close\r\n\r\n" + body


async def _read_request_line(reader: asyncio.StreamReader) -> bytes:
    """The first line of a request, its headers consumed. Raises ValueError when either is too long."""
    request_line = await reader.readline()
    for _ in range(_MAX_HEADER_LINES):
        if (await reader.readline()).strip() == b"":
            return request_line
    raise ValueError("too many header lines")
