"""The judge reads violations off records alone; each test writes the records by hand."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from services.testdc.domain.journal import Outcome, Record, RecordKind, digest
from services.testdc.domain.judge import ViolationKind, judge, lost, repeated
from services.testdc.domain.keyuse import KeyUse

KEY = "00112233445566aa"


class Story:
    """Writes a journal, one second between records unless told otherwise."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    def _add(self, kind: RecordKind, at: float | None = None, **fields: Any) -> Story:
        seq = len(self.records) + 1
        self.records.append(Record(seq=seq, time=float(seq) if at is None else at, kind=kind, **fields))
        return self

    def opened(self, connection: int, *, media: bool = False) -> Story:
        """A connection shows its key."""
        return self._add(
            RecordKind.KEY_BOUND,
            connection_id=connection,
            auth_key_id=KEY,
            peer=f"127.0.0.1:{connection}",
            media=media,
        )

    def closed(self, connection: int) -> Story:
        """A connection goes."""
        return self._add(RecordKind.CONNECTION_CLOSED, connection_id=connection, auth_key_id=KEY)

    def call(self, connection: int, method: str = "users.getUsers", **fields: Any) -> Story:
        """A request."""
        fields = {"outcome": Outcome.OK, "user_id": 7, **fields}
        peer = f"127.0.0.1:{connection}"
        return self._add(
            RecordKind.CALL, connection_id=connection, auth_key_id=KEY, peer=peer, method=method, **fields
        )

    def kinds(self) -> list[str]:
        """What the judge finds."""
        return [violation.kind.value for violation in judge(self.records).violations]


def test_one_holder_after_the_other_is_fine() -> None:
    assert Story().opened(1).call(1).closed(1).opened(2).call(2).call(2).kinds() == []


def test_a_takeover_while_the_first_is_silent_is_only_stale() -> None:
    """A frozen holder keeps its socket open: nobody used the key twice."""
    assert Story().opened(1).call(1).opened(2).call(2).call(2).closed(1).kinds() == ["stale_open"]


def test_the_first_speaks_again_while_both_are_open() -> None:
    verdict = judge(Story().opened(1).call(1).opened(2).call(2).call(1, "messages.sendMessage").records)
    assert [v.kind for v in verdict.violations] == [
        ViolationKind.STALE_OPEN,
        ViolationKind.OVERLAP,
        ViolationKind.DUPLICATED,
    ]
    assert verdict.overlaps[0].seqs == (2, 4, 5)
    assert "messages.sendMessage" in verdict.overlaps[0].sentence
    assert "127.0.0.1:1" in verdict.overlaps[0].sentence


def test_the_first_speaks_again_after_the_second_has_gone() -> None:
    """Telegram may let it pass; two holders used the key all the same."""
    story = Story().opened(1).call(1).opened(2).call(2).closed(2).call(1)
    assert story.kinds() == ["stale_open", "overlap"]


def test_a_ping_is_use_of_the_key() -> None:
    story = Story().opened(1).call(1).opened(2).call(2).call(1, "ping", service=True)
    assert "overlap" in story.kinds()


def test_each_return_of_the_first_counts_once() -> None:
    story = Story().opened(1).call(1).opened(2).call(2).call(1).call(1).call(1)
    assert story.kinds().count("overlap") == 1


def test_media_connections_may_be_used_side_by_side() -> None:
    story = Story().opened(1).call(1).opened(2, media=True).call(2, media=True).call(1).call(2, media=True)
    assert story.kinds() == []


def test_other_keys_do_not_mix() -> None:
    story = Story().opened(1).call(1)
    other = Record(seq=3, time=3, kind=RecordKind.CALL, connection_id=9, auth_key_id="ff" * 8, method="ping")
    story.records.append(other)
    assert story.call(1).kinds() == []


def test_a_call_inside_a_wait_is_told() -> None:
    story = Story().opened(1).call(1, outcome=Outcome.FLOOD_WAIT, wait=10, at=100.0)
    story.call(1, at=109.0)
    verdict = judge(story.records)
    assert [v.kind for v in verdict.violations] == [ViolationKind.FLOODED]
    assert verdict.flooded[0].user_id == 7


def test_a_call_after_the_wait_or_of_another_method_is_fine() -> None:
    story = Story().opened(1).call(1, outcome=Outcome.FLOOD_WAIT, wait=10, at=100.0)
    story.call(1, "help.getConfig", at=101.0).call(1, at=110.0)
    assert story.kinds() == []


def test_a_wait_of_slow_mode_holds_in_its_chat() -> None:
    story = Story().opened(1)
    story.call(1, outcome=Outcome.ERROR, error="SLOWMODE_WAIT_10", wait=10, target_chat="channel:5", at=100.0)
    story.call(1, target_chat="channel:6", at=101.0)
    assert story.kinds() == []
    story.call(1, target_chat="channel:5", at=109.0)
    assert story.kinds() == ["flooded"]


def test_the_longest_wait_counts() -> None:
    story = Story().opened(1)
    story.call(1, outcome=Outcome.FLOOD_WAIT, wait=100, at=100.0)
    story.call(1, outcome=Outcome.FLOOD_WAIT, wait=5, at=120.0)
    story.call(1, at=150.0)
    assert story.kinds() == ["flooded", "flooded"]


def test_a_wait_handed_out_late_counts_from_its_answer() -> None:
    story = Story().opened(1).call(1, outcome=Outcome.PENDING, at=100.0)
    answer = Record(
        seq=3, time=105.0, kind=RecordKind.ANSWER, call_seq=2, connection_id=1, auth_key_id=KEY,
        user_id=7, method="users.getUsers", outcome=Outcome.FLOOD_WAIT, wait=10,
    )  # fmt: skip
    story.records.append(answer)
    assert story.call(1, at=114.0).kinds() == ["flooded"]


def _message(seq: int, text: str, chat: str = "channel:1") -> Record:
    return Record(
        seq=seq, kind=RecordKind.MESSAGE, user_id=7, chat=chat, message_id=seq, text_digest=digest(text)
    )


def test_repeated_messages_are_found_per_chat() -> None:
    records = [_message(1, "a"), _message(2, "b"), _message(3, "a", "channel:2"), _message(4, "a")]
    found = repeated(records, "channel:1")
    assert [violation.seqs for violation in found] == [(1, 4)]
    assert repeated(records, "channel:2") == []


def test_lost_messages_are_found() -> None:
    records = [_message(1, "a"), _message(2, "b")]
    found = lost(records, "channel:1", {digest("a"): 1, digest("b"): 2, digest("c"): 1})
    assert len(found) == 2
    assert "1 of 2" in found[0].sentence


@given(st.lists(st.tuples(st.sampled_from("ABC"), st.booleans()), max_size=20))
def test_judge_and_data_centre_agree_on_telegrams_rule(steps: list[tuple[str, bool]]) -> None:
    """The judge over records and the rule of the data centre share no code. True closes a link."""
    use, story, caught, links = KeyUse(), Story(), 0, {}
    for name, closes in steps:
        if name not in links:
            links[name] = len(story.records) + 1
            story.opened(links[name])
        if closes:
            use.closed(links[name])
            story.closed(links.pop(name))
        else:
            caught += use.request(links[name]) is not None
            story.call(links[name])
    verdict = judge(story.records)
    assert len(verdict.duplicated) == caught
    assert len(verdict.overlaps) >= caught
