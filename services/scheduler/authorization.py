"""Who may call which method of the scheduler. The one table; a test holds it against the proto's descriptors.

The gateway acts for people and has checked their role; a worker attaches as itself only.
"""

from collections.abc import Iterable

from services.runtime.peers import Rule
from tgfleet.scheduler.v1 import scheduler_pb2 as pb

SCHEDULER = "tgfleet.scheduler.v1.SchedulerService"
TRANSFERS = "tgfleet.scheduler.v1.TransferService"
DISPATCHER = "tgfleet.scheduler.v1.DispatcherService"
_GATEWAY = Rule(frozenset({"gateway"}))


def _itself(first: pb.AttachWorkerRequest) -> Iterable[str]:
    return (first.hello.worker_id,) if first.WhichOneof("message") == "hello" else ()


BY_NAME: dict[str, Rule] = {
    f"{SCHEDULER}/RunFleetCall": _GATEWAY,
    f"{SCHEDULER}/GetFleetStatus": _GATEWAY,
    f"{SCHEDULER}/ListWorkers": _GATEWAY,
    f"{SCHEDULER}/DrainWorker": _GATEWAY,
    f"{SCHEDULER}/WatchEvents": _GATEWAY,
    f"{TRANSFERS}/CreateTransfer": _GATEWAY,
    f"{TRANSFERS}/GetTransfer": _GATEWAY,
    f"{TRANSFERS}/ListTransfers": _GATEWAY,
    f"{TRANSFERS}/WatchTransfer": _GATEWAY,
    f"{TRANSFERS}/PauseTransfer": _GATEWAY,
    f"{TRANSFERS}/ResumeTransfer": _GATEWAY,
    f"{TRANSFERS}/CancelTransfer": _GATEWAY,
    f"{TRANSFERS}/ExplainTransfer": _GATEWAY,
    f"{TRANSFERS}/SettleBatch": _GATEWAY,
    f"{DISPATCHER}/AttachWorker": Rule(frozenset({"worker"}), _itself),
}
RULES = {f"/{name}": rule for name, rule in BY_NAME.items()}
