"""What goes down the workers' streams for transfers: as few messages as can be, since each costs more than
what it says. A send goes at once and takes along all that waits for the same stream; readings ahead wait for
the commit that is on its way, after which a send follows; acknowledgements wait for anything else.
"""

from dataclasses import dataclass, field

from services.scheduler import wire_transfer_orders as wire
from services.scheduler.domain.transfers.commands import Acknowledge, CancelOrders, GiveOrders
from services.scheduler.domain.transfers.orders import ReadSource
from services.scheduler.metrics import ORDERS
from services.scheduler.streams import Streams

ToWorker = GiveOrders | Acknowledge | CancelOrders

_READING_WAITS = 0.02
"""Seconds that a reading ahead waits for a commit at most."""
_ACKNOWLEDGEMENT_WAITS = 0.5
"""Seconds that an acknowledgement waits at most: until then a worker only keeps what it would soon forget."""


@dataclass(slots=True)
class _Waiting:
    due: float
    commands: list[ToWorker] = field(default_factory=list)


class TransferOutbox:
    """Collects commands until `flush` finds it worth a message."""

    def __init__(self, streams: Streams, term: int) -> None:
        self._streams = streams
        self._term = term
        self._waiting: dict[int, _Waiting] = {}

    def add(self, command: ToWorker, now: float, *, committing: bool) -> None:
        """`committing`: a commit is on its way to the disk."""
        waiting = self._waiting.setdefault(command.attachment, _Waiting(float("inf")))
        waiting.commands.append(command)
        waiting.due = min(waiting.due, now + _patience(command, committing=committing))
        if isinstance(command, GiveOrders):
            for order in command.orders:
                ORDERS.labels(type(order.work).__name__).inc()

    @property
    def next_due(self) -> float | None:
        """When it must be flushed at the latest."""
        return min((waiting.due for waiting in self._waiting.values()), default=None)

    def flush(self, now: float) -> None:
        """One message for each stream for which something is due. What is meant for a stream that has ended
        is dropped."""
        due = [attachment for attachment, waiting in self._waiting.items() if waiting.due <= now]
        for attachment in due:
            commands = self._waiting.pop(attachment).commands
            stream = self._streams.get(attachment)
            if stream is not None:
                stream.send(wire.message(self._term, commands))


def _patience(command: ToWorker, *, committing: bool) -> float:
    if isinstance(command, Acknowledge):
        return _ACKNOWLEDGEMENT_WAITS
    reading = isinstance(command, GiveOrders) and all(isinstance(o.work, ReadSource) for o in command.orders)
    return _READING_WAITS if reading and committing else 0.0
