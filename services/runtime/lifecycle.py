"""The life of one process as its parts see it: was it asked to stop, what is to be wound up, in which order.

`run` (process.py) makes one and hands it to `main`; tests make their own with `Lifecycle()`.
"""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

from services.runtime.addresses import HostPort
from services.runtime.logs import LogFormat, LogLevel, get_logger
from services.runtime.settings import setting
from services.runtime.tasks import TaskOwner, cancel_and_wait
from services.runtime.tls import Certificates

StopHook = Callable[[], Awaitable[object]]

EXIT_FORCED = 130
_FORCE_AT_SIGNAL = 3
_HOOK_LIMIT = 10.0
_HURRIED_LIMIT = 1.0

_log = get_logger("runtime.lifecycle")


@dataclass(frozen=True, kw_only=True)
class RuntimeSettings:
    """What every process understands."""

    log_format: LogFormat = setting("text")
    """How log lines are written to stderr: `text` for people, `json` for machines."""
    log_level: LogLevel = setting("info")
    """The least important lines that are written: debug, info, warning or error."""
    metrics_listen: HostPort | Literal["off"] = setting(HostPort("127.0.0.1", 0))
    """Where Prometheus metrics are served under /metrics (host:port, port 0 for any free one), or `off`."""
    shutdown_grace: timedelta = setting(timedelta(seconds=5), minimum=timedelta(0))
    """How long running calls may go on after SIGTERM before they are cancelled."""
    health_listen: HostPort | None = setting(None)
    """Serves gRPC health, and nothing else, in clear on a port of its own (host:port): for Kubernetes'
    probes, which speak no TLS."""
    tls_cert_file: Path | None = setting(None)
    """PEM file with this process's certificate, for mTLS between services; read again when it changes."""
    tls_key_file: Path | None = setting(None)
    """PEM file with the certificate's private key."""
    tls_ca_file: Path | None = setting(None)
    """PEM file with the CAs whose certificates the other services show."""


class StopEvent(asyncio.Event):
    """An event that knows whether anybody ever waited for it."""

    def __init__(self) -> None:
        super().__init__()
        self.attended = False

    async def wait(self) -> Literal[True]:
        self.attended = True
        return await super().wait()


class Lifecycle:
    """What `main` and the server share.

    * `stop_requested`: a signal came, or `request_stop` was called. Whoever runs the process waits for it and
      winds up; if nobody waits (still starting), `main` is cancelled.
    * `stopping`: health says NOT_SERVING already; response streams and loops that watch this event end now.
    * `hurry`: a second signal came; grace periods are over.
    * `tls`: the process's certificates; None where services talk in clear.
    * `tasks`: owner of background tasks; one that fails stops the process.
    """

    def __init__(self, settings: RuntimeSettings | None = None) -> None:
        self.settings = settings or RuntimeSettings()
        self.stop_requested = StopEvent()
        self.stopping = asyncio.Event()
        self.hurry = asyncio.Event()
        self.tasks = TaskOwner(self.fail)
        self.metrics_address: HostPort | None = None
        self.tls: Certificates | None = None
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
            task = asyncio.create_task(_as_coroutine(hook()), name=f"stop hook {name}")
            try:
                await self._wait(task, limit)
            finally:
                ended = await cancel_and_wait(task, limit=_HURRIED_LIMIT)
            if not ended or task.cancelled():
                _log.error("stop hook took too long", hook=name)
            elif task.exception() is not None:
                self.failure = self.failure or task.exception()
                _log.error("stop hook failed", hook=name, exc_info=task.exception())

    def on_signal(self, received: signal.Signals) -> None:
        """What SIGTERM and SIGINT do."""
        self._signals += 1
        if self._signals >= _FORCE_AT_SIGNAL:
            os._exit(EXIT_FORCED)
        if self._signals > 1:
            _log.warning("hurrying up", signal=received.name)
            self.hurry.set()
        self.request_stop(received.name)

    async def _wait(self, task: asyncio.Task[Any], limit: float, hurried: float = _HURRIED_LIMIT) -> None:
        """Waits for a task at most `limit` seconds, and at most `hurried` once it is time to hurry."""
        hurrying = asyncio.create_task(self.hurry.wait())
        await asyncio.wait({task, hurrying}, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
        hurrying.cancel()
        if self.hurry.is_set():
            await asyncio.wait({task}, timeout=hurried)

    async def bound(self, main: asyncio.Task[None], limit: float) -> None:
        """Cancels `main` when the process is to stop and nobody attends to that, or after `limit` seconds."""
        await asyncio.Event.wait(self.stop_requested)
        if self.stop_requested.attended:
            await self._wait(main, limit, hurried=limit / 4)
        await cancel_and_wait(main)


async def _as_coroutine(awaitable: Awaitable[object]) -> None:
    await awaitable
