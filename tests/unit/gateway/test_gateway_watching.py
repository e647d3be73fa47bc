"""Watching events over changes of leader, in virtual time."""

import asyncio
import random
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import pytest

from services.gateway.handlers.events import REATTACH_SECONDS, guarded, watch_events, without_texts
from services.runtime.errors import NotFound, TgfleetError, Unauthenticated, Unavailable
from tgfleet.gateway.v1 import event_pb2, fleet_pb2

pytestmark = [pytest.mark.looptime(start=1000), pytest.mark.asyncio]

LOST = Unavailable("The leader is gone.", reason="NOT_LEADER")
REQUEST = fleet_pb2.WatchEventsRequest()


def event(detail: str) -> event_pb2.Event:
    return event_pb2.Event(detail=detail)


class Scheduler:
    """One list of things for each attachment; the last one goes on for ever."""

    def __init__(self, *attachments: Sequence[list[event_pb2.Event] | TgfleetError]) -> None:
        self.attachments = list(attachments)
        self.attached = 0

    async def watch(self, _request: Any, _within: float | None) -> AsyncGenerator[Any, None]:
        self.attached += 1
        steps = self.attachments.pop(0) if len(self.attachments) > 1 else self.attachments[0]
        for step in steps:
            if isinstance(step, TgfleetError):
                raise step
            yield step


async def test_a_lost_leader_leaves_a_mark_and_the_watch_goes_on() -> None:
    scheduler = Scheduler(
        [[], [event("one")], LOST], [LOST], [[], [event("two")], NotFound("end of the test")]
    )
    stream = watch_events(REQUEST, None, scheduler, random.Random(1))
    seen = [[e.WhichOneof("kind") or e.detail for e in await anext(stream)] for _ in range(4)]
    with pytest.raises(NotFound):
        await anext(stream)
    assert seen == [[], ["one"], ["events_lost"], ["two"]]
    assert scheduler.attached == 3


async def test_without_any_scheduler_a_watch_does_not_begin() -> None:
    with pytest.raises(Unavailable):
        await anext(watch_events(REQUEST, None, Scheduler([LOST])))


async def test_a_watch_outlives_its_leader_for_a_while_only() -> None:
    loop = asyncio.get_running_loop()
    begun = loop.time()
    stream = watch_events(REQUEST, None, Scheduler([[], LOST], [LOST]), random.Random(1))
    with pytest.raises(Unavailable):
        _ = [batch async for batch in stream]
    assert REATTACH_SECONDS <= loop.time() - begun < REATTACH_SECONDS + 5


async def forever() -> AsyncGenerator[int, None]:
    yield 1
    await asyncio.sleep(100_000)


async def test_a_revoked_token_ends_a_running_watch() -> None:
    asked = 0

    async def recheck() -> None:
        nonlocal asked
        asked += 1
        if asked == 3:
            raise Unauthenticated("revoked")

    loop = asyncio.get_running_loop()
    begun = loop.time()
    with pytest.raises(Unauthenticated):
        _ = [item async for item in guarded(forever(), recheck, asyncio.Event(), period=5)]
    assert 15 <= loop.time() - begun <= 16


async def test_a_stopping_process_ends_a_watch_at_once() -> None:
    async def recheck() -> None: ...

    stopping = asyncio.Event()
    stream = guarded(forever(), recheck, stopping, period=5)
    assert await anext(stream) == 1
    stopping.set()
    with pytest.raises(Unavailable) as caught:
        await anext(stream)
    assert caught.value.reason == "SHUTTING_DOWN"


async def test_viewers_get_no_text() -> None:
    received = event_pb2.Event(message_received=event_pb2.MessageReceived(chat_id=1, text="secret"))
    answered = event_pb2.Event(message_answered=event_pb2.MessageAnswered(chat_id=1, text="secret"))
    shown = without_texts([received, answered, event("x")])
    assert b"secret" not in b"".join(e.SerializeToString() for e in shown)
    assert shown[0].message_received.chat_id == 1
