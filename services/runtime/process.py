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
import gc
import importlib.util
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

from services.runtime.errors import SettingsError, TgfleetError
from services.runtime.lifecycle import Lifecycle, RuntimeSettings
from services.runtime.lifeline import announce_ready, watch_lifeline
from services.runtime.logs import get_logger, set_up_logs
from services.runtime.metrics import MetricsServer
from services.runtime.redact import redact_text
from services.runtime.setting_names import ALL_NAMES
from services.runtime.settings import describe, env_names, load
from services.runtime.status import pick_error
from services.runtime.tls import CertificateFiles, Certificates

__all__ = ["Lifecycle", "RuntimeSettings", "announce_ready", "run"]

S = TypeVar("S")
EXIT_FAILED = 1
EXIT_USAGE = 2

_MAIN_LIMIT = 60.0
"""Seconds that `main` gets to wind up; the server's grace and the hooks have their own, shorter limits."""

_GARBAGE = 5_000
"""New objects that start a collection of the youngest; Python's 700 are a single message of 256 results."""

_log = get_logger("runtime.process")


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
        known = {*ALL_NAMES, *env_names(RuntimeSettings), *env_names(settings_type)}
        common = load(RuntimeSettings, environ, known=known)
        settings = load(settings_type, environ, known=known)
    except SettingsError as error:
        return _complain(name, error)
    set_up_logs(name, log_format=common.log_format, level=common.log_level)
    spare_the_collector()
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(_live(name, common, lambda life: main(settings, life)))


async def _live(name: str, common: RuntimeSettings, main: Callable[[Lifecycle], Awaitable[None]]) -> int:
    life = Lifecycle(common)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, life.on_signal, number)
    watch_lifeline(lambda: loop.call_soon_threadsafe(life.request_stop, "the supervisor is gone"))
    metrics = None if common.metrics_listen == "off" else MetricsServer(common.metrics_listen)
    try:
        life.tls = _own_certificates(name, common)
        life.metrics_address = await metrics.start() if metrics else None
        await _bounded(main, life)
    except asyncio.CancelledError:
        _log.info("stopped while starting")
    except Exception as error:  # noqa: BLE001 - the end of the process, told on stderr and by the exit code
        return _end_of(name, error)
    finally:
        life.stopping.set()
        await life.run_stop_hooks()
        await life.tasks.close()
        if metrics:
            await metrics.stop()
    return EXIT_FAILED if life.failure is not None else 0


def _own_certificates(name: str, common: RuntimeSettings) -> Certificates | None:
    """The certificates for mTLS, if any are set. Raises SettingsError when they are bad or another's."""
    files = CertificateFiles.of(
        "TGFLEET_TLS", common.tls_cert_file, common.tls_key_file, common.tls_ca_file, mutual=True
    )
    if files is None:
        return None
    certificates = Certificates(files)
    if certificates.identity.service != name:
        raise SettingsError(
            f"The file in TGFLEET_TLS_CERT_FILE is the certificate of {certificates.identity}, "
            f"not of a {name}",
            reason="BAD_CERTIFICATE",
        )
    return certificates


async def _bounded(main: Callable[[Lifecycle], Awaitable[None]], life: Lifecycle) -> None:
    async def call() -> None:
        await main(life)

    task = asyncio.create_task(call(), name="main")
    bound = asyncio.create_task(life.bound(task, _MAIN_LIMIT), name="bound of main")
    try:
        await task
    finally:
        bound.cancel()


def _end_of(name: str, error: BaseException) -> int:
    """Tells why `main` failed; the exit code."""
    picked = pick_error(error)
    if isinstance(picked, SettingsError):
        return _complain(name, picked)
    if isinstance(picked, TgfleetError):
        _log.critical("cannot go on", reason=picked.reason, detail=picked.message, exc_info=error)
    else:
        _log.critical("failed", exc_info=error)
    return EXIT_FAILED


def spare_the_collector() -> None:
    """What was imported stays until the end: walking through it again and again for garbage took up to 50 ms
    at a time, half of the cost of acquiring 1,000 sessions."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GARBAGE, 10, 10)


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
