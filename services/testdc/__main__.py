"""Runs the test data centre as a process: MTProto for clients, gRPC for whoever controls it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from services.runtime.addresses import HostPort
from services.runtime.clock import SystemClock
from services.runtime.errors import SettingsError
from services.runtime.lifeline import announce_ready
from services.runtime.process import Lifecycle, run
from services.runtime.server import ServiceServer
from services.testdc.adapters.journalfile import JournalFile
from services.testdc.adapters.statefile import StateFile, load
from services.testdc.api.registry import Endpoint
from services.testdc.centre import DataCentre
from services.testdc.domain.journal import Journal
from services.testdc.handlers import Control
from services.testdc.mtproto.rsakey import load_key, make_key
from services.testdc.scribe import Scribe
from services.testdc.servicer import ControlServicer
from services.testdc.settings import Settings
from services.testdc.state import State
from tgfleet.testdc.v1.control_pb2_grpc import add_ControlServiceServicer_to_server


async def main(settings: Settings, life: Lifecycle) -> None:
    """Start everything, say where it is, and serve until told to stop."""
    for address in (settings.listen, settings.control_listen):
        if not address.is_loopback:
            raise SettingsError(f"the test data centre listens on loopback only, not on {address}")
    sink = JournalFile(settings.journal_file) if settings.journal_file else None
    scribe = Scribe(Journal(settings.journal_limit), SystemClock(), sink)
    centre = _restore(settings, scribe)
    where = await centre.start()
    life.on_stop(centre.close, name="data centre")
    if settings.state_file:
        kept = StateFile(settings.state_file, centre.snapshot, lambda: centre.state.changes)
        life.tasks.spawn(kept.keep_saving(), name="state file")
        life.on_stop(kept.close, name="state file")
    server = ServiceServer("testdc", settings.control_listen, life)
    add = add_ControlServiceServicer_to_server
    server.add(add, ControlServicer(Control(centre), scribe))
    await server.start()
    facts = {
        "service": "testdc",
        "listen": str(server.address),
        "testdc": str(HostPort(where.host, where.port)),
        "media": str(HostPort(where.host, where.media_port)),
        "control": str(server.address),
        "rsa_key": str(settings.rsa_key or ""),
    }
    if settings.rsa_key:
        _publish(settings.rsa_key, centre.rsa_key.public_pem)
    if settings.ready_file:
        _publish(settings.ready_file, json.dumps(facts).encode())
    announce_ready(facts)
    await life.stop_requested.wait()
    scribe.end_watches()
    await server.stop()


def _restore(settings: Settings, scribe: Scribe) -> DataCentre:
    """The data centre as it was before a restart, or a new one."""
    wanted = Endpoint(settings.dc_id, settings.listen.host, settings.listen.port, settings.media_port)
    kept = load(settings.state_file) if settings.state_file else None
    if kept is None:
        return DataCentre(State(SystemClock(), wanted), make_key(), scribe)
    state = State(
        SystemClock(),
        wanted,
        secret=kept.secret,
        world=kept.world,
        keys=kept.keys,
        faults=kept.faults,
        floods=kept.floods,
        waits=kept.waits,
        costs=kept.costs,
    )
    return DataCentre(state, load_key(kept.rsa_private_pem), scribe)


def _publish(path: Path, content: bytes) -> None:
    """Write a file so that readers see all of it or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_bytes(content)
    part.replace(path)


if __name__ == "__main__":
    sys.exit(run("testdc", Settings, main))
