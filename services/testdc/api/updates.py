"""Catching up: state and differences of an account's own box and of channels."""

from __future__ import annotations

from typing import Any

from services.testdc.api.inputs import channel_of
from services.testdc.api.registry import Call, method
from services.testdc.domain.boxes import Box, Event, EventKind
from services.testdc.tl import raw

_MAX_EVENTS = 1_000
"""Most events in one difference of a channel."""


@method(raw.functions.updates.GetState)
def get_state(call: Call, _: Any) -> Any:
    """Where the caller's box stands."""
    return state(call)


@method(raw.functions.updates.GetDifference)
def get_difference(call: Call, query: Any) -> Any:
    """Everything in the caller's box after the pts that it knows."""
    box = call.me.box
    events = box.since(query.pts)
    if not events:
        return raw.types.updates.DifferenceEmpty(date=call.now, seq=0)
    return raw.types.updates.Difference(
        new_encrypted_messages=[], state=state(call), **_difference(call, box, events)
    )


@method(raw.functions.updates.GetChannelDifference)
def get_channel_difference(call: Call, query: Any) -> Any:
    """The same for one channel, in parts when there is more than the client wants at once."""
    box = channel_of(call, query.channel).box
    events = box.since(query.pts)
    if not events:
        return raw.types.updates.ChannelDifferenceEmpty(pts=box.pts, final=True)
    part = events[: min(max(query.limit, 1), _MAX_EVENTS)]
    is_last = len(part) == len(events)
    return raw.types.updates.ChannelDifference(
        pts=box.pts if is_last else part[-1].pts, final=is_last or None, **_difference(call, box, part)
    )


def state(call: Call) -> Any:
    """The caller's update state, as several methods return it."""
    box = call.me.box
    unread = sum(box.unread(peer) for peer in box.messages.by_peer)
    return raw.types.updates.State(pts=box.pts, qts=0, date=call.now, seq=0, unread_count=unread)


def _difference(call: Call, box: Box, events: list[Event]) -> dict[str, Any]:
    ids = [i for event in events if event.kind is EventKind.NEW_MESSAGE for i in event.message_ids]
    messages = [message for i in ids if (message := box.find(i))]
    others = [event for event in events if event.kind is not EventKind.NEW_MESSAGE]
    return {
        "new_messages": [call.present.message(message) for message in messages],
        "other_updates": [call.present.update(event) for event in others],
        **call.present.around(messages),
    }
