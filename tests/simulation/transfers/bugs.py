"""Mistakes that the simulation must find, each planted into the shipped code from here."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from services.scheduler.domain.transfers import answers, resolving, sending, shards
from services.scheduler.domain.transfers.batch import By
from services.scheduler.domain.transfers.orders import SendBatch
from services.scheduler.domain.transfers.records import BatchRecord, BatchState
from services.scheduler.domain.transfers.state import Batch, Desk, Shard


@dataclass(frozen=True)
class Bug:
    """None, or a mistake. `patches`: module, name and the wrong function in its place."""

    name: str = "none"
    patches: tuple[tuple[Any, str, Any], ...] = ()
    library_retries: bool = False

    @contextmanager
    def planted(self) -> Iterator[None]:
        """While it is there."""
        before = [(module, name, getattr(module, name)) for module, name, _ in self.patches]
        for module, name, wrong in self.patches:
            setattr(module, name, wrong)
        try:
            yield
        finally:
            for module, name, right in before:
                setattr(module, name, right)


NONE = Bug()

_numbers = itertools.count(1)
_right_work = sending.work_of
_right_transmit = sending.transmit


def _fresh_ids(shard: Shard, record: BatchRecord) -> SendBatch:
    work = _right_work(shard, record)
    if record.attempt == 1:
        return work
    return replace(work, random_ids=tuple(next(_numbers) for _ in work.random_ids))


def _believed(desk: Desk, shard: Shard, batch: Batch) -> bool:
    if not _right_transmit(desk, shard, batch):
        return False
    if batch.record.state is BatchState.INTENDED:
        sending.sent(desk, shard, By.LEADER, {})
    return True


def _forgets(desk: Desk, shard: Shard, _by: By, cause: str) -> None:
    batch = shard.current
    if batch is not None and batch.record.state is BatchState.INTENDED:
        sending.withdraw(desk, shard, By.ANSWER, cause)
    else:
        _right_doubt(desk, shard, _by, cause)


_right_doubt = resolving.doubt

BUGS = (
    Bug("fresh random_ids on a repeat", ((sending, "work_of", _fresh_ids),)),
    Bug("the library retries", library_retries=True),
    Bug("the result is committed before the send", ((shards, "transmit", _believed),)),
    Bug("settling is skipped on a switch", ((answers, "doubt", _forgets), (resolving, "doubt", _forgets))),
)
