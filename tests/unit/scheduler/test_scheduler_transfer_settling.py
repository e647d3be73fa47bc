"""What traces prove: all of a batch once and in order, nothing of it, or nothing at all."""

from dataclasses import replace

import pytest

from services.scheduler.domain.transfers.batch import (
    TRANSITIONS,
    By,
    IllegalMoveError,
    RandomIds,
    batch_of,
    move,
)
from services.scheduler.domain.transfers.orders import Looked, MessageTrace, OrderRefused
from services.scheduler.domain.transfers.records import BatchRecord, BatchState
from services.scheduler.domain.transfers.refusals import Meaning, meaning
from services.scheduler.domain.transfers.settling import Finding, Sought, judge

SOURCE = -1001
FORWARDED = Sought((1, 2, 3), SOURCE, numbered=True, copied=False, sender_ids=frozenset({7, -1002}))
COPIED = replace(FORWARDED, numbered=False, copied=True)
FROM_GROUP = replace(FORWARDED, numbered=False)


def header(at: int, of: int, sender: int = 7) -> MessageTrace:
    return MessageTrace(at, sender_id=sender, forward_chat_id=SOURCE, forward_message_id=of)


def text(
    at: int, words: str, *, sender: int = 7, grouped: int = 0, media: int = 0, author: int = 0
) -> MessageTrace:
    return MessageTrace(
        at,
        sender_id=sender,
        text_hash=words.encode(),
        grouped_id=grouped,
        media_id=media,
        forward_chat_id=author,
    )


THERE = [text(1, "a", sender=0), text(2, "b", sender=0), text(3, "c", sender=0)]


def test_forward_headers_name_all_of_it() -> None:
    found = judge(FORWARDED, Looked([header(51, 1), header(52, 2), header(53, 3)], THERE, complete=True))
    assert (found.finding, found.target_ids) == (Finding.ALL, {1: 51, 2: 52, 3: 53})


def test_found_is_found_although_more_was_not_read() -> None:
    found = judge(FORWARDED, Looked([header(51, 1), header(52, 2), header(53, 3)], THERE, complete=False))
    assert found.finding is Finding.ALL


def test_nothing_is_nothing_only_when_all_was_read() -> None:
    others = [text(51, "hello", sender=99)]
    assert judge(FORWARDED, Looked(others, THERE, complete=True)).finding is Finding.NONE
    assert judge(FORWARDED, Looked(others, THERE, complete=False)).finding is Finding.UNCLEAR


@pytest.mark.parametrize(
    "target",
    [
        [header(51, 1), header(52, 2)],
        [header(51, 1), header(52, 2), header(53, 3), header(54, 1)],
        [header(51, 2), header(52, 1), header(53, 3)],
    ],
    ids=["a part", "doubled", "another order"],
)
def test_anything_else_is_no_evidence(target: list[MessageTrace]) -> None:
    assert judge(FORWARDED, Looked(target, THERE, complete=True)).finding is Finding.UNCLEAR


def test_somebody_elses_forward_of_the_same_message_does_not_count() -> None:
    target = [header(51, 1, sender=99), header(52, 1), header(53, 2), header(54, 3)]
    assert judge(FORWARDED, Looked(target, THERE, complete=True)).target_ids == {1: 52, 2: 53, 3: 54}


def test_a_forwarded_forward_keeps_its_first_header() -> None:
    source = [replace(THERE[0], forward_chat_id=-1009, forward_message_id=40), *THERE[1:]]
    first = MessageTrace(51, sender_id=7, forward_chat_id=-1009, forward_message_id=40)
    found = judge(FORWARDED, Looked([first, header(52, 2), header(53, 3)], source, complete=True))
    assert found.finding is Finding.ALL


def test_forwards_from_a_group_are_known_by_their_content() -> None:
    target = [text(51, "a", author=5), text(52, "b", author=6), text(53, "c")]
    assert judge(FROM_GROUP, Looked(target, THERE, complete=True)).finding is Finding.ALL


def test_copies_are_known_by_their_content_in_order() -> None:
    target = [text(50, "z"), text(51, "a"), text(52, "b", sender=99), text(53, "b"), text(54, "c")]
    assert judge(COPIED, Looked(target, THERE, complete=True)).target_ids == {1: 51, 2: 53, 3: 54}


def test_a_forward_is_no_copy() -> None:
    target = [text(51, "a", author=5), text(52, "b", author=5), text(53, "c", author=5)]
    assert judge(COPIED, Looked(target, THERE, complete=True)).finding is Finding.NONE


def test_copies_of_the_same_words_are_ambiguous() -> None:
    source = [text(1, "ok"), text(2, "ok"), text(3, "c")]
    target = [text(51, "ok"), text(52, "ok"), text(53, "ok"), text(54, "c")]
    assert judge(COPIED, Looked(target, source, complete=True)).finding is Finding.UNCLEAR


