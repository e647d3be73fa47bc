"""What the core of transfers is told of the fleet, and in which order."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from services.scheduler.adapters.memory_transfer_store import MemoryTransferStore
from services.scheduler.committing import Committer
from services.scheduler.domain import events as fleet_events
from services.scheduler.domain.model import CallKind, KnownWorker, Reason
from services.scheduler.domain.transfers import events as e
from services.scheduler.domain.transfers.core import TransferCore
from services.scheduler.domain.transfers.records import (
    Chat,
    ShardRecord,
    TransferPicture,
    TransferRecord,
    TransferSpec,
    TransferState,
    Wish,
)
from services.scheduler.domain.transfers.rules import TransferRules
from services.scheduler.signals import Signals
from services.scheduler.streams import Streams
from services.scheduler.transfer_driver import TransferDriver
from tests.unit.scheduler.fakes import NO_TRANSFERS, FakeLeadership
from tests.unit.scheduler.stage import RULES, Stage, accounts


class ListeningCore(TransferCore):
    """Notes what it is told."""

    heard: list[e.Event]

    def apply(self, event: e.Event, now: float, wall: float) -> None:
        self.heard.append(event)
        super().apply(event, now, wall)


class Both:
    """The fleet's core on its stage, and the driver of transfers beside it."""

    def __init__(self, *names: str, picture: TransferPicture = NO_TRANSFERS, **stage: Any) -> None:
        self.stage = Stage(accounts(*names), **stage)
        fleet = self.stage.core.fleet
        self.core = ListeningCore(
            TransferRules(), 1, random.Random(0), picture, now=self.stage.now, wall=self.stage.wall
        )
        self.core.heard = []
        self.store = MemoryTransferStore()
        committer = Committer(self.store, FakeLeadership(), 1, random.Random(0))
        self.driver = TransferDriver(
            self.core, fleet, committer, streams=Streams(), signals=Signals(), tell=self.tell
        )
        self.driver.apply(created(*names), self.stage.now, self.stage.wall)

    def tell(self, event: fleet_events.Event | e.Event) -> None:
        if not isinstance(event, e.Event):
            self.stage.feed(event)

    def hears(self, *happenings: Callable[[], object]) -> list[e.Event]:
        """What the core is told of, by the time all of that has happened; ticks aside."""
        for _ in range(2):  # what it wants done may change an account
            self.driver.round(self.stage.now, self.stage.wall)
        self.core.heard.clear()
        for happen in happenings:
            happen()
        self.driver.round(self.stage.now, self.stage.wall)
        return [one for one in self.core.heard if not isinstance(one, e.Tick)]

    def view(self, account_id: str) -> e.AccountView:
        """The last word on an account."""
        self.driver.round(self.stage.now, self.stage.wall)
        views = [one.account for one in self.core.heard if isinstance(one, e.AccountChanged)]
        return next(one for one in reversed(views) if one.account_id == account_id)


def created(*account_ids: str) -> e.TransferCreated:
    chat = Chat("@x", -1001, "x", "channel")
    spec = TransferSpec("@x", "@y", account_ids=account_ids)
    record = TransferRecord("tr_1", "", spec, chat, chat, -1001, TransferState.RUNNING, Wish.RUN, created=1.0)
    return e.TransferCreated(record, [ShardRecord("tr_1", 1, 1, 0, 0)])


def kinds(heard: list[e.Event]) -> list[str]:
    return [type(one).__name__ for one in heard]


@pytest.fixture
def both() -> Both:
    return Both("ann")


def test_a_worker_is_told_before_the_accounts_that_run_there(both: Both) -> None:
    both.stage.attach("w1")
    both.stage.up("w1", "ann")

    def come_back() -> None:
        report = both.stage.running("ann", token=both.stage.entry("ann").token)
        both.stage.lose_stream("w1")
        both.driver.hello(2, ["tr_1/1/1/1", "inspect/x"])
        both.stage.attach("w1", sessions=[report])

    heard = both.hears(come_back)
    assert kinds(heard)[:3] == ["Detached", "Attached", "AccountChanged"]
    attached = next(one for one in heard if isinstance(one, e.Attached))
    assert (attached.attachment, list(attached.order_ids)) == (2, ["tr_1/1/1/1"])
    view = both.view("ann")
    assert (view.running, view.attachment) == (True, 2)


