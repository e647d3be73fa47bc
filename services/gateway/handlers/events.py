"""Watching events across changes of leader. One watch for the caller, however many schedulers it takes."""

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import TypeVar

from services.gateway.handlers.losing import is_leader_lost
from services.gateway.ports import FleetScheduler
from services.runtime.errors import TgfleetError, Unavailable
from services.runtime.logs import get_logger
from services.runtime.tasks import backoff, cancel_and_wait
from tgfleet.gateway.v1 import event_pb2, fleet_pb2

Events = Sequence[event_pb2.Event]
T = TypeVar("T")

_log = get_logger("gateway.events")

RECHECK_SECONDS = 5.0
"""How often a watcher's token is looked at again: a revoked one stops a running watch too."""
REATTACH_SECONDS = 120.0
"""How long a watch outlives its leader while there is no other."""
_RETRY_FIRST = 0.1
_RETRY_MOST = 2.0


async def watch_events(
    request: fleet_pb2.WatchEventsRequest,
    within: float | None,
    scheduler: FleetScheduler,
    rng: random.Random | None = None,
) -> AsyncGenerator[Events, None]:
    """Events from now on; first an empty item, once the watch stands. After a change of leader an
    `events_lost` of an unknown count (0) marks the gap. Raises Unavailable when there is no scheduler for too
    long."""
    loop = asyncio.get_running_loop()
    end = None if within is None else loop.time() + within
    spread = rng or random.Random()  # noqa: S311 - spreads retries
    stands, attempt, lost_at = False, 0, loop.time()
    while True:
        try:
            left = None if end is None else end - loop.time()
            async with aclosing(scheduler.watch(request, left)) as stream:
                if await anext(stream, None) is None:  # the scheduler's word that its watch stands
                    raise Unavailable("The watch did not begin.", reason="SCHEDULER_UNAVAILABLE")
                yield [_gap()] if stands else []
                stands, attempt = True, 0
                async for events in stream:
                    yield events
            lost = Unavailable("The scheduler ended the watch.", reason="SCHEDULER_UNAVAILABLE")
        except TgfleetError as error:
            if not is_leader_lost(error):
                raise
            lost = Unavailable(error.message, reason=error.reason, metadata=error.metadata)
        lost_at = loop.time() if attempt == 0 else lost_at
        if not stands or loop.time() - lost_at > REATTACH_SECONDS:
            raise lost
        attempt += 1
        _log.info("leader lost, watching again", reason=lost.reason)
        await asyncio.sleep(backoff(attempt, _RETRY_FIRST, _RETRY_MOST, spread))


async def guarded(
    stream: AsyncGenerator[T, None],
    recheck: Callable[[], Awaitable[None]],
    stopping: asyncio.Event,
    period: float = RECHECK_SECONDS,
) -> AsyncGenerator[T, None]:
    """The stream, until `recheck` raises (looked at every `period` seconds) or the process stops. Closes the
    stream."""
    stop = asyncio.ensure_future(stopping.wait())
    item: asyncio.Future[T] = asyncio.ensure_future(anext(stream))
    loop = asyncio.get_running_loop()
    checked = loop.time()
    try:
        while True:
            await asyncio.wait((stop, item), timeout=period, return_when=asyncio.FIRST_COMPLETED)
            if stop.done():
                raise Unavailable("This gateway is stopping; watch again.", reason="SHUTTING_DOWN")
            if loop.time() - checked >= period:
                await recheck()
                checked = loop.time()
            if item.done():
                try:
                    value = item.result()
                except StopAsyncIteration:
                    return
                yield value
                item = asyncio.ensure_future(anext(stream))
    finally:
        await cancel_and_wait(stop, item)  # type: ignore[arg-type]
        await stream.aclose()


def without_texts(events: Events) -> Events:
    """The same events with every message text taken out, for viewers."""
    for event in events:
        kind = event.WhichOneof("kind")
        if kind == "message_received":
            event.message_received.ClearField("text")
        elif kind == "message_answered":
            event.message_answered.ClearField("text")
    return events


def _gap() -> event_pb2.Event:
    event = event_pb2.Event(
        detail="The scheduler changed; events in between may be missing.", events_lost=event_pb2.EventsLost()
    )
    event.time.GetCurrentTime()
    return event
