"""The next account for a question. Few accounts are looked at one by one; for many an order is kept (a lane,
`ready.py`) for each transfer, method and chat. Both go by the same filters and the same rank.
"""

import math
from collections import Counter, OrderedDict
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace

from services.scheduler.domain.transfers.choosing import filters
from services.scheduler.domain.transfers.choosing.order import next_step, rank
from services.scheduler.domain.transfers.choosing.ready import Judged, Ready
from services.scheduler.domain.transfers.choosing.seats import Question, Seat
from services.scheduler.domain.transfers.choosing.words import Ask, Nobody, Obstacle

FEW = 48
"""Up to so many accounts looking at each costs less than keeping an order."""
_MOST_LANES = 128
"""The lane that was not asked longest is given up; it is made again when it is asked for."""
_JUMP = 1.0
"""Seconds that the time of day may drift from the monotonic clock until everything is judged anew."""

_Key = tuple[str, str, int, bool, tuple[str, ...], frozenset[str]]
Seats = Mapping[str, Seat]


class Lanes:
    """All orders that are kept."""

    def __init__(self) -> None:
        self._lanes: OrderedDict[_Key, Ready] = OrderedDict()
        self._offset = 0.0

    def changed(self, account_id: str) -> None:
        """Something about an account is different now."""
        for lane in self._lanes.values():
            lane.changed(account_id)

    def forget(self, transfer_id: str) -> None:
        """The orders of a transfer are wrong, or not needed any more."""
        for key in [key for key in self._lanes if key[0] == transfer_id]:
            del self._lanes[key]

    def next(self, ask: Ask, seats: Seats, question: Question) -> Seat | Nobody:
        """The next account, or why there is none."""
        if len(ask.account_ids) <= FEW:
            return _of_few(ask, seats, question)
        return self._of_many(ask, seats, question)

    def _of_many(self, ask: Ask, seats: Seats, question: Question) -> Seat | Nobody:
        lane = self._lane(ask, question)
        least = replace(question, count=1)  # an order serves every count; the true one is compared below

        def judge(account_id: str) -> Judged | None:
            seat = seats.get(account_id)
            return None if seat is None else _judge(seat, least)

        lane.settle(judge, question.now)
        refused: dict[str, list[Obstacle]] = {}
        with closing(lane.in_order()) as in_order:
            for account_id in in_order:
                found = filters.obstacles(seats[account_id], question)
                if not found:
                    return seats[account_id]
                refused[account_id] = found
        refused |= _first_to_wake(lane, seats, question)
        return _nobody(refused, seats, len(ask.account_ids), lane.commonest())

    def _lane(self, ask: Ask, question: Question) -> Ready:
        offset = question.wall - question.now
        if abs(offset - self._offset) > _JUMP:  # what days and hours were turned into is wrong
            self._lanes.clear()
            self._offset = offset
        key = (ask.transfer_id, ask.method, ask.chat_id, ask.only_running, ask.also, ask.account_ids)
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = Ready(ask.account_ids)
        self._lanes.move_to_end(key)
        if len(self._lanes) > _MOST_LANES:
            self._lanes.popitem(last=False)
        return lane


def _first_to_wake(lane: Ready, seats: Seats, question: Question) -> dict[str, list[Obstacle]]:
    """Enough of those who wait that the first for this count is among them: who may send one message first
    may have to wait longer for an album."""
    refused: dict[str, list[Obstacle]] = {}
    first = math.inf
    with closing(lane.waking()) as waking:
        for wake, account_id in waking:
            if wake >= first:
                break
            refused[account_id] = found = filters.obstacles(seats[account_id], question)
            until = filters.wake_of(found)
            first = first if until is None else min(first, until)
    return refused


def _of_few(ask: Ask, seats: Seats, question: Question) -> Seat | Nobody:
    may: list[Seat] = []
    refused: dict[str, list[Obstacle]] = {}
    for account_id in sorted(ask.account_ids):  # the same history, the same words
        seat = seats.get(account_id)
        if seat is None:
            continue
        found = filters.obstacles(seat, question)
        if found:
            refused[account_id] = found
        else:
            may.append(seat)
    if may:
        return min(may, key=lambda seat: rank(seat, question.method, question.now))
    commonest = Counter(found[0].reason for found in refused.values()).most_common(1)
    return _nobody(refused, seats, len(ask.account_ids), commonest[0][0] if commonest else "")


def _judge(seat: Seat, question: Question) -> Judged:
    found = filters.obstacles(seat, question)
    if found:
        return Judged(None, filters.wake_of(found), found[0].reason)
    budget = seat.budgets.get(question.method)
    moves = next_step(budget, question.now) if budget is not None else None
    return Judged(rank(seat, question.method, question.now), moves)


def _nobody(refused: Mapping[str, list[Obstacle]], seats: Seats, asked: int, commonest: str) -> Nobody:
    wakes = {account_id: filters.wake_of(found) for account_id, found in refused.items()}
    free = [(wake, account_id) for account_id, wake in wakes.items() if wake is not None]
    if free:
        wake, account_id = min(free)
        obstacle = max(refused[account_id], key=lambda one: one.wake or 0.0)
        name = seats[account_id].account.name or account_id
        detail = f"None of {asked} accounts can go on now; {name} can first. {obstacle.detail}"
        return Nobody(wake, obstacle.reason, detail)
    if not commonest:
        return Nobody(None, "NO_ACCOUNT_LEFT", "None of the transfer's accounts exists any more.")
    return Nobody(None, commonest, f"None of {asked} accounts can go on: most of them are {commonest}.")
