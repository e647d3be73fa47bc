"""The states of one batch, who may move it from one to the next, and the ids that make a repeat harmless
(DESIGN section 6). Knows nothing of how an outcome is found out.

A batch stands for one intent: it is settled once, as sent, as skipped or as not sent. What was not sent is
planned anew under the next number, so that an order id never means two intents.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from enum import Enum

from services.scheduler.domain.transfers.records import BatchRecord, BatchState


class By(Enum):
    """Who makes a transition."""

    LEADER = 1  # a commit of its own
    ANSWER = 2  # a worker's answer to a transmission
    LOSS = 3  # an answer that will not come
    EVIDENCE = 4  # what was found in the target
    PERSON = 5


TRANSITIONS: Mapping[tuple[BatchState, BatchState], frozenset[By]] = {
    (BatchState.PLANNED, BatchState.INTENDED): frozenset({By.LEADER}),
    (BatchState.INTENDED, BatchState.SETTLED): frozenset({By.LEADER, By.ANSWER}),
    (BatchState.INTENDED, BatchState.UNKNOWN): frozenset({By.ANSWER, By.LOSS}),
    (BatchState.UNKNOWN, BatchState.SETTLED): frozenset({By.ANSWER, By.EVIDENCE}),
    (BatchState.UNKNOWN, BatchState.UNDECIDED): frozenset({By.EVIDENCE}),
    (BatchState.UNDECIDED, BatchState.SETTLED): frozenset({By.ANSWER, By.EVIDENCE, By.PERSON}),
}
"""LEADER settles an intent that it never handed to a worker. Everything else is impossible."""


_PARTS = 4


class IllegalMoveError(Exception):
    """A batch was to make a transition that does not exist: a mistake of this program."""


def move(record: BatchRecord, to: BatchState, by: By) -> None:
    """The one way in which a batch's state changes. Raises IllegalMoveError."""
    if by not in TRANSITIONS.get((record.state, to), frozenset()):
        raise IllegalMoveError(f"{batch_key(record)}: {record.state.name} -> {to.name} by {by.name}")
    record.state = to


class RandomIds:
    """What Telegram recognises a repeat by: the same for a message in every attempt, by whomever. The first 8
    bytes of SHA-256("tgfleet|transfer|target key|message"), signed, never 0 (issue 4)."""

    def __init__(self, transfer_id: str, target_key: int) -> None:
        self._begun = hashlib.sha256(f"tgfleet|{transfer_id}|{target_key}|".encode())

    def of(self, message_id: int) -> int:
        """The id of one message."""
        one = self._begun.copy()
        one.update(b"%d" % message_id)
        return int.from_bytes(one.digest()[:8], "big", signed=True) or 1


def batch_key(record: BatchRecord) -> str:
    """A batch's name among all, as in `tr_x/1/7`."""
    return f"{record.transfer_id}/{record.shard}/{record.batch}"


def order_id(record: BatchRecord) -> str:
    """The name of its latest transmission."""
    return f"{batch_key(record)}/{record.attempt}"


def batch_of(name: str) -> tuple[str, int, int, int] | None:
    """Transfer, shard, batch and attempt of a transmission; None for another order's id."""
    parts = name.split("/")
    if len(parts) != _PARTS or not all(part.isdigit() for part in parts[1:]):
        return None
    return parts[0], int(parts[1]), int(parts[2]), int(parts[3])


def copy(record: BatchRecord) -> BatchRecord:
    """As it is now, for the disk."""
    return replace(record, skipped=dict(record.skipped), refused=dict(record.refused))
