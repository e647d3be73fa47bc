"""Compares the model chats with what should be in them. Reads nothing of what the core believes, but for what
it counts."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from tests.simulation.transfers.store import Store
from tests.simulation.transfers.telegram import Delivered, Telegram


def verdict(telegram: Telegram, store: Store, transfer_id: str, *, in_order: bool) -> list[str]:
    """Everything that is wrong with a transfer; empty when nothing is."""
    faults = list(telegram.faults)
    shards = [one for one in store.shards.values() if one.transfer_id == transfer_id]
    first, last = min(one.first_id for one in shards), max(one.last_id for one in shards)
    ours = [one for one in telegram.target if first <= one.origin <= last]
    times = Counter(one.origin for one in ours)
    faults += [
        f"message {one} is {number} times in the target" for one, number in times.items() if number > 1
    ]
    skipped = {one for one in store.refused if first <= one <= last}
    for shard in shards:
        wanted = [
            one
            for one in telegram.source
            if shard.first_id <= one <= shard.last_id and not telegram.source[one].service
        ]
        faults += [f"message {one} is lost" for one in wanted if not times[one] and one not in skipped]
    faults += [
        f"message {one} was skipped without need ({store.refused[one]})"
        for one in skipped
        if one in telegram.source and not _bad_album(telegram, one) and not times[one]
    ]
    if in_order:
        order = pairwise(one.origin for one in ours)
        faults += [f"{second} comes after {first}" for first, second in order if second < first]
    faults += _albums(telegram, ours)
    done = sum(shard.done for shard in shards)
    if abs(done - len(times)) > telegram.deleted:
        faults.append(f"{done} are counted as done, {len(times)} are in the target")
    return faults


def _bad_album(telegram: Telegram, message_id: int) -> bool:
    message = telegram.source[message_id]
    if message.bad or not message.grouped_id:
        return message.bad
    return any(one.bad for one in telegram.source.values() if one.grouped_id == message.grouped_id)


def _albums(telegram: Telegram, ours: list[Delivered]) -> list[str]:
    """Parts of one album of the source are one album of the target."""
    homes: dict[int, set[int]] = {}
    for one in ours:
        message = telegram.source.get(one.origin)
        if message is not None and message.grouped_id:
            homes.setdefault(message.grouped_id, set()).add(one.grouped_id)
    return [f"album {one} was torn into {len(parts)}" for one, parts in homes.items() if len(parts) > 1]
