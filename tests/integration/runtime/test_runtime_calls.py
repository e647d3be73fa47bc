"""What a caller sees of errors, ids and ends, over a real connection, in all four kinds of call."""

import asyncio
import logging
from datetime import timedelta

import grpc
import pytest
import structlog
from google.protobuf.wrappers_pb2 import StringValue
from google.rpc import error_details_pb2, status_pb2

from services.runtime import errors, interceptor
from services.runtime.addresses import HostPort
from services.runtime.calls import open_call, remaining, translated_errors, unary
from services.runtime.channels import open_channel
from services.runtime.lifecycle import Lifecycle
from services.runtime.metrics import REGISTRY
from services.runtime.request_id import HEADER, current_request_id
from services.runtime.server import ServiceServer
from services.runtime.status import DETAILS_KEY, from_rpc_error
from tests.integration.runtime.conftest import ANY_PORT, Running
from tests.integration.runtime.echo import KINDS, SERVICE, Echo, EchoStub, add_echo, call_all

ERROR_CLASSES = [
    errors.NotFound,
    errors.AlreadyExists,
    errors.FailedPrecondition,
    errors.PermissionDenied,
    errors.Unauthenticated,
    errors.ResourceExhausted,
    errors.Aborted,
    errors.Unavailable,
    errors.DeadlineExceeded,
    errors.Unimplemented,
    errors.Internal,
]


@pytest.mark.parametrize("kind", KINDS)
async def test_answers_pass_through(running: Running, kind: str) -> None:
    assert (await call_all(running.stub, kind, "hello"))[-1] == "hello"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("error_class", ERROR_CLASSES)
async def test_every_error_arrives_as_itself(
    running: Running, kind: str, error_class: type[errors.TgfleetError]
) -> None:
    running.echo.failures["fail"] = lambda: error_class(
        "A sentence, with ünicode.",
        reason="A_REASON",
        metadata={"account_id": "acc_abcdefabcdef"},
        retry_after=timedelta(seconds=7.5),
    )
    with pytest.raises(error_class) as caught, translated_errors():
        await call_all(running.stub, kind, "fail")
    assert type(caught.value) is error_class
    assert caught.value.message == "A sentence, with ünicode."
    assert caught.value.reason == "A_REASON"
    assert caught.value.metadata == {"account_id": "acc_abcdefabcdef"}
    assert caught.value.retry_after == timedelta(seconds=7.5)


@pytest.mark.parametrize("kind", KINDS)
async def test_invalid_argument_names_the_field(running: Running, kind: str) -> None:
    running.echo.failures["fail"] = lambda: errors.InvalidArgument("Too long.", field="accounts[3].name")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call_all(running.stub, kind, "fail")
    details = dict(caught.value.trailing_metadata() or ())[DETAILS_KEY]
    assert isinstance(details, bytes)
    status = status_pb2.Status.FromString(details)
    info, bad_request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    assert status.details[0].Unpack(info)
    assert status.details[1].Unpack(bad_request)
    assert (info.domain, info.reason) == ("tgfleet", "INVALID_ARGUMENT")
    assert bad_request.field_violations[0].field == "accounts[3].name"
    translated = from_rpc_error(caught.value)
    assert isinstance(translated, errors.InvalidArgument)
    assert translated.field == "accounts[3].name"


@pytest.mark.parametrize("kind", KINDS)
async def test_an_unknown_exception_tells_the_caller_nothing(running: Running, kind: str) -> None:
    secret = "canary-7f3a"
    running.echo.failures["fail"] = lambda: RuntimeError(secret)
    with structlog.testing.capture_logs() as logs, pytest.raises(grpc.aio.AioRpcError) as caught:
        await call_all(running.stub, kind, "fail")
    error = caught.value
    assert error.code() is grpc.StatusCode.INTERNAL
    everything = f"{error.details()} {error.trailing_metadata()} {error.initial_metadata()}"
    assert secret not in everything
    assert "RuntimeError" not in everything
    incident = from_rpc_error(error).metadata["incident"]
    assert incident in str(error.details())
    told = [line for line in logs if line.get("incident") == incident]
    assert told
    assert secret in str(told[0]["exc_info"])


@pytest.mark.parametrize("kind", KINDS)
async def test_an_error_inside_a_task_group_is_unwrapped(running: Running, kind: str) -> None:
    running.echo.failures["fail"] = lambda: ExceptionGroup(
        "unhandled errors in a TaskGroup", [ValueError("x"), ExceptionGroup("y", [errors.Aborted("Lost.")])]
    )
    with pytest.raises(errors.Aborted, match=r"Lost\."), translated_errors():
        await call_all(running.stub, kind, "fail")


