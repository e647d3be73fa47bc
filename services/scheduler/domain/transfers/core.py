"""The door to the pure core of transfers: one event in, commands out. Which function handles which event is
in a table. Nothing here waits, reads a clock or talks to anybody.
"""

import random

from services.scheduler.domain.transfers.commands import Command
from services.scheduler.domain.transfers.events import Event
from services.scheduler.domain.transfers.records import (
    BatchRecord,
    ShardRecord,
    TransferPicture,
    TransferRecord,
)
from services.scheduler.domain.transfers.rules import TransferRules


class Shard:
    """One part of a transfer, as people see it: `record`, the `batch` that is not settled (None for none) and
    `detail`, why it does not go on."""

    record: ShardRecord
    batch: BatchRecord | None
    detail: str


class Transfer:
    """One transfer, as people see it. `durable`: nothing of it is still on its way to the disk."""

    record: TransferRecord
    shards: dict[int, Shard]
    durable: bool

    def rate(self, now: float) -> float:
        """Messages a minute over the last minutes."""
        raise NotImplementedError


class TransferCore:
    """One leader's mind about transfers, for one term. An ended transfer leaves `transfers` once its end is
    on disk."""

    def __init__(
        self,
        rules: TransferRules,
        term: int,
        rng: random.Random,
        picture: TransferPicture,
        *,
        now: float,
        wall: float,
    ) -> None:
        """`now` by the clock that all events will be told with, `wall` the time of day (seconds since 1970)."""
        self.transfers: dict[str, Transfer] = {}

    def apply(self, event: Event, now: float, wall: float) -> None:
        """Takes in one event; what is to be done is collected until `take`."""

    def take(self) -> list[Command]:
        """What is to be done after the events so far, in order; timers that are due fire first."""
        return []

    @property
    def next_due(self) -> float | None:
        """When a Tick is needed at the latest; None when none is."""
        return None
