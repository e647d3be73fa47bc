"""From `python -m services.x` to a running event loop, and from a signal to an exit code.

`sys.exit(run("registry", Settings, main))` with
`async def main(settings: Settings, life: Lifecycle) -> None`. `run`

* loads `RuntimeSettings` and the service's own settings; bad ones print one sentence to stderr, exit code 2;
* sets up logs and uvloop where it exists, the metrics endpoint, the signals and the lifeline (`lifeline.py`);
* runs `main` until it returns. SIGTERM, SIGINT and a lost supervisor set `life.stop_requested`; a second
  signal sets `life.hurry`; a third one ends the process at once (exit code 130).
* runs the `life.on_stop` hooks in the order they were registered, each with a time limit, whether `main`
  succeeded or not.

Exit code 0 after a clean stop, 1 when `main`, an owned task or `life.fail` failed, 2 for settings.
"""

import asyncio
import importlib.util
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, TypeVar

from services.runtime.addresses import HostPort
from services.runtime.errors import SettingsError, TgfleetError
from services.runtime.lifeline import announce_ready, watch_lifeline
from services.runtime.logs import LogFormat, LogLevel, get_logger, set_up_logs
from services.runtime.metrics import MetricsServer
from services.runtime.redact import redact_text
from services.runtime.settings import describe, load, setting
from services.runtime.tasks import TaskOwner

__all__ = ["Lifecycle", "RuntimeSettings", "announce_ready", "run"]

S = TypeVar("S")
StopHook = Callable[[], Awaitable[object]]

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_FORCED = 130

_HOOK_LIMIT = 10.0
_HOOK_LIMIT_HURRIED = 1.0
_FORCE_AT_SIGNAL = 3

_log = get_logger("runtime.process")


@dataclass(frozen=True, kw_only=True)
class RuntimeSettings:
    """What every process understands."""

    log_format: LogFormat = setting("text")
    """How log lines are written to stderr: `text` for people, `json` for machines."""
    log_level: LogLevel = setting("info")
    """The least important lines that are written: debug, info, warning or error."""
    metrics_listen: HostPort | Literal["off"] = setting("127.0.0.1:0")
    """Where Prometheus metrics are served under /metrics (host:port, port 0 for any free one), or `off`."""
    shutdown_grace: timedelta = setting(timedelta(seconds=5), minimum=timedelta(0))
    """How long running calls may go on after SIGTERM before they are cancelled."""


class Lifecycle:
    """The life of one process, as its parts see it.

    * `stop_requested`: a signal came, or `request_stop` was called; whoever runs the process winds it up.
    * `stopping`: health says NOT_SERVING already; response streams and loops that watch this event end now.
    * `hurry`: a second signal came; grace periods are over.
    * `tasks`: owner of background tasks; one that fails stops the process.
    """

    def __init__(self, settings: RuntimeSettings | None = None) -> None:
        self.settings = settings or RuntimeSettings()
        self.stop_requested = asyncio.Event()
        self.stopping = asyncio.Event()
        self.hurry = asyncio.Event()
        self.tasks = TaskOwner(self.fail)
        self.metrics_address: HostPort | None = None
        self.failure: BaseException | None = None
        self._hooks: list[tuple[str, StopHook, float]] = []
        self._signals = 0

    def request_stop(self, reason: str) -> None:
        """Asks the process to stop. The first reason is logged; asking again is harmless."""
        if not self.stop_requested.is_set():
            _log.info("stopping", reason=reason)
            self.stop_requested.set()

    def fail(self, error: BaseException) -> None:
        """Stops the process with exit code 1 because something that must not fail did."""
        self.failure = self.failure or error
        self.request_stop(f"failure: {type(error).__name__}")

    def on_stop(self, hook: StopHook, *, name: str = "", limit: float = _HOOK_LIMIT) -> None:
        """Registers an async function for the end, after the server has stopped. Hooks run in the order of
        registration, each for at most `limit` seconds; one that fails is logged and the next one runs."""
        self._hooks.append((name or getattr(hook, "__qualname__", repr(hook)), hook, limit))

    async def run_stop_hooks(self) -> None:
        """Runs each registered hook once. `ServiceServer.stop` and `run` call it."""
        while self._hooks:
            name, hook, limit = self._hooks.pop(0)
            try:
                async with asyncio.timeout(_HOOK_LIMIT_HURRIED if self.hurry.is_set() else limit):
                    await hook()
            except Exception as error:  # noqa: BLE001 - the next hook must still run
                _log.error("stop hook failed", hook=name, exc_info=error)
                self.failure = self.failure or error

    def on_signal(self, received: signal.Signals) -> None:
        """What SIGTERM and SIGINT do."""
        self._signals += 1
        if self._signals >= _FORCE_AT_SIGNAL:
            os._exit(EXIT_FORCED)
        if self._signals > 1:
            _log.warning("hurrying up", signal=received.name)
            self.hurry.set()
        self.request_stop(received.name)


def run(
    name: str,
    settings_type: type[S],
    main: Callable[[S, Lifecycle], Awaitable[None]],
    *,
    environ: Mapping[str, str] = os.environ,
    argv: Sequence[str] | None = None,
) -> int:
    """Runs a service's `main` and returns the exit code of the process. `--help` prints the settings."""
    arguments = sys.argv[1:] if argv is None else argv
    if arguments:
        return _usage(name, settings_type, arguments)
    try:
        common = load(RuntimeSettings, environ)
        settings = load(settings_type, environ)
    except SettingsError as error:
        return _complain(name, error)
    set_up_logs(name, log_format=common.log_format, level=common.log_level)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(_live(name, common, lambda life: main(settings, life)))


async def _live(name: str, common: RuntimeSettings, main: Callable[[Lifecycle], Awaitable[None]]) -> int:
    life = Lifecycle(common)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, life.on_signal, number)

    def supervisor_gone() -> None:
        loop.call_soon_threadsafe(life.request_stop, "supervisor is gone")

    watch_lifeline(supervisor_gone)
    metrics = None if common.metrics_listen == "off" else MetricsServer(common.metrics_listen)
    try:
        life.metrics_address = await metrics.start() if metrics else None
        await main(life)
    except SettingsError as error:
        return _complain(name, error)
    except TgfleetError as error:
        _log.error("cannot go on", reason=error.reason, detail=error.message, exc_info=error)
        life.fail(error)
    except Exception as error:  # noqa: BLE001 - the end of the process, told in the log and the exit code
        _log.critical("failed", exc_info=error)
        life.fail(error)
    finally:
        life.stopping.set()
        await life.run_stop_hooks()
        await life.tasks.close()
        if metrics:
            await metrics.stop()
    return EXIT_FAILED if life.failure is not None else 0


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's event loop where uvloop is installed, else asyncio's own."""
    return importlib.import_module("uvloop").new_event_loop if importlib.util.find_spec("uvloop") else None


def _complain(name: str, error: SettingsError) -> int:
    sys.stderr.write(f"{name}: {redact_text(error.message)}\n")
    return EXIT_USAGE


def _usage(name: str, settings_type: type[Any], arguments: Sequence[str]) -> int:
    wants_help = list(arguments) in (["--help"], ["-h"])
    lines = [f"python -m services.{name}: takes no arguments; its settings come from the environment.", ""]
    for row in [*describe(settings_type), *describe(RuntimeSettings)]:
        default = f" [{row.default}]" if row.default else ""
        lines += [f"  {row.env}{default}", f"      {row.meaning}"]
    (sys.stdout if wants_help else sys.stderr).write("\n".join(lines) + "\n")
    return 0 if wants_help else EXIT_USAGE
