"""Words for machine states, and nothing that could steer a terminal."""

from datetime import UTC, datetime, timedelta

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from services.admin import humanise
from services.admin.event_words import event_words
from services.admin.plain_json import dumps, plain
from tgfleet.gateway.v1 import account_pb2, event_pb2, fleet_pb2, result_pb2, token_pb2


@pytest.mark.parametrize(
    ("words", "enum"),
    [
        (humanise.OUTCOMES, result_pb2.Outcome),
        (humanise.REASONS, result_pb2.Reason),
        (humanise.SESSION_STATES, fleet_pb2.SessionState),
        (humanise.WORKER_STATES, fleet_pb2.WorkerState),
        (humanise.LOCATIONS, account_pb2.SessionLocation),
        (humanise.ROLES, token_pb2.Role),
    ],
)
def test_every_value_of_the_contract_has_words(words: dict[int, str], enum: object) -> None:
    values = set(enum.values()) - {0}  # type: ignore[attr-defined]
    assert values <= set(words)
    assert not any("_" in text for text in words.values())


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (-3, "0.0 s"),
        (0.44, "0.4 s"),
        (25, "25 s"),
        (250, "4 min 10 s"),
        (7200, "2 h"),
        (90000, "1 d 1 h"),
    ],
)
def test_spans(seconds: float, text: str) -> None:
    assert humanise.span(timedelta(seconds=seconds)) == text


def test_moments_say_how_far_they_are() -> None:
    now = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
    stamp = Timestamp()
    stamp.FromDatetime(now + timedelta(seconds=25))
    assert humanise.moment(stamp, now).endswith(":25 (in 25 s)")
    stamp.FromDatetime(now - timedelta(days=2))
    assert humanise.moment(stamp, now).endswith("(2 d ago)")
    assert humanise.moment(stamp, now).startswith("2026-11-19 ")


def test_nothing_printable_steers_a_terminal() -> None:
    hostile = "a\x1b[31m\x07\r\nb\u202ec\u2066d\x9be"
    shown = humanise.printable(hostile)
    assert shown.isprintable()
    assert shown.startswith("a")


def test_json_has_stable_names_and_plain_values() -> None:
    result = result_pb2.AccountResult(name="Юля \u202e\x1b", outcome=result_pb2.OUTCOME_STARTED)
    result.elapsed.FromMilliseconds(1500)
    shown = plain(result)
    assert shown == {
        "account_id": "",
        "name": "Юля \u202e\x1b",
        "outcome": "STARTED",
        "reason": None,
        "detail": "",
        "action": "",
        "retry_time": None,
        "worker_id": "",
        "elapsed": 1.5,
    }
    assert dumps(shown["name"]) == '"Юля \\u202e\\u001b"'
    account = account_pb2.Account(labels={"b": "1", "a": "2"}, user_id=2**40)
    assert list(plain(account)["labels"]) == ["a", "b"]
    assert plain(account)["user_id"] == 2**40


def test_each_kind_of_event_has_words_of_its_own() -> None:
    oneof = event_pb2.Event.DESCRIPTOR.oneofs_by_name["kind"]
    for field in oneof.fields:
        event = event_pb2.Event()
        getattr(event, field.name).SetInParent()
        assert event_words(event) != event_words(event_pb2.Event())
    assert event_words(event_pb2.Event(detail="As it says.")) == "As it says."
    changed = event_pb2.SessionChanged(state="FAILED", reason=result_pb2.REASON_PROXY_ERROR)
    said = event_words(event_pb2.Event(session_changed=changed))
    assert said == "The session is failed: its proxy does not work."
