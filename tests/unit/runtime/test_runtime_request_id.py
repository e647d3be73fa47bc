"""Which request ids are accepted from callers."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.runtime.request_id import (
    HEADER,
    call_metadata,
    current_request_id,
    enter_call,
    given_request_id,
    set_request_id,
)


def accepted_from(metadata: list[tuple[str, str | bytes]] | None) -> str:
    enter_call(metadata)
    try:
        return current_request_id()
    finally:
        set_request_id("")


@pytest.mark.parametrize("good", ["a", "x" * 128, "6f1c0f4e-0d5c-4c5d-9c55-0f5f3a2b1c0d", "~!#"])
def test_a_good_one_is_kept(good: str) -> None:
    assert accepted_from([("other", "y"), (HEADER, good)]) == good


@given(st.text() | st.binary())
def test_whatever_comes_the_id_is_short_and_printable(given_id: str | bytes) -> None:
    accepted = accepted_from([(HEADER, given_id)])
    assert 0 < len(accepted) <= 128
    assert accepted.isascii()
    assert accepted.isprintable()
    assert " " not in accepted


@pytest.mark.parametrize(
    "metadata", [None, [], [(HEADER, "")], [(HEADER, "new\nline")], [(HEADER, "x" * 129)]]
)
def test_without_a_good_one_there_is_a_fresh_one(metadata: list[tuple[str, str]] | None) -> None:
    assert accepted_from(metadata) != accepted_from(metadata)


def test_it_is_passed_on_with_what_else_is_to_be_sent() -> None:
    set_request_id("abc")
    assert call_metadata(("authorization", "x")) == ((HEADER, "abc"), ("authorization", "x"))
    set_request_id("")
    assert dict(call_metadata())[HEADER]


async def test_one_call_has_one_id_in_all_its_tasks() -> None:
    async def id_of_a_call() -> set[str]:
        enter_call([("other", "y")])
        assert given_request_id() == ""
        child = asyncio.create_task(child_id())  # asks first, in a context of its own
        return {await child, current_request_id(), dict(call_metadata())[HEADER]}

    async def child_id() -> str:
        return current_request_id()

    first, second = await asyncio.gather(id_of_a_call(), id_of_a_call())
    assert len(first) == len(second) == 1
    assert first != second


def test_what_the_caller_gave_is_told_from_what_was_made() -> None:
    enter_call([(HEADER, "abc")])
    assert (given_request_id(), current_request_id()) == ("abc", "abc")
    set_request_id("")
    assert (given_request_id(), current_request_id()) == ("", "")
