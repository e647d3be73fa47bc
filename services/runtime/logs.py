"""Structured logs that cannot print secrets: `set_up_logs` once per process, `get_logger("a.b")` anywhere.

Everything goes through one chain to stderr: our structlog events, records of the standard library's `logging`
(pyrogram, grpc, sqlalchemy, alembic), tracebacks of uncaught exceptions in the main thread, other threads and
the garbage collector. The last step before rendering is `redact_value`, over every key and value and over
traceback texts. Local variables are never shown.

Log an event name in plain words and the facts as keys: `log.info("lease granted", worker_id=...)`.
"""

import json
import logging
import os
import sys
import threading
from collections.abc import MutableMapping
from contextlib import suppress
from types import TracebackType
from typing import Any, Literal, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from services.runtime.redact import mask_name, mask_phone, redact_value
from services.runtime.request_id import current_request_id

__all__ = ["LogFormat", "LogLevel", "get_logger", "mask_name", "mask_phone", "set_up_logs"]

LogFormat = Literal["json", "text"]
LogLevel = Literal["debug", "info", "warning", "error"]

# Libraries that tell too much at info.
_QUIET_LOGGERS = ("pyrogram", "grpc", "sqlalchemy", "alembic", "aiosqlite", "asyncio", "telethon", "urllib3")
# Ours by construction, so not worth searching for secrets.
_TRUSTED_KEYS = frozenset({"timestamp", "level", "logger", "service"})


def get_logger(name: str) -> Any:
    """A structlog logger whose lines carry `logger=name`."""
    return structlog.get_logger(name)


def set_up_logs(
    service: str, *, log_format: LogFormat = "text", level: LogLevel = "info", stream: TextIO | None = None
) -> None:
    """Routes all logging of this process to `stream` (stderr), rendered as JSON or readable text."""
    _shown.level = logging.getLevelNamesMapping()[level.upper()]
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")  # gRPC's C core writes to stderr by itself
    out = stream or sys.stderr
    renderer: Processor = _render_json if log_format == "json" else _text_renderer(out)
    chain = _chain(service)
    structlog.configure(
        processors=[*chain, redact_event, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(_shown.level),
        logger_factory=lambda *names: _NamedLogger(out, *names),
        cache_logger_on_first_use=True,
    )
    _route_stdlib(chain, renderer, level, out)
    _route_uncaught()


def shows_debug() -> bool:
    """Whether lines of level debug are written: for callers to whom even making one up is too dear."""
    return _shown.level <= logging.DEBUG


class _Shown:
    """What this process shows."""

    level = logging.DEBUG


_shown = _Shown()


class _NamedLogger(structlog.WriteLogger):
    """A structlog logger that knows its name."""

    def __init__(self, out: TextIO, name: str = "") -> None:
        super().__init__(out)
        self.name = name

    def msg(self, message: str) -> None:
        """Writes a line. A full disk costs the line, not the process, which is worth more than its log."""
        with suppress(OSError):
            super().msg(message)

    log = debug = info = warn = warning = msg
    fatal = failure = err = error = critical = exception = msg


class _StdlibHandler(logging.StreamHandler[TextIO]):
    """Writes the standard library's records; one that cannot be rendered is told of without its contents."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        get_logger("runtime.logs").error("a log record could not be rendered", source=record.name)


def redact_event(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """The processor that lets no secret through; the last one before rendering."""
    for key, value in event.items():
        if key not in _TRUSTED_KEYS:
            event[key] = redact_value(value, key)
    return event


def _chain(service: str) -> list[Processor]:
    def add_context(logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        event["service"] = service
        if isinstance(logger, _NamedLogger):
            event["logger"] = logger.name
        request_id = current_request_id()
        if request_id:
            event.setdefault("request_id", request_id)
        return event

    return [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        add_context,
        structlog.processors.format_exc_info,
    ]


def _render_json(_logger: WrappedLogger, _method: str, event: MutableMapping[str, Any]) -> str:
    return json.dumps(event, ensure_ascii=False, default=str)


def _text_renderer(out: TextIO) -> Processor:
    return structlog.dev.ConsoleRenderer(
        colors=out.isatty(), exception_formatter=structlog.dev.plain_traceback
    )


def _route_stdlib(chain: list[Processor], renderer: Processor, level: LogLevel, out: TextIO) -> None:
    def add_logger_name(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        record: logging.LogRecord = event["_record"]
        event["logger"] = record.name
        return event

    handler = _StdlibHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[add_logger_name, *chain],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, redact_event, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in _QUIET_LOGGERS:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    logging.captureWarnings(capture=True)


def _route_uncaught() -> None:
    log = get_logger("runtime.uncaught")

    def in_main(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        log.critical("uncaught exception", exc_info=(kind, error, trace))

    def in_thread(args: threading.ExceptHookArgs) -> None:
        if args.exc_value is not None:
            log.critical("uncaught exception in a thread", exc_info=args.exc_value)

    def unraisable(args: "sys.UnraisableHookArgs") -> None:
        log.error("exception that nobody could catch", exc_info=args.exc_value)

    sys.excepthook = in_main
    threading.excepthook = in_thread
    sys.unraisablehook = unraisable
