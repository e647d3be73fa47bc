"""Log lines: what they hold, and what can never be read in them, whoever writes them."""

import asyncio
import io
import json
import logging
import sys
import threading
from collections.abc import Callable, Iterator

import pytest
import structlog

from services.runtime.logs import get_logger, set_up_logs
from services.runtime.request_id import set_request_id
from services.runtime.secret import Secret

CANARY = "hunter2-canary"


@pytest.fixture
def written() -> Iterator[Callable[[], str]]:
    """Logs of this test as JSON into memory; afterwards everything is as it was."""
    root, hooks = logging.getLogger(), (sys.excepthook, threading.excepthook, sys.unraisablehook)
    handlers, level = list(root.handlers), root.level
    out = io.StringIO()
    set_up_logs("testing", log_format="json", level="debug", stream=out)
    structlog.configure(cache_logger_on_first_use=False)  # other tests shall get their own
    yield out.getvalue
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(capture=False)
    sys.excepthook, threading.excepthook, sys.unraisablehook = hooks
    structlog.reset_defaults()


def test_a_line_says_what_who_and_for_which_call(written: Callable[[], str]) -> None:
    set_request_id("req-1")
    get_logger("registry.leases").info("lease granted", auth_key_id="0123456789abcdef", port=5001)
    set_request_id("")
    line = json.loads(written())
    assert line["event"] == "lease granted"
    assert (line["service"], line["logger"], line["level"]) == ("testing", "registry.leases", "info")
    assert line["request_id"] == "req-1"
    assert (line["auth_key_id"], line["port"]) == ("0123456789abcdef", 5001)
    assert line["timestamp"].endswith("Z")


def _fail() -> None:
    password = CANARY
    raise ValueError(f"password={password} for +99966123456")


def _by_structlog() -> None:
    get_logger("x").error(
        f"token={CANARY}", password=CANARY, nested={"api_hash": Secret(CANARY)}, n="+99966123456"
    )


def _by_structlog_exception() -> None:
    try:
        _fail()
    except ValueError:
        get_logger("x").exception("failed")


def _by_stdlib() -> None:
    logging.getLogger("some.library").error("password=%s for %s", CANARY, "+99966123456")


def _by_stdlib_exception() -> None:
    try:
        _fail()
    except ValueError:
        logging.getLogger("some.library").exception("failed")


def _by_thread() -> None:
    thread = threading.Thread(target=_fail)
    thread.start()
    thread.join()


def _by_excepthook() -> None:
    try:
        _fail()
    except ValueError as error:
        sys.excepthook(type(error), error, error.__traceback__)


def _by_forgotten_task() -> None:
    async def main() -> None:
        async def fail() -> None:
            _fail()

        task = asyncio.create_task(fail())
        await asyncio.wait({task})
        del task

    asyncio.run(main())


@pytest.mark.parametrize(
    "write",
    [
        _by_structlog,
        _by_structlog_exception,
        _by_stdlib,
        _by_stdlib_exception,
        _by_thread,
        _by_excepthook,
        _by_forgotten_task,
    ],
)
def test_whoever_writes_secrets_are_masked(written: Callable[[], str], write: Callable[[], None]) -> None:
    write()
    text = written()
    assert text.strip(), "something was written"
    assert CANARY not in text
    assert "66123456" not in text
    for line in text.splitlines():
        json.loads(line)


def test_a_traceback_is_there_without_local_variables(written: Callable[[], str]) -> None:
    _by_structlog_exception()
    trace = json.loads(written())["exception"]
    assert "Traceback" in trace
    assert "in _fail" in trace
    assert "ValueError: password=•••" in trace


def test_chatty_libraries_are_quiet_below_warning(written: Callable[[], str]) -> None:
    for name in ("pyrogram.session", "grpc._cython", "sqlalchemy.engine", "alembic.runtime"):
        logging.getLogger(name).info("chatter")
        logging.getLogger(name).warning("problem")
    lines = [json.loads(line) for line in written().splitlines()]
    assert [line["event"] for line in lines] == ["problem"] * 4
    assert lines[0]["logger"] == "pyrogram.session"


def test_odd_values_do_not_break_a_line(written: Callable[[], str]) -> None:
    get_logger("x").info("odd", value=object(), when={1, 2}, text=b"\xff\x00", nan=float("nan"))
    assert '"<2 bytes>"' in written()


def test_a_record_that_cannot_be_rendered_is_told_of_without_its_contents(
    written: Callable[[], str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", root.handlers[:1])  # without pytest's own, which raise
    arguments = (CANARY,)
    logging.getLogger("some.library").warning("%s %d", *arguments)
    assert "could not be rendered" in written()
    assert CANARY not in written() + capsys.readouterr().err


def test_the_level_is_obeyed() -> None:
    out = io.StringIO()
    set_up_logs("x", level="warning", stream=out)
    structlog.configure(cache_logger_on_first_use=False)
    get_logger("x").info("no")
    get_logger("x").warning("yes")
    structlog.reset_defaults()
    assert "yes" in out.getvalue()
    assert "no" not in out.getvalue().replace("now", "")