@pytest.mark.parametrize("kind", KINDS)
async def test_a_stray_cancellation_still_ends_the_call(running: Running, kind: str) -> None:
    running.echo.failures["fail"] = asyncio.CancelledError
    with pytest.raises(errors.Unavailable), translated_errors():
        async with asyncio.timeout(5):
            await call_all(running.stub, kind, "fail")


@pytest.mark.parametrize("kind", KINDS)
async def test_a_handler_may_abort_by_itself(running: Running, kind: str) -> None:
    async def abort(context: grpc.aio.ServicerContext) -> None:
        await context.abort(grpc.StatusCode.DATA_LOSS, "by hand")

    running.echo.on_call = abort
    with structlog.testing.capture_logs() as logs:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call_all(running.stub, kind, "x")
        async with asyncio.timeout(5):
            while not logs:  # the server writes its line after the answer is out
                await asyncio.sleep(0.01)
    assert caught.value.code() is grpc.StatusCode.DATA_LOSS
    assert caught.value.details() == "by hand"
    assert [(line["log_level"], line["code"]) for line in logs] == [("info", "DATA_LOSS")]


@pytest.mark.parametrize(("slow", "level"), [(60.0, "debug"), (0.0, "info")])
async def test_a_unary_call_that_went_well_is_told_at_info_only_when_it_was_slow(
    running: Running, monkeypatch: pytest.MonkeyPatch, slow: float, level: str
) -> None:
    monkeypatch.setattr(interceptor, "_SLOW", slow)  # before the method is first called
    monkeypatch.setattr(interceptor, "shows_debug", lambda: True)  # whatever level an earlier test set up
    with structlog.testing.capture_logs() as logs:
        await call_all(running.stub, "One", "x")
        async with asyncio.timeout(5):
            while not logs:
                await asyncio.sleep(0.01)
    assert [(line["log_level"], line["code"]) for line in logs] == [(level, "OK")]


async def test_an_answer_of_the_wrong_type_is_our_mistake(running: Running) -> None:
    async def wrong(*_: object) -> str:
        return "no message"

    running.echo.one = wrong  # type: ignore[method-assign]
    life = Lifecycle()
    server = ServiceServer("wrong", ANY_PORT, life)
    server.add(add_echo, running.echo)
    async with server:
        channel = open_channel(str(server.address))
        with pytest.raises(errors.Internal) as caught:
            await unary(EchoStub(channel).One, StringValue(value="x"))
        assert "incident" in caught.value.metadata
        await channel.close()


@pytest.mark.parametrize(
    ("kind", "streams"), [("One", False), ("Watch", False), ("Collect", True), ("Chat", True)]
)
@pytest.mark.parametrize(
    ("garbage", "field", "reason"),
    [
        (b"\x0a\x02\xff\xfe", "value", "NOT_UTF8"),
        (b"\xff\xff\xff\xff", "request", "MALFORMED_REQUEST"),
        (b"\x0a\x7fshort", "request", "MALFORMED_REQUEST"),
    ],
)
async def test_bytes_that_are_no_message_are_an_invalid_argument(
    running: Running, kind: str, streams: bool, garbage: bytes, field: str, reason: str
) -> None:
    path = f"/{SERVICE}/{kind}"
    if streams:
        call = running.channel.stream_unary(path)(iter([garbage]), timeout=5)
    else:
        call = running.channel.unary_unary(path)(garbage, timeout=5)
    with pytest.raises(errors.InvalidArgument) as caught, translated_errors():
        await call
    assert caught.value.reason == reason
    assert caught.value.field == field


@pytest.mark.parametrize("path", ["/tgfleet.echo.v1.EchoService/Nope", "/nothing.Here/AtAll"])
async def test_an_unknown_method_is_unimplemented_with_a_reason(running: Running, path: str) -> None:
    with pytest.raises(errors.Unimplemented) as caught:
        await unary(running.channel.unary_unary(path), b"")
    assert caught.value.reason == "METHOD_UNKNOWN"


@pytest.mark.parametrize("kind", KINDS)
async def test_the_request_id_comes_back_and_is_in_the_log(running: Running, kind: str) -> None:
    seen = []

    async def remember(_: grpc.aio.ServicerContext) -> None:
        seen.append(current_request_id())

    running.echo.on_call = remember
    request = StringValue(value="x")
    metadata = ((HEADER, "my-id-1"),)
    method = getattr(running.stub, kind)
    call = method(
        request if kind in {"One", "Watch", "Write"} else iter([request]), metadata=metadata, timeout=5
    )
    if kind in {"One", "Collect"}:
        await call
    else:
        assert [answer.value async for answer in call][-1] == "x"
    assert dict(await call.trailing_metadata())[HEADER] == "my-id-1"
    assert seen == ["my-id-1"]


