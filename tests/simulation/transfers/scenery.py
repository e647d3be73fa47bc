"""The world of a history as it begins: chats, accounts' limits, transfers, and how bad the links are."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from services.scheduler.domain.transfers.records import (
    Chat,
    Mode,
    ShardRecord,
    TransferRecord,
    TransferSpec,
    TransferState,
    Wish,
)
from tests.simulation.transfers.leader import WALL
from tests.simulation.transfers.telegram import SECOND, SECOND_SOURCE, SOURCE, TARGET, Limits, Message
from tests.simulation.transfers.workers import Chances

if TYPE_CHECKING:
    from tests.simulation.transfers.play import Play

NAMES = ("tr_one", "tr_two")
_OF_A_CHANNEL = (-1009, 1)
_HEADERS = (_OF_A_CHANNEL, (77, 0), (1, 0))
"""Of messages that were forwarded before: from a channel, a person, somebody hidden."""


def fill(play: Play) -> None:
    rng = play.rng
    for begin in range(0, SECOND * len(play.names), SECOND):
        _fill_source(play, begin, begin + rng.randint(150, 500) // len(play.names))
    for number, account_id in enumerate(play.accounts):
        play.telegram.users[account_id] = 1000 + number
        capacity = float(rng.randint(*rng.choice([(25, 80), (60, 600)])))
        play.telegram.limits[account_id] = Limits(capacity, rng.choice([0.1, 1.0, 10.0]), capacity)
    for _ in range(rng.randint(0, 30)):
        play.telegram.post("hello")


def _fill_source(play: Play, message_id: int, last: int) -> None:
    rng, source = play.rng, play.telegram.source
    album = message_id + 100
    while message_id < last:
        message_id += 1
        kind = rng.random()
        if kind < 0.05:
            continue  # deleted
        if kind < 0.08:
            source[message_id] = Message(message_id, "", service=True)
        elif kind < 0.16:
            album += 1
            for _ in range(rng.randint(2, 10)):
                source[message_id] = Message(message_id, _text(play), grouped_id=album)
                message_id += 1
            message_id -= 1
        else:
            origin = rng.choice(_HEADERS) if rng.random() < 0.05 else (0, 0)
            if origin == _OF_A_CHANNEL:
                origin = (origin[0], message_id * 3)
            bad = rng.random() < 0.004
            source[message_id] = Message(message_id, _text(play), bad=bad, forwarded_from=origin)


def _text(play: Play) -> str:
    if play.repeating_texts and play.rng.random() < 0.3:
        return "ok"
    return f"text {play.rng.randrange(1_000_000_000)}"


def record_of(play: Play, name: str) -> tuple[TransferRecord, list[ShardRecord]]:
    mode = Mode.COPY if play.copies else Mode.FORWARD
    spec = TransferSpec("s", "t", mode=mode, account_ids=tuple(play.accounts))
    kind = "channel" if play.telegram.channel_source else "supergroup"
    begin = SECOND * play.names.index(name)
    source = Chat("s", SECOND_SOURCE if begin else SOURCE, "S", kind)
    target = Chat("t", TARGET, "T", "supergroup")
    record = TransferRecord(name, "", spec, source, target, TARGET, TransferState.RUNNING, Wish.RUN, WALL)
    last = max(one for one in play.telegram.source if begin < one <= begin + SECOND)
    edges = [begin + 1 + (last - begin) * part // play.parallel for part in range(play.parallel + 1)]
    shards = [
        ShardRecord(name, number, edges[number - 1], edges[number] - 1, edges[number - 1] - 1)
        for number in range(1, play.parallel + 1)
    ]
    return record, shards


def chances_of(rng: random.Random) -> Chances:
    """How often a link fails."""
    if rng.random() < 0.2:
        return Chances()
    bad = rng.choice([0.02, 0.1, 0.2])
    return Chances(
        request_lost=bad * rng.random(),
        answer_lost=bad * rng.random(),
        late=bad * rng.random() * 0.5,
        server_error=bad * rng.random() * 0.3,
        not_done=bad * rng.random() * 0.3,
    )
