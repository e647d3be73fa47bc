"""Composition root of the gateway: settings -> channels -> adapters -> use cases -> server."""

import sys

import grpc

from services.gateway.adapters.reachability import watch_reachability
from services.gateway.adapters.registry import GrpcRegistry
from services.gateway.adapters.scheduler import GrpcScheduler
from services.gateway.adapters.transfers import GrpcTransfers
from services.gateway.audit_interceptor import AuditInterceptor
from services.gateway.domain.forms import MAX_REQUEST_BYTES
from services.gateway.handlers.audit import AuditTrail
from services.gateway.handlers.authentication import Authenticator
from services.gateway.interceptor import AuthenticationInterceptor
from services.gateway.servicer import (
    AccountServicer,
    AuditServicer,
    FleetServicer,
    KeyServicer,
    TokenServicer,
)
from services.gateway.settings import Settings
from services.gateway.transfer_servicer import TransferServicer
from services.runtime.channels import open_channel
from services.runtime.clock import SystemClock
from services.runtime.logs import get_logger
from services.runtime.process import Lifecycle, run
from services.runtime.server import ServiceServer
from services.runtime.tls import CertificateFiles, Certificates, server_credentials
from tgfleet.gateway.v1.account_pb2_grpc import add_AccountServiceServicer_to_server
from tgfleet.gateway.v1.audit_pb2_grpc import add_AuditServiceServicer_to_server
from tgfleet.gateway.v1.fleet_pb2_grpc import add_FleetServiceServicer_to_server
from tgfleet.gateway.v1.key_pb2_grpc import add_KeyServiceServicer_to_server
from tgfleet.gateway.v1.token_pb2_grpc import add_TokenServiceServicer_to_server
from tgfleet.gateway.v1.transfer_pb2_grpc import add_TransferServiceServicer_to_server

_log = get_logger("gateway")

_SLACK_BYTES = 1024 * 1024
"""The transport takes a little more than we do, so that an oversized import is told its field and not just
cut off."""


async def main(settings: Settings, life: Lifecycle) -> None:
    """Serves until the process is told to stop."""
    server = await build(settings, life)
    await server.serve()


async def build(settings: Settings, life: Lifecycle) -> ServiceServer:
    """The gateway's server, wired and not started; `life` closes what belongs to it."""
    credentials = _public_credentials(settings)
    registry_channel = open_channel(settings.registry, health_checked=True, tls=life.tls, server="registry")
    scheduler_channel = open_channel(
        settings.scheduler, health_checked=True, tls=life.tls, server="scheduler"
    )
    registry, scheduler = GrpcRegistry(registry_channel), GrpcScheduler(scheduler_channel)
    authenticator = Authenticator(registry, SystemClock())
    trail = AuditTrail(registry, SystemClock())
    server = ServiceServer(
        "gateway",
        settings.listen,
        life,
        reflection_enabled=settings.reflection,
        interceptors=(AuditInterceptor(trail, SystemClock()), AuthenticationInterceptor(authenticator)),
        credentials=credentials,
        options=(("grpc.max_receive_message_length", MAX_REQUEST_BYTES + _SLACK_BYTES),),
    )
    server.add(
        add_FleetServiceServicer_to_server,
        FleetServicer(scheduler, registry, authenticator, life.stopping, settings.fleet_call_timeout),
    )
    server.add(add_AccountServiceServicer_to_server, AccountServicer(registry))
    transfers = TransferServicer(GrpcTransfers(scheduler_channel), authenticator, life.stopping)
    server.add(add_TransferServiceServicer_to_server, transfers)
    server.add(add_TokenServiceServicer_to_server, TokenServicer(registry))
    server.add(add_KeyServiceServicer_to_server, KeyServicer(registry))
    server.add(add_AuditServiceServicer_to_server, AuditServicer(registry))

    async def report(reachable: bool) -> None:  # noqa: FBT001 - the watcher's only fact
        await server.set_serving(serving=reachable)

    await server.set_serving(serving=False)  # until a registry is reached
    life.tasks.spawn(watch_reachability(registry_channel, report), name="registry reachability")
    life.tasks.spawn(trail.run(), name="audit trail")
    life.on_stop(life.tasks.close, name="background tasks")
    life.on_stop(trail.close, name="audit trail")
    life.on_stop(scheduler_channel.close, name="scheduler channel")
    life.on_stop(registry_channel.close, name="registry channel")
    return server


def _public_credentials(settings: Settings) -> grpc.ServerCredentials | None:
    """TLS for callers, if it is set; they show tokens, no certificates. Raises SettingsError for bad
    files."""
    files = CertificateFiles.of(
        "TGFLEET_GATEWAY_TLS", settings.tls_cert_file, settings.tls_key_file, mutual=False
    )
    if files is not None:
        return server_credentials(Certificates(files))
    if not settings.listen.is_loopback:
        _log.warning(
            "tokens travel in clear to this port; set TGFLEET_GATEWAY_TLS_CERT_FILE",
            listen=str(settings.listen),
        )
    return None


if __name__ == "__main__":
    sys.exit(run("gateway", Settings, main))
