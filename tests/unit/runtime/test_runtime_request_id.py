"""Which request ids are accepted from callers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.runtime.request_id import HEADER, accept_request_id, call_metadata, set_request_id


@pytest.mark.parametrize("good", ["a", "x" * 128, "6f1c0f4e-0d5c-4c5d-9c55-0f5f3a2b1c0d", "~!#"])
def test_a_good_one_is_kept(good: str) -> None:
    assert accept_request_id([("other", "y"), (HEADER, good)]) == good


@given(st.text() | st.binary())
def test_whatever_comes_the_id_is_short_and_printable(given_id: str | bytes) -> None:
    accepted = accept_request_id([(HEADER, given_id)])
    assert 0 < len(accepted) <= 128
    assert accepted.isascii()
    assert accepted.isprintable()
    assert " " not in accepted


@pytest.mark.parametrize(
    "metadata", [None, [], [(HEADER, "")], [(HEADER, "new\nline")], [(HEADER, "x" * 129)]]
)
def test_without_a_good_one_there_is_a_fresh_one(metadata: list[tuple[str, str]] | None) -> None:
    assert accept_request_id(metadata) != accept_request_id(metadata)


def test_it_is_passed_on_with_what_else_is_to_be_sent() -> None:
    set_request_id("abc")
    assert call_metadata(("authorization", "x")) == ((HEADER, "abc"), ("authorization", "x"))
    set_request_id("")
    assert dict(call_metadata())[HEADER]