def test_a_worker_that_does_not_come_back_is_lost_once(both: Both) -> None:
    both.stage.attach("w1")
    heard = list(both.hears(lambda: both.stage.lose_stream("w1")))
    heard += both.hears(lambda: both.stage.pass_time(31))
    heard += both.hears(lambda: both.stage.pass_time(31))
    of_worker = [one for one in heard if isinstance(one, e.Detached)]
    assert of_worker == [e.Detached("w1", lost=False), e.Detached("w1", lost=True)]


def test_another_process_of_the_same_name_means_that_the_first_is_lost(both: Both) -> None:
    both.stage.attach("w1")
    both.hears(lambda: both.stage.lose_stream("w1"))
    heard = both.hears(lambda: both.stage.attach("w1", incarnation="another"))
    assert heard[:2] == [e.Detached("w1", lost=True), e.Attached("w1", "another", 2)]


def test_a_stranger_with_the_name_of_a_live_worker_is_not_heard_of(both: Both) -> None:
    both.stage.attach("w1")
    assert both.hears(lambda: both.stage.attach("w1", incarnation="stranger")) == []


def test_a_worker_that_an_earlier_leader_gave_up_is_lost_from_the_beginning() -> None:
    both = Both("ann", known=[KnownWorker("w1", "i", 5, 1.0, lost=True)])
    both.driver.round(both.stage.now, both.stage.wall)
    assert e.Detached("w1", lost=True) in both.core.heard


def test_an_account_is_told_when_something_of_it_changes_and_only_then(both: Both) -> None:
    both.stage.attach("w1")
    both.hears(lambda: both.stage.up("w1", "ann"))
    assert both.view("ann").running
    assert both.hears(lambda: both.stage.pass_time(25)) == []
    heard = both.hears(lambda: both.stage.change("ann", daily_cap=5))
    assert [one.account.daily_cap for one in heard if isinstance(one, e.AccountChanged)] == [5]
    gone = fleet_events.AccountsChanged(deleted=["ann"], revision=99)
    assert both.hears(lambda: both.stage.feed(gone)) == [e.AccountGone("ann")]


def test_accounts_of_no_transfer_are_not_told() -> None:
    both = Both("ann")
    both.stage.attach("w1")
    bob = accounts("bob")
    assert both.hears(lambda: both.stage.feed(fleet_events.AccountsChanged(bob, revision=2))) == []


def test_draining_takes_an_account_away_from_transfers(both: Both) -> None:
    both.stage.attach("w1")
    both.stage.up("w1", "ann")
    assert both.view("ann").running
    both.stage.feed(fleet_events.DrainStarted("w1", both.stage.now + 60))
    assert not both.view("ann").running


def test_who_may_be_borrowed(both: Both) -> None:
    both.stage.attach("w1")
    assert both.view("ann").startable
    both.stage.change("ann", enabled=False)
    assert not both.view("ann").startable
    both.stage.change("ann", enabled=True, block_reason=Reason.NEEDS_LOGIN)
    assert (both.view("ann").startable, both.view("ann").blocked) == (False, "NEEDS_LOGIN")
    both.stage.change("ann", block_reason=Reason.UNSPECIFIED)
    assert both.view("ann").startable
    both.stage.call(CallKind.STOP_ALL, "ann")
    assert not both.view("ann").startable
    both.stage.feed(fleet_events.LendingAllowed(["ann"]))
    assert both.view("ann").startable


def test_an_account_without_a_place_is_not_waited_for() -> None:
    both = Both("ann", rules=RULES)
    both.stage.change("ann", home_worker="w9")
    assert both.view("ann").startable
    both.stage.feed(fleet_events.Borrowed("ann"))
    assert not both.view("ann").startable
    both.stage.attach("w9")
    both.stage.runs("w9", "ann")
    assert both.view("ann").running
