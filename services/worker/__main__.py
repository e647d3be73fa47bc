"""The worker process: the only place that wires. `python -m services.worker`.

Order of a stop: health NOT_SERVING, no new sessions, clients closed, last facts and reports, leases released,
channels closed.
"""

import random
import sys
import uuid
from dataclasses import dataclass

from services.runtime.channels import open_channel
from services.runtime.clock import Clock, FenceClock, SystemClock
from services.runtime.errors import SettingsError
from services.runtime.logs import get_logger
from services.runtime.process import Lifecycle, run
from services.runtime.server import ServiceServer
from services.runtime.tasks import TaskOwner
from services.runtime.tls import Certificates
from services.worker.acquirer import Acquirer
from services.worker.adapters.dispatcher import GrpcDispatcher, scheduler_channel
from services.worker.adapters.registry import GrpcRegistry
from services.worker.adapters.session_files import SessionFolder
from services.worker.adapters.telegram import KurigramClients, TelegramConfig
from services.worker.adapters.telegram_route import Route
from services.worker.catalog import Catalog
from services.worker.chat.responder import load_responder
from services.worker.connecting import Connector
from services.worker.factsender import FactSender
from services.worker.fleet import Fleet
from services.worker.leases import LeaseKeeper
from services.worker.outbox import Outbox
from services.worker.ports import Dispatcher, Registry, SessionFiles, TelegramClients
from services.worker.releaser import Releaser
from services.worker.settings import Settings
from services.worker.stream import StreamKeeper
from services.worker.tools import Limits, Tools

_log = get_logger("worker")

FILES_PERIOD = 3.0
"""Seconds between scans of the session folder."""
_KEEPALIVE_LIMIT = 10.0
_STOP_LIMIT = 20.0
_FLUSH_LIMIT = 2.0
_RELEASE_LIMIT = 2.0


@dataclass(frozen=True, slots=True)
class Outside:
    """The ports of one worker, real or fake."""

    clients: TelegramClients
    registry: Registry
    dispatcher: Dispatcher
    files: SessionFiles
    clock: Clock


def compose(settings: Settings, life: Lifecycle, outside: Outside) -> StreamKeeper:
    """Wires the worker and starts its loops; its end is registered with `life.on_stop`."""
    rng = random.SystemRandom()
    loops = TaskOwner(life.fail)
    keeper = LeaseKeeper(outside.registry, FenceClock(outside.clock))
    releaser = Releaser(outside.registry, keeper, outside.clock, rng)
    connect_timeout = settings.connect_timeout.total_seconds()
    acquirer = Acquirer(outside.registry, keeper, releaser, outside.clock, patience=connect_timeout, rng=rng)
    catalog = Catalog(outside.files, FILES_PERIOD)
    facts = FactSender(outside.registry, outside.clock, rng)
    outbox = Outbox(outside.clock.monotonic)
    tools = Tools(
        clients=outside.clients,
        acquirer=acquirer,
        releaser=releaser,
        keeper=keeper,
        catalog=catalog,
        connector=Connector(settings.start_concurrency, connect_timeout, settings.reconnect_rate, rng),
        facts=facts,
        outbox=outbox,
        responder=load_responder(settings.chat_rules_file),
        clock=outside.clock,
        limits=_limits(settings),
        on_failure=life.fail,
    )
    fleet = Fleet(tools, settings.worker_capacity, loops)
    stream = StreamKeeper(outside.dispatcher, fleet, outbox, catalog, transfers=tools.transfers, rng=rng)
    for loop in (keeper, releaser, acquirer, catalog, facts, stream):
        loops.spawn(loop.run(), name=type(loop).__name__)
    life.on_stop(fleet.close, name="stop clients", limit=_STOP_LIMIT)
    life.on_stop(lambda: facts.flush(_FLUSH_LIMIT), name="flush facts")
    life.on_stop(lambda: outbox.drained(_FLUSH_LIMIT), name="flush reports")
    life.on_stop(lambda: tools.transfers.all_told(_FLUSH_LIMIT), name="flush answers")
    life.on_stop(lambda: releaser.drain(_RELEASE_LIMIT), name="release leases")
    life.on_stop(loops.close, name="end loops")
    return stream


def _limits(settings: Settings) -> Limits:
    return Limits(
        ping_interval=settings.ping_interval.total_seconds(),
        probe_interval=settings.probe_interval.total_seconds(),
        stable_after=settings.crash_window.total_seconds(),
        answers_per_chat=settings.chat_answers_per_chat,
        answers_per_account=settings.chat_answers_per_account,
    )


def _outside(settings: Settings, registry: Registry, dispatcher: Dispatcher) -> Outside:
    clock = SystemClock()
    return Outside(
        clients=KurigramClients(_telegram(settings), clock),
        registry=registry,
        dispatcher=dispatcher,
        files=SessionFolder(settings.worker_sessions_dir),
        clock=clock,
    )


def _telegram(settings: Settings) -> TelegramConfig:
    if settings.telegram_dc is None and not settings.telegram_live:
        _log.warning(
            "nothing is dialled: no data centre is set (TGFLEET_TELEGRAM_DC), TGFLEET_TELEGRAM_LIVE is not 1"
        )
    return TelegramConfig(
        api_id=settings.telegram_api_id,
        api_hash=settings.telegram_api_hash.reveal(),
        route=Route(settings.telegram_dc, settings.telegram_live),
        rsa_key=settings.telegram_rsa_key,
        keepalive=min(settings.ping_interval.total_seconds(), _KEEPALIVE_LIMIT),
    )


def _check_identity(worker_id: str, tls: Certificates | None) -> None:
    """Raises SettingsError for another worker's certificate: everything would be refused."""
    if tls is not None and tls.identity.id != worker_id:
        raise SettingsError(
            f"The file in TGFLEET_TLS_CERT_FILE is the certificate of {tls.identity}, "
            f"but this worker is {worker_id}; set TGFLEET_WORKER_ID or give it its own certificate",
            reason="BAD_CERTIFICATE",
        )


async def main(settings: Settings, life: Lifecycle) -> None:
    """Runs until the process is asked to stop."""
    # No retries inside of gRPC: a renewal's deadline counts from when it was sent, and our own loops repeat.
    _check_identity(settings.name, life.tls)
    worker_id, incarnation, capacity = settings.name, str(uuid.uuid4()), settings.worker_capacity
    _log.info("worker", worker_id=worker_id, incarnation=incarnation, capacity=capacity)
    channel = open_channel(settings.registry, retries=False, tls=life.tls, server="registry")
    registry = GrpcRegistry(channel, worker_id, incarnation)
    dispatcher = GrpcDispatcher(
        lambda: scheduler_channel(settings.scheduler, life.tls), worker_id, incarnation, capacity
    )
    server = ServiceServer("worker", settings.listen, life, rules={})  # health only
    compose(settings, life, _outside(settings, registry, dispatcher))
    life.on_stop(channel.close, name="close the registry's channel")
    life.on_stop(dispatcher.close, name="close the scheduler's channel")
    await server.serve(ready={"worker_id": settings.name})


if __name__ == "__main__":
    sys.exit(run("worker", Settings, main))
