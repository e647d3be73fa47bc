"""What every supervisor shares: the process's ports, loops and limits, wired once in `__main__.py`."""

from collections.abc import Callable
from dataclasses import dataclass, field

from services.runtime.clock import Clock
from services.worker.acquirer import Acquirer
from services.worker.catalog import Catalog
from services.worker.chat.desk import FleetIds
from services.worker.chat.responder import Responder
from services.worker.connecting import Connector
from services.worker.domain.counts import Counter
from services.worker.factsender import FactSender
from services.worker.leases import LeaseKeeper
from services.worker.outbox import Outbox
from services.worker.ports import TelegramClients
from services.worker.releaser import Releaser
from services.worker.transfers.desk import TransferDesk


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds and counts from the settings."""

    ping_interval: float
    probe_interval: float
    stable_after: float
    """How long a session must run to be forgiven earlier crashes."""
    answers_per_chat: int
    answers_per_account: int
    """Answers a minute."""
    recover_limit: float = 15.0
    """Seconds for the updates that were missed while there was no link."""


@dataclass(frozen=True, slots=True)
class Tools:
    """Shared by all sessions of the process."""

    clients: TelegramClients
    acquirer: Acquirer
    releaser: Releaser
    keeper: LeaseKeeper
    catalog: Catalog
    connector: Connector
    facts: FactSender
    outbox: Outbox
    responder: Responder
    clock: Clock
    limits: Limits
    on_failure: Callable[[BaseException], None]
    """Stops the process: a task that must not fail did."""
    transfers: TransferDesk = field(default_factory=TransferDesk)
    fleet_ids: FleetIds = field(default_factory=FleetIds)
    counters: dict[str, Counter] = field(default_factory=dict)
    """Message counts by account, for the life of the process."""
