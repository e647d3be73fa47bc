"""The scheduler's composition root: settings -> adapters -> driver -> server."""

import asyncio
import os
import random
import sys
import uuid

from services.runtime.channels import open_channel
from services.runtime.clock import SystemClock
from services.runtime.lifecycle import Lifecycle
from services.runtime.logs import get_logger
from services.runtime.process import run
from services.runtime.server import ServiceServer
from services.runtime.tasks import cancel_and_wait
from services.runtime.tls import client_certificates
from services.scheduler.adapters.assigning import Assigner
from services.scheduler.adapters.database import StillInUseError, check_url, open_database
from services.scheduler.adapters.election import EtcdElection
from services.scheduler.adapters.etcd import EtcdClient
from services.scheduler.adapters.registry import RegistryClient
from services.scheduler.adapters.store import SqlStore
from services.scheduler.adapters.transfer_store import SqlTransferStore
from services.scheduler.authorization import RULES
from services.scheduler.dispatcher import DispatcherServicer
from services.scheduler.domain.model import Rules
from services.scheduler.domain.transfers.rules import TransferRules
from services.scheduler.errors import LeadershipLostError
from services.scheduler.leader import Reign, Seat
from services.scheduler.ports import Election, Leadership, Stores
from services.scheduler.servicer import SchedulerServicer
from services.scheduler.settings import Settings
from services.scheduler.transfer_servicer import TransferServicer
from tgfleet.scheduler.v1.scheduler_pb2_grpc import (
    add_DispatcherServiceServicer_to_server,
    add_SchedulerServiceServicer_to_server,
)
from tgfleet.scheduler.v1.transfer_pb2_grpc import add_TransferServiceServicer_to_server

_log = get_logger("scheduler")

_DATABASE_POLL = 0.2
_PAUSE_AFTER_TERM = 0.2
_TERM_END_LIMIT = 8.0
_ETCD_TIMEOUT_SHARE = 0.2  # of the leader's time to live


async def main(settings: Settings, life: Lifecycle) -> None:
    """Runs one scheduler until the process is told to stop."""
    check_url(settings.scheduler_database_url)
    clock = SystemClock()
    seat = Seat()
    server = ServiceServer(
        "scheduler",
        settings.scheduler_listen,
        life,
        reflection_enabled=settings.reflection,
        rules=RULES,
    )
    server.add(add_SchedulerServiceServicer_to_server, SchedulerServicer(seat))
    server.add(add_TransferServiceServicer_to_server, TransferServicer(seat))
    assign = Assigner(life.tls, clock).assignment if life.tls is not None else None
    server.add(add_DispatcherServiceServicer_to_server, DispatcherServicer(seat, assign))
    await server.set_serving(serving=False)

    channel = open_channel(settings.registry_endpoints, tls=life.tls, server="registry")
    holder = f"{os.uname().nodename}/{os.getpid()}/{uuid.uuid4().hex[:8]}"
    ttl = settings.leader_ttl.total_seconds()
    files = (settings.etcd_tls_cert_file, settings.etcd_tls_key_file, settings.etcd_tls_ca_file)
    shown = client_certificates("TGFLEET_ETCD_TLS", *files)
    etcd = EtcdClient(settings.etcd_endpoints, ttl * _ETCD_TIMEOUT_SHARE, shown)
    election = EtcdElection(etcd, holder, int(ttl), clock)

    reign = Reign(
        seat=seat,
        registry=RegistryClient(channel),
        open_stores=lambda leadership: _open_stores(settings.scheduler_database_url, leadership),
        rules=_rules(settings),
        transfer_rules=_transfer_rules(settings),
        clock=clock,
        rng=random.Random(),  # noqa: S311 - jitter, no secret
        holder=holder,
        on_serving=server.set_serving,
    )
    reigning = life.tasks.spawn(_reign_until(life.stopping, election, reign), name="reign")
    life.on_stop(lambda: asyncio.wait({reigning}), name="end the term")
    life.on_stop(election.close)
    life.on_stop(channel.close)
    await server.serve()


async def _reign_until(stopping: asyncio.Event, election: Election, reign: Reign) -> None:
    """Leads whenever elected. Lets go at the very beginning of a stop: a leader whose workers are being cut
    off must not take that for their death."""
    work = asyncio.create_task(_reign_again_and_again(election, reign), name="elections and terms")
    stop = asyncio.create_task(stopping.wait(), name="stopping")
    try:
        await asyncio.wait({work, stop}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await cancel_and_wait(work, stop, limit=_TERM_END_LIMIT)
    if not work.cancelled():
        work.result()


async def _reign_again_and_again(election: Election, reign: Reign) -> None:
    while True:
        await reign.run(await election.campaign())
        await asyncio.sleep(_PAUSE_AFTER_TERM)


async def _open_stores(url: str, leadership: Leadership) -> Stores:
    """The database, as soon as the leader before has let go of it."""
    told = False
    while True:
        if not leadership.valid():
            raise LeadershipLostError
        try:
            database = await open_database(url)
            return Stores(SqlStore(database), SqlTransferStore(database))
        except StillInUseError:
            if not told:
                told = True
                _log.warning("waiting for the leader before to let go of the database")
            await asyncio.sleep(_DATABASE_POLL)


def _rules(settings: Settings) -> Rules:
    return Rules(
        start_rate=settings.start_rate,
        start_burst=settings.start_burst,
        crash_window=settings.crash_window.total_seconds(),
    )


def _transfer_rules(settings: Settings) -> TransferRules:
    return TransferRules(
        repeat_window=settings.transfer_repeat_window.total_seconds(),
        takeover_delay=settings.transfer_takeover_delay.total_seconds(),
        relook_delay=settings.transfer_relook_delay.total_seconds(),
        max_per_hour=settings.transfer_max_per_hour,
        follow_interval=settings.transfer_follow_interval.total_seconds(),
        idle_release=settings.transfer_idle_release.total_seconds(),
        prediction=settings.transfer_prediction,
    )


if __name__ == "__main__":
    sys.exit(run("scheduler", Settings, main))
