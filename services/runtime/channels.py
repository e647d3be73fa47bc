"""Client channels with the options that were measured to work (STYLE.md, "Traps").

`open_channel(target)` is cheap and connects by itself when first used; close it with `await channel.close()`.
`target` is an `Endpoints`, or its text: comma separated `host:port`, or one `dns:///name:port`.

* A frozen peer is noticed within 10 s: ping after 4 s without data, 5 s for the answer.
  `grpc.http2.ping_timeout_ms` is the option that does it; `keepalive_timeout_ms` alone took 65 s.
* After an outage the channel is back within 2 s.
* `health_checked=True`: of several addresses only those whose health service says SERVING get calls, so a
  standby that answers NOT_SERVING is left alone until it leads. Needs round_robin, which is always on.
* `retries=True`: a unary call answered UNAVAILABLE, or CANCELLED as by a server that stops, is repeated up to
  3 times. Only for methods that are idempotent, as all of ours are (request ids, tokens); a stream is
  repeated only while nothing of it has been answered.
* `tls` makes it mTLS: our certificate is shown. With `server` the other side must have one for
  `<server>.tgfleet`, wherever it listens; without, one for the address that is dialled, as for etcd. New
  certificate files are taken up while calls go on.
"""

import json
import socket
from collections.abc import Sequence
from typing import Any

import grpc

from services.runtime.addresses import Endpoints, HostPort
from services.runtime.rotating_channel import RotatingChannel
from services.runtime.tls import Certificates, channel_credentials, server_name

MAX_MESSAGE_BYTES = 64 * 1024 * 1024
"""Enough for thousands of sessions in one grant; 4 MiB is grpc's default."""

KEEPALIVE_TIME_MS = 4_000
"""The server allows a ping every 1 s (`server.MIN_PING_INTERVAL_MS`): equal figures fail on jitter."""
PING_TIMEOUT_MS = 5_000

_OPTIONS: tuple[tuple[str, Any], ...] = (
    ("grpc.keepalive_time_ms", KEEPALIVE_TIME_MS),
    ("grpc.keepalive_timeout_ms", PING_TIMEOUT_MS),
    ("grpc.http2.ping_timeout_ms", PING_TIMEOUT_MS),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1_000),  # also the time one attempt gets
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.dns_min_time_between_resolutions_ms", 1_000),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.enable_http_proxy", 0),  # an http_proxy in the environment is not meant for the fleet's own calls
)

_RETRY_POLICY = {
    "maxAttempts": 4,
    "initialBackoff": "0.1s",
    "maxBackoff": "1s",
    "backoffMultiplier": 2,
    "retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"],
}


def open_channel(
    target: Endpoints | str | Sequence[str],
    *,
    health_checked: bool = False,
    retries: bool = True,
    wait_for_ready: bool = False,
    credentials: grpc.ChannelCredentials | None = None,
    tls: Certificates | None = None,
    server: str = "",
    options: Sequence[tuple[str, Any]] = (),
) -> grpc.aio.Channel:
    """A channel to a service; `options` come last and win. With `wait_for_ready` calls wait for a connection
    until their deadline instead of failing at once. `server` is the service of the fleet at the other
    end; without `tls` it means nothing. Raises ValueError for a target that cannot be read."""
    endpoints = target if isinstance(target, Endpoints) else Endpoints.parse(_as_text(target))
    config = service_config(health_checked=health_checked, retries=retries, wait_for_ready=wait_for_ready)
    # One value for each name: of two, grpc takes the first.
    merged = list(dict([*_OPTIONS, ("grpc.service_config", config), *options]).items())
    address = grpc_target(endpoints)
    if tls is not None:
        named = [*merged, ("grpc.ssl_target_name_override", server_name(server))] if server else merged
        return RotatingChannel(
            lambda material: grpc.aio.secure_channel(address, channel_credentials(material), options=named),
            tls,
        )
    if credentials is None:
        return grpc.aio.insecure_channel(address, options=merged)
    return grpc.aio.secure_channel(address, credentials, options=merged)


def service_config(*, health_checked: bool, retries: bool, wait_for_ready: bool) -> str:
    """gRPC's service config, as JSON."""
    method: dict[str, Any] = {"name": [{}], "waitForReady": wait_for_ready}
    if retries:
        method["retryPolicy"] = _RETRY_POLICY
    config: dict[str, Any] = {"loadBalancingConfig": [{"round_robin": {}}], "methodConfig": [method]}
    if health_checked:
        config["healthCheckConfig"] = {"serviceName": ""}
    return json.dumps(config)


def grpc_target(endpoints: Endpoints) -> str:
    """gRPC's name for the endpoints.

    gRPC takes several addresses only as numbers and of one family. So host names in a *list* are looked up
    here, once, and IPv4 addresses are written as IPv6 when both occur. Use `dns:///` for a name whose
    addresses change.
    """
    if endpoints.dns:
        return endpoints.dns
    if len(endpoints.addresses) == 1:
        return f"dns:///{endpoints.addresses[0]}"
    numeric = [_resolve(address) for address in endpoints.addresses]
    if all(":" not in address.host for address in numeric):
        return "ipv4:" + ",".join(map(str, numeric))
    return "ipv6:" + ",".join(str(HostPort(_as_ipv6(a.host), a.port)) for a in numeric)


def _resolve(address: HostPort) -> HostPort:
    """The first IPv4 address of the host, else its first IPv6 one. Raises ValueError if there is none."""
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise ValueError(f"{address.host} cannot be looked up") from error
    found.sort(key=lambda entry: entry[0] != socket.AF_INET)
    return HostPort(str(found[0][4][0]), address.port)


def _as_ipv6(host: str) -> str:
    return host if ":" in host else f"::ffff:{host}"


def _as_text(target: str | Sequence[str]) -> str:
    return target if isinstance(target, str) else ",".join(target)
