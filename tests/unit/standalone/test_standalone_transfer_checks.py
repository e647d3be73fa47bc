"""The demo's judgement of its transfer: it must notice what went wrong."""

from __future__ import annotations

import pytest

from services.standalone.demo.transfer_checks import FORWARD, faults, moved
from tgfleet.testdc.v1 import control_pb2 as pb

SOURCE, TARGET = "channel:1", "channel:2"
CHAT = [
    pb.Message(message_id=1, service="create"),
    *(pb.Message(message_id=number) for number in (2, 3)),
    *(pb.Message(message_id=number, grouped_id=77) for number in (4, 5, 6)),
    pb.Message(message_id=7),
]
ALL = [2, 3, 4, 5, 6, 7]


def stored(source_ids: list[int]) -> list[pb.Record]:
    """The journal of messages that came in this order."""
    return [
        pb.Record(
            kind=pb.RECORD_KIND_MESSAGE,
            chat=TARGET,
            message_id=100 + place,
            source_chat=SOURCE,
            source_ids=[number],
        )
        for place, number in enumerate(source_ids)
    ]


def call(user_id: int = 5, wait: int = 0, inside: float = 0.0) -> pb.Record:
    return pb.Record(kind=pb.RECORD_KIND_CALL, method=FORWARD, user_id=user_id, wait=wait, inside_wait=inside)


def judged(came: list[int], *calls: pb.Record, floods: int = 0) -> list[str]:
    return faults(moved(CHAT, [*calls, *stored(came)], SOURCE, TARGET), floods)


def test_all_is_well() -> None:
    found = moved(CHAT, [call(wait=4), call(), *stored(ALL)], SOURCE, TARGET)
    assert faults(found, 1) == []
    assert (found.arrived, found.albums, found.calls, found.told_to_wait) == (6, 1, 2, {5: 4})


@pytest.mark.parametrize(
    ("came", "said"),
    [
        ([2, 3, 4, 5, 6], ["messages were lost (1): 7"]),
        ([], ["messages were lost (6): 2, 3, 4, 5, 6, ...", "albums were torn apart: 1"]),
        ([2, 2, 3, 4, 5, 6, 7], ["messages came more than once (1): 2"]),
        ([3, 2, 4, 5, 6, 7], ["the source's order was not kept"]),
        ([2, 3, 4, 5, 7, 6], ["the source's order was not kept", "albums were torn apart: 1"]),
        ([2, 3, 4, 6, 7], ["messages were lost (1): 5", "albums were torn apart: 1"]),
    ],
)
def test_what_went_wrong_is_said(came: list[int], said: list[str]) -> None:
    assert judged(came) == said


def test_messages_of_others_do_not_count() -> None:
    other = stored([2])
    other[0].source_chat = "channel:9"
    assert judged([3, 4, 5, 6, 7], *other) == ["messages were lost (1): 2"]


def test_calls_inside_a_wait_and_missing_waits_are_said() -> None:
    assert judged(ALL, call(inside=0.5)) == ["calls were made inside a wait: 1"]
    assert judged(ALL, call(user_id=5, wait=3), call(user_id=5, wait=2), floods=2) == [
        "accounts that were told to wait: 1 instead of 2"
    ]