def test_copied_albums_must_have_the_same_shape() -> None:
    source = [text(1, "a", grouped=9), text(2, "b", grouped=9), text(3, "c")]
    whole = [text(51, "a", grouped=70), text(52, "b", grouped=70), text(53, "c")]
    torn = [text(51, "a"), text(52, "b"), text(53, "c")]
    assert judge(COPIED, Looked(whole, source, complete=True)).finding is Finding.ALL
    assert judge(COPIED, Looked(torn, source, complete=True)).finding is Finding.UNCLEAR


def test_dropped_captions_are_not_compared() -> None:
    source = [text(1, "caption", media=5), text(2, "b"), text(3, "c")]
    target = [text(51, "", media=5), text(52, "b"), text(53, "c")]
    assert judge(COPIED, Looked(target, source, complete=True)).finding is Finding.UNCLEAR
    dropped = replace(COPIED, captions_dropped=True)
    assert judge(dropped, Looked(target, source, complete=True)).finding is Finding.ALL


def test_what_is_gone_from_the_source_is_not_missed() -> None:
    found = judge(FORWARDED, Looked([header(51, 1), header(53, 3)], [THERE[0], THERE[2]], complete=True))
    assert (found.finding, found.gone) == (Finding.ALL, (2,))


def test_copies_of_what_is_gone_cannot_be_looked_for() -> None:
    assert judge(COPIED, Looked([], [], complete=True)).finding is Finding.UNCLEAR


def record(state: BatchState) -> BatchRecord:
    return BatchRecord("tr_1", 1, 7, state, "a1", (1,), (5,), 0, 1)


def test_only_the_tables_transitions_exist() -> None:
    for before in BatchState:
        for after in BatchState:
            for by in By:
                if by in TRANSITIONS.get((before, after), frozenset()):
                    batch = record(before)
                    move(batch, after, by)
                    assert batch.state is after
                else:
                    with pytest.raises(IllegalMoveError):
                        move(record(before), after, by)


def test_nothing_leaves_settled_and_nothing_goes_back() -> None:
    assert not [pair for pair in TRANSITIONS if pair[0] is BatchState.SETTLED]
    order = sorted(BatchState, key=lambda state: state.value)
    assert all(order.index(before) < order.index(after) for before, after in TRANSITIONS)


def test_random_ids_are_a_function_of_transfer_target_and_message() -> None:
    makers = [RandomIds(transfer, target) for transfer in "ab" for target in (1, 2)]
    ids = {maker.of(one) for maker in makers for one in range(500)}
    assert len(ids) == 2000
    assert 0 not in ids
    assert all(-(2**63) <= one < 2**63 for one in ids)
    assert RandomIds("tr_1", -1002).of(5) == 2417558346880721098


@pytest.mark.parametrize("name", ["tr_1/1/read/1.2", "inspect/abc", "tr_1/1/2", "tr_1/x/2/3", ""])
def test_other_orders_are_no_transmissions(name: str) -> None:
    assert batch_of(name) is None


@pytest.mark.parametrize(
    ("code", "name", "expected"),
    [
        (420, "FLOOD_WAIT_X", Meaning.WAIT),
        (420, "FLOOD_PREMIUM_WAIT_X", Meaning.WAIT),
        (420, "SLOWMODE_WAIT_X", Meaning.WAIT_CHAT),
        (400, "PEER_FLOOD", Meaning.VERDICT),
        (420, "FROZEN_METHOD_INVALID", Meaning.VERDICT),
        (401, "USER_DEACTIVATED", Meaning.VERDICT),
        (401, "AUTH_KEY_UNREGISTERED", Meaning.VERDICT),
        (400, "CHAT_FORWARDS_RESTRICTED", Meaning.PROTECTED),
        (406, "CHAT_FORWARDS_RESTRICTED", Meaning.PROTECTED),
        (403, "CHAT_WRITE_FORBIDDEN", Meaning.CANNOT_POST),
        (400, "CHAT_ADMIN_REQUIRED", Meaning.CANNOT_POST),
        (400, "USER_BANNED_IN_CHANNEL", Meaning.CANNOT_POST),
        (400, "CHANNEL_PRIVATE", Meaning.CANNOT_READ),
        (406, "CHANNEL_PRIVATE", Meaning.CANNOT_READ),
        (400, "SLOWMODE_MULTI_MSGS_DISABLED", Meaning.ONE_BY_ONE),
        (500, "RANDOM_ID_DUPLICATE", Meaning.DELIVERED),
        (400, "MESSAGE_ID_INVALID", Meaning.CULPRIT),
        (400, "MESSAGE_IDS_EMPTY", Meaning.CULPRIT),
        (400, "MEDIA_EMPTY", Meaning.CULPRIT),
        (500, "INTERDC_X_CALL_ERROR", Meaning.UNKNOWN),
        (-503, "Timeout", Meaning.UNKNOWN),
    ],
)
def test_what_errors_mean(code: int, name: str, expected: Meaning) -> None:
    assert meaning(OrderRefused(code, name)) is expected
