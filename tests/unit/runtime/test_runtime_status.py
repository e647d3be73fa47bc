"""Errors to google.rpc.Status and back, without a connection."""

from datetime import timedelta

import grpc
import pytest
import structlog
from google.rpc import error_details_pb2, status_pb2
from grpc.aio import AioRpcError, Metadata
from hypothesis import given
from hypothesis import strategies as st

from services.runtime import errors
from services.runtime.errors import TgfleetError
from services.runtime.status import DETAILS_KEY, from_rpc_error, to_status
from tests.unit.runtime.test_runtime_errors import ON_THE_WIRE


def over_the_wire(status: status_pb2.Status) -> AioRpcError:
    """What a client gets for a status."""
    code = next(code for code in grpc.StatusCode if code.value[0] == status.code)
    trailing = Metadata((DETAILS_KEY, status.SerializeToString()))
    return AioRpcError(code, Metadata(), trailing, details=status.message)


def make(cls: type[TgfleetError], message: str, **more: object) -> TgfleetError:
    extra = {"field": "f"} if cls is errors.InvalidArgument else {}
    return cls(message, **extra, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("cls", ON_THE_WIRE)
def test_there_and_back_again(cls: type[TgfleetError]) -> None:
    sent = make(
        cls, "A sentence.", reason="SOME_REASON", metadata={"k": "v"}, retry_after=timedelta(minutes=3)
    )
    back = from_rpc_error(over_the_wire(to_status(sent)))
    assert type(back) is cls
    assert (back.message, back.reason, back.metadata) == (sent.message, sent.reason, sent.metadata)
    assert (back.field, back.retry_after) == (sent.field, sent.retry_after)


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK])
def test_a_status_without_details_becomes_something_sensible(code: grpc.StatusCode) -> None:
    error = from_rpc_error(AioRpcError(code, Metadata(), Metadata(), details="ipv4:10.0.0.1:5 internal text"))
    expected = dict.fromkeys(("UNKNOWN", "OUT_OF_RANGE", "DATA_LOSS"), "INTERNAL")
    expected["CANCELLED"] = "UNAVAILABLE"  # by a server that stops
    assert error.code == expected.get(code.name, code.name)
    assert "10.0.0.1" not in error.message
    assert error.message.endswith(".")


@pytest.mark.parametrize("details", [b"\xff\xff\xff", b""])
def test_broken_details_are_no_details(details: bytes) -> None:
    error = from_rpc_error(
        AioRpcError(grpc.StatusCode.NOT_FOUND, Metadata(), Metadata((DETAILS_KEY, details)))
    )
    assert isinstance(error, errors.NotFound)


def test_another_systems_details_are_not_taken_for_ours() -> None:
    status = status_pb2.Status(code=5, message="their text")
    status.details.add().Pack(error_details_pb2.ErrorInfo(reason="THEIRS", domain="example.org"))
    error = from_rpc_error(over_the_wire(status))
    assert isinstance(error, errors.NotFound)
    assert error.reason == "NOT_FOUND"
    assert "their text" not in error.message


@pytest.mark.parametrize(
    "wrap", [lambda e: e, lambda e: ExceptionGroup("g", [e]), lambda e: BaseExceptionGroup("g", [e])]
)
def test_an_unknown_exception_leaks_nothing_and_is_logged(wrap) -> None:  # type: ignore[no-untyped-def]
    with structlog.testing.capture_logs() as logs:
        status = to_status(wrap(ZeroDivisionError("canary")))
    assert b"canary" not in status.SerializeToString()
    assert b"ZeroDivision" not in status.SerializeToString()
    error = from_rpc_error(over_the_wire(status))
    assert isinstance(error, errors.Internal)
    assert logs[0]["incident"] == error.metadata["incident"]
    assert error.metadata["incident"] in error.message


def test_in_a_group_ours_speaks_first() -> None:
    group = ExceptionGroup(
        "g", [ValueError("x"), ExceptionGroup("h", [errors.NotFound("Gone."), errors.Aborted("a")])]
    )
    assert to_status(group).message == "Gone."


def test_a_phone_number_in_a_sentence_is_masked_on_the_way_out() -> None:
    status = to_status(errors.NotFound("No account +99966123456.", metadata={"name": "+99966123456"}))
    assert b"99966123456" not in status.SerializeToString()
    assert status.message == "No account +99•••••56."


def test_a_long_text_of_wide_characters_is_cut() -> None:
    wide = chr(0x1F600) * 5000
    status = to_status(errors.InvalidArgument(wide, field=wide, metadata={"k": wide}))
    assert len(status.SerializeToString()) * 4 / 3 + len(status.message.encode()) * 3 < 8192 - 500
    assert status.message.startswith(wide[:20])


def test_too_much_metadata_is_left_out_but_never_the_reason() -> None:
    error = errors.NotFound("No.", reason="NOBODY", metadata={f"key{i}": "x " * 150 for i in range(40)})
    status = to_status(error)
    assert len(status.SerializeToString()) < 3500
    assert from_rpc_error(over_the_wire(status)).reason == "NOBODY"


def test_a_lone_surrogate_does_no_harm() -> None:
    assert to_status(errors.NotFound("file " + chr(0xDCFF))).message == "file ?"


@given(
    message=st.text(max_size=5000),
    metadata=st.dictionaries(st.text(min_size=1, max_size=30), st.text(max_size=2000), max_size=30),
    field=st.text(max_size=1000),
)
def test_no_error_is_too_big_for_a_clients_headers(
    message: str, metadata: dict[str, str], field: str
) -> None:
    """The default limit is 8 KiB; base64 adds a third, the sentence travels once more, percent-encoded."""
    status = to_status(errors.InvalidArgument(message, field=field, metadata=metadata))
    assert len(status.SerializeToString()) * 4 / 3 + len(status.message.encode()) * 3 < 8192 - 500


def test_a_negative_time_to_retry_is_not_sent() -> None:
    status = to_status(errors.Unavailable("Later.", retry_after=timedelta(seconds=-1)))
    back = from_rpc_error(over_the_wire(status))
    assert back.retry_after == timedelta(0)
