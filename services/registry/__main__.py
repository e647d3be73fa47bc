"""The registry's composition root: settings -> adapters -> handlers -> server. The only place that wires."""

import asyncio
import sys
from datetime import timedelta

from services.registry.adapters.assignments import SignedAssignments
from services.registry.adapters.database import open_database
from services.registry.adapters.etcd_client import EtcdClient
from services.registry.adapters.etcd_leases import EtcdLeaseStore
from services.registry.adapters.key_file import watch_key_file
from services.registry.adapters.migrate import upgrade
from services.registry.adapters.sql_store import SqlStore
from services.registry.adapters.vault import AesGcmVault, load_master_keys
from services.registry.authorization import RULES
from services.registry.domain.leasing import LeaseTerms
from services.registry.handlers.accounts import Accounts
from services.registry.handlers.audit import Audit
from services.registry.handlers.candidates import Candidates
from services.registry.handlers.changes import AccountWatch, ChangeSignal
from services.registry.handlers.generations import Generations
from services.registry.handlers.imports import Imports
from services.registry.handlers.keys import Keys
from services.registry.handlers.observations import Observations
from services.registry.handlers.sessions import Sessions
from services.registry.handlers.tokens import Tokens, read_bootstrap_secret
from services.registry.ports import LeaseStore, Store, Vault
from services.registry.servicer import Handlers, RegistryServicer
from services.registry.settings import Settings
from services.runtime.clock import SystemClock
from services.runtime.errors import Unavailable
from services.runtime.logs import get_logger
from services.runtime.process import Lifecycle, run
from services.runtime.server import ServiceServer
from services.runtime.tls import Certificates, client_certificates
from tgfleet.registry.v1.registry_pb2_grpc import add_RegistryServiceServicer_to_server

_log = get_logger("registry")

_MIN_ETCD_TIMEOUT, _MAX_ETCD_TIMEOUT = timedelta(seconds=1), timedelta(seconds=3)
_PRUNE_SECONDS = 3600.0
_USES_SECONDS = 5.0


def build_handlers(
    settings: Settings, store: Store, leases: LeaseStore, vault: Vault, generations: Generations
) -> Handlers:
    """All use cases over the given adapters."""
    clock, signal = SystemClock(), ChangeSignal()
    candidates = Candidates(store, vault, signal)
    return Handlers(
        Accounts(store, leases, vault, clock, signal),
        Imports(store, vault, clock, signal),
        AccountWatch(store, clock, signal),
        Sessions(store, leases, candidates, generations, clock=clock, settle=settings.lease_settle),
        Observations(store, clock, signal),
        Tokens(store, clock),
        Keys(store, vault),
        Audit(store, clock, settings.audit_keep),
    )


def etcd_certificates(settings: Settings) -> Certificates | None:
    """What etcd is shown; None where it is spoken to in clear. Raises SettingsError."""
    files = (settings.etcd_tls_cert_file, settings.etcd_tls_key_file, settings.etcd_tls_ca_file)
    return client_certificates("TGFLEET_ETCD_TLS", *files)


async def main(settings: Settings, life: Lifecycle) -> None:
    """Serves until the process is told to stop. Raises SettingsError before it serves."""
    vault = AesGcmVault(load_master_keys(settings.master_key_file))
    bootstrap = read_bootstrap_secret(settings.bootstrap_token_file) if settings.bootstrap_token_file else ""
    database = open_database(settings.database_url)
    patience = min(_MAX_ETCD_TIMEOUT, max(_MIN_ETCD_TIMEOUT, settings.lease_ttl / 3))
    etcd = EtcdClient(settings.etcd, patience, etcd_certificates(settings))
    life.on_stop(life.tasks.close, name="background tasks")
    leases = EtcdLeaseStore(etcd, settings.lease_ttl)
    life.on_stop(leases.close, name="acquisitions")
    life.on_stop(etcd.close, name="etcd channels")
    life.on_stop(database.close, name="database")
    await upgrade(database)
    store = SqlStore(database)
    generations = Generations(
        store, leases, SystemClock(), lease_ttl=settings.lease_ttl, settle=settings.lease_settle
    )
    handlers = build_handlers(settings, store, leases, vault, generations)
    if bootstrap:
        await handlers.tokens.keep_bootstrap(bootstrap)
    life.tasks.spawn(generations.watch(), name="watch the lease store")
    life.tasks.spawn(_prune(store, handlers.audit), name="prune the database")
    life.tasks.spawn(_save_token_uses(handlers.tokens), name="write down when tokens were used")
    life.tasks.spawn(watch_key_file(settings.master_key_file, vault), name="watch the master key file")
    terms = LeaseTerms(0, settings.lease_ttl, settings.lease_settle)
    assignments = SignedAssignments(life.tls, SystemClock()) if life.tls is not None else None
    server = ServiceServer("registry", settings.listen, life, rules=RULES)
    servicer = RegistryServicer(handlers, terms, life.stopping, assignments)
    server.add(add_RegistryServiceServicer_to_server, servicer)
    await server.serve()


async def _save_token_uses(tokens: Tokens) -> None:
    """Every few seconds; each token is written at most once a minute. What could not be written is written
    the next time."""
    while True:
        await asyncio.sleep(_USES_SECONDS)
        try:
            await tokens.save_uses()
        except Unavailable as error:
            _log.warning("the last use of tokens was not written", reason=error.reason)


async def _prune(store: Store, audit: Audit) -> None:
    """Forgets what is old, every hour. A database that fails is everybody's problem, not a reason to end
    here."""
    while True:
        try:
            async with store.write() as tx:
                await tx.prune(SystemClock().wall())
            await audit.prune()
        except Unavailable as error:
            _log.warning("old rows were not removed", reason=error.reason)
        await asyncio.sleep(_PRUNE_SECONDS)


if __name__ == "__main__":
    sys.exit(run("registry", Settings, main))
