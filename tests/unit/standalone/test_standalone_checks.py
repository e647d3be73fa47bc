"""The demo's own judgement: it must notice when the fleet says something else than what happened."""

from __future__ import annotations

import pytest

from services.standalone.demo.checks import differs, forbidden, journal_denies, missing
from services.standalone.demo.samples import SAMPLES, Sample, Source
from tgfleet.gateway.v1 import result_pb2
from tgfleet.testdc.v1 import control_pb2

KEY = "00000000000000aa"
NAMES = {sample.name: sample for sample in SAMPLES}


def call(
    method: str, outcome: int = control_pb2.OUTCOME_OK, error: str = "", peer: str = "us"
) -> control_pb2.Record:
    return control_pb2.Record(
        kind=control_pb2.RECORD_KIND_CALL,
        auth_key_id=KEY,
        method=method,
        outcome=outcome,
        error=error,
        peer=peer,  # type: ignore[arg-type]
    )


USER = call("users.getFullUser")
REVOKED = call("help.getConfig", control_pb2.OUTCOME_ERROR, "SESSION_REVOKED")
MUTE = call("help.getConfig", control_pb2.OUTCOME_NO_ANSWER)
STRANGER = call("users.getFullUser", peer="stranger")
DUPLICATED = call("updates.getState", control_pb2.OUTCOME_ERROR, "AUTH_KEY_DUPLICATED")


@pytest.mark.parametrize(
    ("name", "records", "agrees"),
    [
        ("alice", [USER], True),
        ("alice", [], False),
        ("alice", [REVOKED], False),
        ("elena", [], True),
        ("elena", [USER], False),
        ("henri", [REVOKED], True),
        ("henri", [USER], False),
        ("henri", [], False),
        ("olga", [MUTE], True),
        ("olga", [], False),
        ("olga", [MUTE, USER], False),
        ("kirsten", [STRANGER, DUPLICATED], True),
        ("kirsten", [STRANGER], False),
    ],
)
def test_the_journal_is_believed(name: str, records: list[control_pb2.Record], agrees: bool) -> None:
    denial = journal_denies(NAMES[name], KEY, "stranger", records)
    assert (denial == "") is agrees, denial
    assert name in denial or agrees


def test_another_outcome_or_reason_is_noticed() -> None:
    result = result_pb2.AccountResult(name="a", outcome=result_pb2.OUTCOME_STARTED)
    assert differs(result, result_pb2.OUTCOME_STARTED, 0) == ""
    assert differs(result, result_pb2.OUTCOME_FAILED, 0) == "a: STARTED instead of FAILED"
    assert "DISABLED" in differs(result, result_pb2.OUTCOME_SKIPPED, result_pb2.REASON_DISABLED)


def test_every_account_has_exactly_one_result() -> None:
    samples = [Sample(name="a", story=""), Sample(name="b", story="")]
    a = result_pb2.AccountResult(name="a")
    assert len(missing(samples, [a])) == 1
    assert len(missing(samples, [a, a])) == 2
    assert missing(samples, [a, result_pb2.AccountResult(name="b")]) == []


def test_a_key_in_two_places_is_allowed_only_where_a_stranger_was_let_in() -> None:
    found = control_pb2.Violation(kind=control_pb2.VIOLATION_KIND_OVERLAP, sentence="twice", auth_key_id=KEY)
    hint = control_pb2.Violation(kind=control_pb2.VIOLATION_KIND_STALE_OPEN, sentence="hint", auth_key_id=KEY)
    assert forbidden([found, hint], frozenset()) == ["twice"]
    assert forbidden([found, hint], frozenset({KEY})) == []


def test_the_samples_cover_the_cases_of_the_issue() -> None:
    reasons = {sample.reason for sample in SAMPLES} - {result_pb2.REASON_UNSPECIFIED}
    names = {result_pb2.Reason.Name(reason).removeprefix("REASON_") for reason in reasons}  # type: ignore[arg-type]
    assert names == {
        "DISABLED", "NEEDS_LOGIN", "SESSION_INVALID", "SESSION_REVOKED", "SESSION_MISSING", "ACCOUNT_FROZEN",
        "HOME_WORKER_OFFLINE", "AUTH_KEY_DUPLICATED", "FLOOD_WAIT", "ACCOUNT_BANNED", "CONNECT_TIMEOUT",
    }  # fmt: skip
    assert sum(sample.runs for sample in SAMPLES) >= 4
    assert any(sample.runs and sample.password for sample in SAMPLES)
    assert len({sample.name for sample in SAMPLES}) == len(SAMPLES)
    assert sum(sample.source is Source.GARBAGE_FILE for sample in SAMPLES) == 1
