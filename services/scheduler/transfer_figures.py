"""What the metrics are told of transfers."""

from collections import Counter
from collections.abc import Iterable

from services.scheduler.domain.transfers.records import ENDED, BatchState, Changes, TransferState
from services.scheduler.domain.transfers.state import Transfer
from services.scheduler.metrics import BATCHES, MESSAGES, TRANSFERS, UNDECIDED, WAITS


def forget_transfers() -> None:
    """The metrics of a process that leads no more."""
    UNDECIDED.set(0)
    for state in TransferState:
        if state not in ENDED:
            TRANSFERS.labels(state.name).set(0)


def count_transfers(going: Iterable[Transfer]) -> None:
    """All that have not ended."""
    transfers = list(going)
    states = Counter(one.record.state for one in transfers)
    for state in TransferState:
        if state not in ENDED:
            TRANSFERS.labels(state.name).set(states[state])
    batches = (shard.batch for one in transfers for shard in one.shards.values())
    UNDECIDED.set(sum(one is not None and one.state is BatchState.UNDECIDED for one in batches))


def count_commit(changes: Changes) -> None:
    """What a commit says of batches and waits."""
    for batch in changes.batches:
        if batch.state in {BatchState.SETTLED, BatchState.UNKNOWN, BatchState.UNDECIDED}:
            BATCHES.labels(batch.state.name).inc()
    MESSAGES.inc(sum(max(0, one.sent) for one in changes.usage))
    for wait in changes.waits:
        if wait.seconds:
            WAITS.labels(wait.method).inc()
