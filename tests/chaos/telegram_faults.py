"""What Telegram, and the way to it, can do to a transfer in a history: each fault is one call's or one
chat's, asked of the test data centre."""

from __future__ import annotations

import random
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any

from google.protobuf import duration_pb2

from tests.support.telegram import Control
from tests.support.transfers import Scene
from tgfleet.testdc.v1 import control_pb2 as pb

TelegramFault = Callable[[Control, Scene, random.Random], Coroutine[Any, Any, str]]
"""Breaks something, gives a sentence of what it did."""

FORWARD = "messages.forwardMessages"


async def _set(control: Control, scene: Scene, rng: random.Random, kind: pb.FaultKind, **fields: Any) -> str:
    name = rng.choice(sorted(scene.accounts))
    fault = pb.Fault(kind=kind, user_id=scene.accounts[name].user_id, methods=[FORWARD], **fields)
    await control.SetFault(pb.SetFaultRequest(fault=fault), timeout=10)
    return name


def _late(seconds: float) -> duration_pb2.Duration:
    late = duration_pb2.Duration()
    late.FromTimedelta(timedelta(seconds=seconds))
    return late


async def flood_wait(control: Control, scene: Scene, rng: random.Random) -> str:
    """One account has to wait before it may forward again."""
    seconds = rng.randint(2, 8)
    name = await _set(control, scene, rng, pb.FAULT_KIND_FLOOD_WAIT, seconds=seconds)
    return f"{name} must wait {seconds} s before it forwards"


async def flood_everybody(control: Control, scene: Scene, rng: random.Random) -> str:
    """All accounts have to wait: the transfer waits, and wakes by itself."""
    seconds = rng.randint(2, 5)
    for account in scene.accounts.values():
        fault = pb.Fault(
            kind=pb.FAULT_KIND_FLOOD_WAIT, user_id=account.user_id, methods=[FORWARD], seconds=seconds
        )
        await control.SetFault(pb.SetFaultRequest(fault=fault), timeout=10)
    return f"all accounts must wait {seconds} s before they forward"


async def drop_before(control: Control, scene: Scene, rng: random.Random) -> str:
    """The link is cut instead of carrying out a forward."""
    name = await _set(control, scene, rng, pb.FAULT_KIND_DROP_BEFORE, count=1)
    return f"{name}'s link is cut before a forward takes effect"


async def drop_after(control: Control, scene: Scene, rng: random.Random) -> str:
    """The link is cut after the effect, before the answer."""
    name = await _set(control, scene, rng, pb.FAULT_KIND_DROP_AFTER, count=1)
    return f"{name}'s link is cut between the effect of a forward and its answer"


async def lost_answer(control: Control, scene: Scene, rng: random.Random) -> str:
    """The effect comes, the answer never."""
    name = await _set(control, scene, rng, pb.FAULT_KIND_LOST_ANSWER, count=1)
    return f"{name} gets no answer to a forward that took effect"


async def late_effect(control: Control, scene: Scene, rng: random.Random) -> str:
    """The link is cut at once, the effect comes a moment later."""
    delay = rng.uniform(0.2, 1.5)
    name = await _set(control, scene, rng, pb.FAULT_KIND_DROP_LATE, count=1, delay=_late(delay))
    return f"{name}'s forward takes effect {delay:.1f} s after its link was cut"


async def lost_then_flooded(control: Control, scene: Scene, rng: random.Random) -> str:
    """An answer is lost after the effect, and the repeat is answered with a flood wait: no proof of
    anything."""
    name = await _set(control, scene, rng, pb.FAULT_KIND_DROP_AFTER, count=1)
    seconds = rng.randint(2, 5)
    fault = pb.Fault(
        kind=pb.FAULT_KIND_FLOOD_WAIT,
        user_id=scene.accounts[name].user_id,
        methods=[FORWARD],
        seconds=seconds,
        skip=1,
    )
    await control.SetFault(pb.SetFaultRequest(fault=fault), timeout=10)
    return f"{name} loses the answer of a forward, the repeat is told to wait {seconds} s"


async def server_error(control: Control, scene: Scene, rng: random.Random) -> str:
    """500 instead of an answer: nobody knows whether it took effect."""
    name = await _set(
        control, scene, rng, pb.FAULT_KIND_RPC_ERROR, count=1, code=500, error="INTERNAL_SERVER_ERROR"
    )
    return f"{name} is told 500 for a forward"


async def bad_message(control: Control, scene: Scene, rng: random.Random) -> str:
    """One message of the source cannot be moved at all."""
    bad = rng.randint(scene.source.first_id, scene.source.last_id)
    scene.spoiled.append(bad)
    await control.SpoilMessages(
        pb.SpoilMessagesRequest(chat=scene.source.chat, message_ids=[bad]), timeout=10
    )
    return f"message {bad} is refused by Telegram"


async def others_post(control: Control, scene: Scene, rng: random.Random) -> str:
    """Other people write into the target meanwhile."""
    count = rng.randint(1, 20)
    for number in range(count):
        request = pb.SendMessageRequest(
            sender_id=scene.owner_id, chat=scene.target.chat, text=f"somebody else {number}"
        )
        await control.SendMessage(request, timeout=10)
    return f"somebody else posts {count} messages"


TELEGRAM_FAULTS: dict[str, TelegramFault] = {
    "bad-message": bad_message,
    "drop-after": drop_after,
    "drop-before": drop_before,
    "flood-everybody": flood_everybody,
    "flood-wait": flood_wait,
    "late-effect": late_effect,
    "lost-answer": lost_answer,
    "lost-then-flooded": lost_then_flooded,
    "others-post": others_post,
    "server-error": server_error,
}
