"""A change that tells wishes alone does to the core exactly what a full record would, whatever state an
account is in."""

from __future__ import annotations

import copy
import random
from typing import Any

import pytest

from services.scheduler.domain import commands as c
from services.scheduler.domain import events as e
from services.scheduler.domain.accounts import Entry
from services.scheduler.domain.model import CallKind, Outcome, Reason
from tests.unit.scheduler.stage import Stage, accounts

_NAMES = ("a", "b", "d", "f", "g", "h")


def _staged(chance: random.Random) -> Stage:
    """Accounts in various states: idle, starting, running, chatting, stopping, failed, disabled."""
    stage = Stage(accounts(*_NAMES))
    stage.attach("w1", capacity=4)
    for _ in range(chance.randrange(8)):
        name = chance.choice(_NAMES)
        match chance.randrange(7):
            case 0:
                stage.start_all(name)
            case 1:
                if stage.entry(name).worker_id:
                    stage.runs("w1", name)
            case 2:
                stage.call(CallKind.STOP_ALL, name)
            case 3:
                stage.call(CallKind.START_CHAT, name)
            case 4:
                stage.change(name, enabled=chance.random() < 0.5)
            case 5:
                if stage.entry(name).worker_id:
                    stage.refuses("w1", name, Outcome.FAILED, Reason.CONNECT_TIMEOUT)
            case _:
                stage.hold_wishes = not stage.hold_wishes
    return stage


def _seen(entry: Entry) -> dict[str, Any]:
    shown = {name: getattr(entry, name) for name in Entry.__slots__ if name not in ("calls", "touched")}
    touched = entry in entry.touched  # so that transfers are told
    return shown | {"calls": [call.key for call in entry.calls], "touched": touched}


@pytest.mark.parametrize("seed", range(400))
def test_a_wish_alone_does_what_a_full_record_does(seed: int) -> None:
    chance = random.Random(seed)
    whole = _staged(chance)
    name, running, chatting = chance.choice(_NAMES), chance.random() < 0.5, chance.random() < 0.5
    old = chance.random() < 0.2  # an echo that is older than the wish which was recorded last
    whole.revision += 0 if old else 1
    short = copy.deepcopy(whole)

    spec = copy.deepcopy(whole.entry(name).spec)
    spec.wanted_running, spec.wanted_chatting = running, chatting
    revision = whole.revision - (1 if old else 0)
    by_record = whole.feed(e.AccountsChanged([spec], revision=revision))
    by_wish = short.feed(e.AccountsChanged(revision=revision, wishes=[e.Wishes(running, chatting, [name])]))

    assert by_wish == by_record
    assert {n: _seen(short.entry(n)) for n in _NAMES} == {n: _seen(whole.entry(n)) for n in _NAMES}
    results = [
        {key: call.results for key, call in stage.core.fleet.calls.items()} for stage in (short, whole)
    ]
    assert results[0] == results[1]


def test_a_wish_for_an_account_that_is_not_known_is_nothing() -> None:
    stage = Stage(accounts("a"))
    commands = stage.feed(e.AccountsChanged(revision=5, wishes=[e.Wishes(True, False, ["stranger"])]))  # noqa: FBT003
    assert [command for command in commands if not isinstance(command, c.CallProgressed)] == []
