"""Which transfers can be done, by whom, and how they are cut."""

from dataclasses import replace
from typing import Any

import pytest

from services.scheduler.domain.transfers.orders import ChatFacts, Inspected, OrderNotDone, OrderRefused
from services.scheduler.domain.transfers.planning import (
    Cut,
    Following,
    Inspection,
    Plan,
    PlanRefused,
    RefusalKind,
    check,
    plan,
)
from services.scheduler.domain.transfers.records import Candidate, TransferSpec

SPEC = TransferSpec("@source", "@target", account_ids=("a1", "a2"))
SOURCE = ChatFacts(-1001, "channel", "Source", can_read=True, can_post=False, top_message_id=1000)
TARGET = ChatFacts(-1002, "supergroup", "Target", can_read=True, can_post=True, top_message_id=50)
FOUND = Inspected(SOURCE, TARGET, 1, 1000)


def planned(spec: TransferSpec = SPEC, *found: Inspection, **more: Any) -> Plan:
    result = plan(spec, {f"a{n}": one for n, one in enumerate(found or (FOUND,), 1)}, **more)
    assert isinstance(result, Plan), result
    return result


def refused(spec: TransferSpec = SPEC, *found: Inspection, **more: Any) -> PlanRefused:
    result = plan(spec, {f"a{n}": one for n, one in enumerate(found, 1)}, **more)
    assert isinstance(result, PlanRefused), result
    return result


def test_one_shard_unless_more_are_asked_for() -> None:
    assert planned().shards == (Cut(1, 1000),)
    cuts = planned(replace(SPEC, parallel=3)).shards
    assert cuts == (Cut(1, 333), Cut(334, 666), Cut(667, 1000))


def test_never_more_shards_than_ids() -> None:
    few = replace(FOUND, first_id=5, last_id=6)
    assert planned(replace(SPEC, parallel=16), few).shards == (Cut(5, 5), Cut(6, 6))


def test_a_million_messages_are_cut_without_reading_them() -> None:
    cuts = planned(replace(SPEC, parallel=16), replace(FOUND, last_id=1_000_000)).shards
    assert len(cuts) == 16
    assert (cuts[0].first_id, cuts[-1].last_id) == (1, 1_000_000)


def test_a_following_one_has_no_end() -> None:
    assert planned(replace(SPEC, follow=True)).shards == (Cut(1, 0),)
    empty = replace(FOUND, first_id=0, last_id=0)
    assert planned(replace(SPEC, follow=True), empty).shards == (Cut(1001, 0),)


def test_each_candidate_has_its_reason() -> None:
    blind = replace(FOUND, source=replace(SOURCE, can_read=False, error="CHANNEL_PRIVATE"))
    mute = replace(FOUND, target=replace(TARGET, can_post=False))
    waiting = Candidate("a5", usable=False, reason="NOT_CHECKED")
    result = planned(SPEC, FOUND, blind, mute, OrderNotDone("STOPPING"), unchecked=[waiting])
    reasons = {one.account_id: (one.usable, one.reason) for one in result.candidates}
    assert reasons == {
        "a1": (True, ""),
        "a2": (False, "CANNOT_READ"),
        "a3": (False, "CANNOT_POST"),
        "a4": (False, "NOT_RUNNING"),
        "a5": (False, "NOT_CHECKED"),
    }
    assert not result.pinned


def test_a_group_is_for_one_account_only() -> None:
    group = replace(FOUND, source=replace(SOURCE, kind="group"))
    assert planned(SPEC, replace(group, target=replace(TARGET, can_post=False)), group).pinned == "a2"


@pytest.mark.parametrize(
    ("found", "reason", "kind"),
    [
        ([], "NO_ACCOUNT_RUNNING", RefusalKind.UNAVAILABLE),
        ([OrderNotDone("LINK_DOWN")], "NO_ACCOUNT_RUNNING", RefusalKind.UNAVAILABLE),
        ([OrderRefused(400, "CHANNEL_INVALID")], "NO_ACCOUNT_RUNNING", RefusalKind.UNAVAILABLE),
        (
            [replace(FOUND, source=ChatFacts(error="USERNAME_NOT_OCCUPIED"))],
            "CHAT_NOT_FOUND",
            RefusalKind.NOT_FOUND,
        ),
        (
            [replace(FOUND, source=replace(SOURCE, can_read=False))],
            "NO_ACCOUNT_CAN_READ",
            RefusalKind.FAILED_PRECONDITION,
        ),
        (
            [replace(FOUND, target=replace(TARGET, can_post=False))],
            "NO_ACCOUNT_CAN_POST",
            RefusalKind.FAILED_PRECONDITION,
        ),
        (
            [replace(FOUND, target=replace(TARGET, kind="user"))],
            "PRIVATE_TARGET",
            RefusalKind.FAILED_PRECONDITION,
        ),
        (
            [replace(FOUND, source=replace(SOURCE, protected=True))],
            "CHAT_PROTECTED",
            RefusalKind.FAILED_PRECONDITION,
        ),
        ([replace(FOUND, first_id=0, last_id=0)], "EMPTY_RANGE", RefusalKind.FAILED_PRECONDITION),
        (
            [replace(FOUND, target=replace(TARGET, chat_id=-1001))],
            "INVALID_TRANSFER",
            RefusalKind.INVALID_ARGUMENT,
        ),
    ],
)
def test_what_cannot_be_done_is_refused(found: list[Inspection], reason: str, kind: RefusalKind) -> None:
    result = refused(SPEC, *found)
    assert (result.reason, result.kind) == (reason, kind)
    assert result.sentence


def test_a_circle_of_following_transfers_is_refused() -> None:
    follow = replace(SPEC, follow=True)
    back = [Following(-1002, -1003), Following(-1003, -1001)]
    assert refused(follow, FOUND, following=back).reason == "TRANSFER_CIRCLE"
    assert planned(follow, FOUND, following=back[:1])
    assert planned(SPEC, FOUND, following=back)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"source": " "}, "spec.source"),
        ({"target": "@Source"}, "spec.target"),
        ({"range_kind": "ids", "range_first": 0, "range_last": 5}, "spec.ids"),
        ({"range_kind": "ids", "range_first": 9, "range_last": 5}, "spec.ids"),
        ({"range_kind": "last", "range_last": -3}, "spec.last"),
        ({"range_kind": "dates", "range_since": 100.0, "range_until": 50.0}, "spec.dates"),
        ({"parallel": 17}, "spec.parallel"),
        ({"max_per_hour": -1}, "spec.max_per_hour"),
        ({"topic_id": -1}, "spec.topic_id"),
        ({"drop_captions": True}, "spec.drop_captions"),
        ({"follow": True, "range_kind": "ids", "range_first": 1, "range_last": 5}, "spec.follow"),
    ],
)
def test_bad_input_names_its_field(changes: dict[str, Any], field: str) -> None:
    wrong = check(replace(SPEC, **changes))
    assert wrong is not None
    assert (wrong.field, wrong.kind) == (field, RefusalKind.INVALID_ARGUMENT)


def test_good_input_is_accepted() -> None:
    assert check(SPEC) is None