@pytest.mark.parametrize("bad", ["", "x" * 129, "with space"])
async def test_a_bad_request_id_is_replaced(running: Running, bad: str) -> None:
    running.echo.failures["fail"] = lambda: errors.NotFound("No.")
    call = running.stub.One(StringValue(value="fail"), metadata=((HEADER, bad),), timeout=5)
    returned = dict(await call.trailing_metadata())[HEADER]
    assert isinstance(returned, str)
    assert returned != bad
    assert 0 < len(returned) <= 128


async def test_the_request_id_is_in_errors_and_passed_on_to_the_next_service(running: Running) -> None:
    ids: list[str] = []

    async def pass_on(context: grpc.aio.ServicerContext) -> None:
        ids.append(current_request_id())
        if len(ids) == 1:
            await unary(running.stub.One, StringValue(value="inner"), timeout=remaining(context))

    running.echo.on_call = pass_on
    running.echo.failures["outer"] = lambda: errors.NotFound("No.")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await running.stub.One(StringValue(value="outer"), metadata=((HEADER, "abc"),), timeout=5)
    assert ids == ["abc", "abc"]
    assert dict(caught.value.trailing_metadata() or ())[HEADER] == "abc"


async def test_remaining_is_the_callers_deadline(running: Running) -> None:
    left: list[float | None] = []

    async def note(context: grpc.aio.ServicerContext) -> None:
        left.append(remaining(context, default=99))

    running.echo.on_call = note
    await running.stub.One(StringValue(value="x"), timeout=5)
    await running.stub.One(StringValue(value="x"))
    assert left[0] is not None
    assert 2 < left[0] <= 5.1
    assert left[1] == 99


async def test_leaving_a_stream_ends_the_call_on_the_server(running: Running) -> None:
    async with open_call(running.stub.Watch, StringValue(value="forever")) as call:
        assert (await anext(aiter(call))).value == "first"
        await running.echo.started.wait()
    async with asyncio.timeout(5):
        while running.echo.closed_generators == 0:
            await asyncio.sleep(0.01)


async def test_cancelling_the_task_passes_through_and_reaches_the_server(running: Running) -> None:
    task = asyncio.create_task(unary(running.stub.One, StringValue(value="forever"), timeout=None))
    await running.echo.started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_closing_the_channel_is_an_error_of_ours_not_a_cancellation(running: Running) -> None:
    task = asyncio.create_task(unary(running.stub.One, StringValue(value="forever"), timeout=None))
    await running.echo.started.wait()
    await running.channel.close()
    with pytest.raises(errors.Unavailable):
        await task
    with pytest.raises(errors.Unavailable):
        await unary(running.stub.One, StringValue(value="x"))


async def test_a_deadline_that_passes_is_deadline_exceeded(running: Running) -> None:
    with pytest.raises(errors.DeadlineExceeded) as caught:
        await unary(running.stub.One, StringValue(value="forever"), timeout=0.1)
    assert caught.value.reason == "DEADLINE_EXCEEDED"


async def test_nobody_listening_is_unavailable_without_addresses_in_the_sentence() -> None:
    channel = open_channel("127.0.0.1:1", retries=False)
    with pytest.raises(errors.Unavailable) as caught:
        await unary(EchoStub(channel).One, StringValue(value="x"), timeout=5)
    assert "127.0.0.1" not in caught.value.message
    await channel.close()


class _Refusing(grpc.aio.ServerInterceptor):
    async def intercept_service(self, continuation, details):  # type: ignore[no-untyped-def]
        raise errors.Unauthenticated("Who are you?", reason="NO_TOKEN")


@pytest.mark.parametrize("kind", KINDS)
async def test_what_an_extra_interceptor_raises_is_translated(kind: str) -> None:
    server = ServiceServer("guarded", HostPort("127.0.0.1", 0), Lifecycle(), interceptors=[_Refusing()])
    server.add(add_echo, Echo())
    async with server:
        channel = open_channel(str(server.address))
        with pytest.raises(errors.Unauthenticated) as caught, translated_errors():
            await call_all(EchoStub(channel), kind, "x")
        assert caught.value.reason == "NO_TOKEN"
        with pytest.raises(errors.Unauthenticated):
            await unary(channel.unary_unary("/made/Up"), b"")
        await channel.close()
    assert (
        REGISTRY.get_sample_value("rpc_requests_total", {"method": "/made/Up", "code": "UNAUTHENTICATED"})
        is None
    )


async def test_grpc_logs_no_unexpected_exception(running: Running, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever happens in a handler, grpc itself never has to make up a status."""
    caplog.set_level(logging.DEBUG)
    running.echo.failures |= {
        "a": lambda: RuntimeError("x"),
        "b": asyncio.CancelledError,
        "c": SystemError,
    }
    for kind in KINDS:
        for text in running.echo.failures:
            with pytest.raises((errors.TgfleetError,)), translated_errors():
                await call_all(running.stub, kind, text)
    assert not [record for record in caplog.records if record.name.startswith("grpc") and record.levelno > 20]
