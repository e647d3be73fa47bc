"""Carries out one order with an account's client and says what became of it. Every way to fail has its
answer here; nothing is tried twice."""

import itertools
import uuid
from collections.abc import Callable
from datetime import timedelta

from services.runtime.clock import Clock
from services.runtime.logs import get_logger
from services.worker.domain.telegram import Fenced, LinkCause, LinkDown, Refused
from services.worker.domain.transfer_answers import (
    Answer,
    NotApplied,
    NotDoneCause,
    OrderNotDone,
    OrderRefused,
    OrderUnknown,
    StillWaiting,
)
from services.worker.domain.transfer_orders import (
    Attempt,
    InspectChats,
    LookInTarget,
    ReadSource,
    SendBatch,
    Work,
)
from services.worker.domain.verdict import clamp_wait
from services.worker.ports import Transfers

_log = get_logger("worker.transfers")

_TIMEOUT = "TIMEOUT"
INTERNAL = "INTERNAL"
"""A fault of ours; the link has nothing to do with it."""
_FLOOD = 420
_WORDS_ON_A_CHAT = range(400, 407)
"""Codes that say something about an account and a chat; others are floods and the server's own faults."""
_MOST_IDS = 100
"""In one call; Telegram cuts longer lists silently (TELEGRAM.md section 2)."""


class Doer:
    """One account's hands."""

    def __init__(self, client: Transfers, clock: Clock, on_refused: Callable[[Refused, int], None]) -> None:
        """`on_refused`: told of every error of Telegram's, with the chat that was written to."""
        self._client = client
        self._clock = clock
        self._on_refused = on_refused

    async def carry_out(self, work: Work, limit: float, attempt: Attempt) -> Answer:
        """One answer, whatever happens; only being cancelled raises (see `given_up`). `limit` in seconds."""
        if not _well_formed(work):
            return OrderNotDone(NotDoneCause.BAD_ORDER)
        try:
            return await self._do(work, limit, attempt)
        except StillWaiting as wait:
            retry = self._clock.wall() + timedelta(seconds=wait.remaining)
            return OrderNotDone(NotDoneCause.FLOOD_WAIT, retry)
        except NotApplied as error:
            return OrderNotDone(error.cause)
        except Refused as error:
            return self._refused(error, work, attempt)
        except LinkDown as error:
            return _cut_off(attempt, error.cause)
        except Fenced:
            return _cut_off(attempt, LinkCause.FENCED)
        except Exception as error:  # noqa: BLE001 - whatever a parser raises; the order gets its answer
            incident = uuid.uuid4().hex[:12]
            _log.error("a transfer order failed by our own fault", incident=incident, exc_info=error)
            return OrderUnknown(INTERNAL) if attempt.transmitted else OrderNotDone(INTERNAL)

    def _refused(self, error: Refused, work: Work, attempt: Attempt) -> Answer:
        self._on_refused(error, work.target.chat_id if isinstance(work, SendBatch) else 0)
        if isinstance(work, SendBatch) and not attempt.transmitted and error.code not in _WORDS_ON_A_CHAT:
            # A call on the way to the transmission: what it was told is no word on the batch.
            if error.code != _FLOOD:
                return OrderNotDone(NotDoneCause.SERVER_ERROR)
            retry = self._clock.wall() + timedelta(seconds=clamp_wait(error.seconds))
            return OrderNotDone(NotDoneCause.FLOOD_WAIT, retry)
        return OrderRefused(error.code, error.name, error.seconds or 0, error.method)

    async def _do(self, work: Work, limit: float, attempt: Attempt) -> Answer:
        match work:
            case SendBatch():
                return await self._client.send(work, limit, attempt)
            case ReadSource():
                return await self._client.read(work, limit)
            case InspectChats():
                return await self._client.inspect(work, limit)
            case LookInTarget():
                return await self._client.look(work, limit)
            case None:
                return OrderNotDone(NotDoneCause.BAD_ORDER)


def given_up(attempt: Attempt, cause: str) -> Answer:
    """The answer of an order that was cancelled; its connection is closed if it was transmitted."""
    return OrderUnknown(cause) if attempt.transmitted else OrderNotDone(cause)


def _cut_off(attempt: Attempt, cause: LinkCause) -> Answer:
    if attempt.transmitted:
        return OrderUnknown(_TIMEOUT if cause is LinkCause.NO_ANSWER else cause)
    if cause is LinkCause.FENCED:
        return OrderNotDone(NotDoneCause.FENCED)
    return OrderNotDone(NotDoneCause.TIMEOUT if cause is LinkCause.NO_ANSWER else NotDoneCause.LINK_DOWN)


def _well_formed(work: Work) -> bool:
    """What Telegram would cut or misread is not sent (TELEGRAM.md section 2)."""
    if not isinstance(work, SendBatch):
        return True
    ids = work.message_ids
    increasing = all(one < other for one, other in itertools.pairwise(ids))
    return increasing and 0 < len(ids) == len(work.random_ids) <= _MOST_IDS
