"""Transfers from the caller's side: a lost leader is bridged. Knows nothing of how a transfer works.

Every question about transfers may be asked again: creating by its request id, the rest by being idempotent.
Only a person's word on an undecided batch is not repeated once a scheduler may have heard it: in between the
batch may have become another question.
"""

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import TypeVar

from services.gateway.handlers.losing import is_leader_lost
from services.gateway.ports import TransferScheduler
from services.runtime.errors import TgfleetError, Unavailable
from services.runtime.logs import get_logger
from services.runtime.tasks import backoff
from tgfleet.gateway.v1 import transfer_pb2

T = TypeVar("T")

_log = get_logger("gateway.transfers")

REATTACH_SECONDS = 120.0
"""How long a watch outlives its leader while there is no other."""
REASK_SECONDS = 15.0
"""How long a call whose leader was lost is asked again: a change of leader is bridged, an outage is told."""
_RETRY_FIRST = 0.1
_RETRY_MOST = 1.0
_ENDED = frozenset(
    {
        transfer_pb2.TRANSFER_STATE_CANCELLED,
        transfer_pb2.TRANSFER_STATE_COMPLETED,
        transfer_pb2.TRANSFER_STATE_FAILED,
    }
)
_ANSWERS = frozenset({"NO_ACCOUNT_RUNNING"})
"""Reasons with which a scheduler that leads says UNAVAILABLE of something else than itself."""
_NEVER_HEARD = frozenset({"NOT_LEADER", "SCHEDULER_UNAVAILABLE"})
"""Reasons that say that no scheduler took the call in."""


async def asked(
    ask: Callable[[float], Awaitable[T]],
    within: float,
    *,
    repeatable: bool = True,
    rng: random.Random | None = None,
) -> T:
    """The answer of whichever scheduler leads, asked again when one is lost; `ask` is given the seconds left.
    Not `repeatable`: only if nobody can have heard it. Raises what the scheduler says, and Unavailable."""
    loop = asyncio.get_running_loop()
    spread = rng or random.Random()  # noqa: S311 - spreads retries
    end, give_up, attempt = loop.time() + within, 0.0, 0
    while True:
        try:
            return await ask(max(end - loop.time(), 0.0))
        except TgfleetError as error:
            lost = is_leader_lost(error) and error.reason not in _ANSWERS
            if not lost or not (repeatable or error.reason in _NEVER_HEARD):
                raise
            give_up = give_up or min(end, loop.time() + REASK_SECONDS)
            attempt += 1
            pause = backoff(attempt, _RETRY_FIRST, _RETRY_MOST, spread)
            if loop.time() + pause >= give_up:
                raise
            _log.info("leader lost, asking again", reason=error.reason)
        await asyncio.sleep(pause)


async def watch_transfer(
    request: transfer_pb2.WatchTransferRequest,
    within: float | None,
    scheduler: TransferScheduler,
    rng: random.Random | None = None,
) -> AsyncGenerator[transfer_pb2.Transfer, None]:
    """The transfer as it is and after each change, over changes of leader; ends after an end state. Raises
    Unavailable when there is no scheduler for too long."""
    loop = asyncio.get_running_loop()
    end = None if within is None else loop.time() + within
    spread = rng or random.Random()  # noqa: S311 - spreads retries
    seen, attempt, lost_at = False, 0, loop.time()
    while True:
        try:
            async with aclosing(
                scheduler.watch(request, None if end is None else end - loop.time())
            ) as stream:
                async for transfer in stream:
                    seen, attempt = True, 0
                    yield transfer
                    if transfer.state in _ENDED:
                        return
            lost = Unavailable("The scheduler ended the watch.", reason="SCHEDULER_UNAVAILABLE")
        except TgfleetError as error:
            if not is_leader_lost(error):
                raise
            lost = Unavailable(error.message, reason=error.reason, metadata=error.metadata)
        lost_at = loop.time() if attempt == 0 else lost_at
        if not seen or loop.time() - lost_at > REATTACH_SECONDS:
            raise lost
        attempt += 1
        _log.info("leader lost, watching again", reason=lost.reason)
        await asyncio.sleep(backoff(attempt, _RETRY_FIRST, _RETRY_MOST, spread))
