"""Who may call which method of the registry. The one table; a test holds it against the proto's descriptors.

The gateway acts for people and has checked their role. The scheduler says what is wanted. A worker speaks for
itself only: its leases open sessions, nobody else's do. Knows nothing of accounts or leases.
"""

from collections.abc import Iterable

from services.runtime.peers import Rule
from tgfleet.registry.v1 import registry_pb2 as pb

SERVICE = "tgfleet.registry.v1.RegistryService"
_GATEWAY = Rule(frozenset({"gateway"}))
_SCHEDULER = Rule(frozenset({"scheduler"}))


def _itself(
    request: pb.AcquireSessionsRequest | pb.RenewLeasesRequest | pb.ReleaseSessionsRequest,
) -> Iterable[str]:
    return (request.worker_id,)


def _reporters(request: pb.ReportFactsRequest) -> Iterable[str]:
    return {fact.worker_id for fact in request.facts}


_WORKER = Rule(frozenset({"worker"}), _itself)

BY_NAME: dict[str, Rule] = {
    "ListAccounts": _GATEWAY,
    "GetAccount": _GATEWAY,
    "ImportAccounts": _GATEWAY,
    "UpdateAccount": _GATEWAY,
    "DeleteAccount": _GATEWAY,
    "SetAccountEnabled": _GATEWAY,
    "ResetFloodWaits": _GATEWAY,
    "ResumeStarts": _GATEWAY,
    "VerifyToken": _GATEWAY,
    "CreateToken": _GATEWAY,
    "ListTokens": _GATEWAY,
    "UpdateToken": _GATEWAY,
    "RevokeToken": _GATEWAY,
    "ListKeys": _GATEWAY,
    "RotateKeys": _GATEWAY,
    "RecordAudit": _GATEWAY,
    "ListAuditEntries": _GATEWAY,
    "ResolveAccounts": _SCHEDULER,
    "SetWanted": _SCHEDULER,
    "WatchAccounts": _SCHEDULER,
    "AcquireSessions": _WORKER,
    "RenewLeases": _WORKER,
    "ReleaseSessions": _WORKER,
    # Facts are facts, whoever holds the lease; the scheduler reports the accounts of a worker that crashed.
    "ReportFacts": Rule(frozenset({"worker", "scheduler"}), _reporters),
}
RULES = {f"/{SERVICE}/{name}": rule for name, rule in BY_NAME.items()}
