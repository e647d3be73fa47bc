"""Prometheus metrics: this process's registry, the figures of every RPC, the endpoint that serves them.

Make your own with `counter`, `gauge`, `histogram` (they live in `REGISTRY`; labels must have few values and
never an account's name or a secret). `MetricsServer` answers `GET /metrics` on the event loop, without
threads.
"""

import asyncio
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.registry import Collector

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


class MethodFigures:
    """How the calls of one method went. Counted by the event loop's thread alone, so without the locks of
    Prometheus' own counters, which cost a fast call more than everything else around it."""

    __slots__ = ("codes", "durations", "seconds")

    def __init__(self) -> None:
        self.codes: dict[str, int] = {}
        self.durations = [0] * (len(DURATION_BUCKETS) + 1)
        self.seconds = 0.0

    def count(self, code: str, seconds: float) -> None:
        """A call has ended."""
        self.codes[code] = self.codes.get(code, 0) + 1
        self.durations[bisect_left(DURATION_BUCKETS, seconds)] += 1
        self.seconds += seconds


class CallFigures(Collector):
    """The figures of all methods, as `rpc_requests_total` and `rpc_duration_seconds`."""

    def __init__(self) -> None:
        self._methods: dict[str, MethodFigures] = {}

    def of(self, method: str) -> MethodFigures:
        """Those of one method, from now on."""
        return self._methods.setdefault(method, MethodFigures())

    def collect(self) -> Iterator[Metric]:
        """For Prometheus."""
        requests = CounterMetricFamily(
            "rpc_requests", "Calls answered, by method and status code.", labels=("method", "code")
        )
        durations = HistogramMetricFamily(
            "rpc_duration_seconds", "How long a call took, streams from first to last.", labels=("method",)
        )
        edges = [*(str(float(edge)) for edge in DURATION_BUCKETS), "+Inf"]  # as Prometheus' own histograms
        for method, figures in self._methods.items():
            for code, number in figures.codes.items():
                requests.add_metric((method, code), number)
            buckets = list(zip(edges, accumulate(figures.durations), strict=True))
            durations.add_metric((method,), buckets, figures.seconds)
        yield from (requests, durations)


CALLS = CallFigures()
REGISTRY.register(CALLS)


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
