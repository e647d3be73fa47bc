"""Real child processes. Each gets a session of its own (a Ctrl-C in the terminal reaches only the
supervisor), the lock on the data directory, the lifeline, a pipe to say that it is ready, and a log file
as its output.
"""

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from services.runtime.lifeline import Lifeline, ReadyPipe
from services.standalone.adapters.log_files import LogFiles
from services.standalone.domain.children import ChildSpec
from services.standalone.ports import Child


class ProcessLauncher:
    """Launches children with what they all share. Fulfils `ports.Launcher`."""

    def __init__(
        self, lifeline: Lifeline, lock_fd: int, environ: Mapping[str, str], logs: LogFiles, directory: Path
    ) -> None:
        """`environ` is the whole common environment; nothing of this process's own is added. Children run in
        `directory`, where libraries may drop files."""
        self._directory = directory
        self._lifeline = lifeline
        self._lock_fd = lock_fd
        self._environ = environ
        self._logs = logs

    async def launch(self, spec: ChildSpec) -> Child:
        ready = ReadyPipe()
        try:
            with self._logs.open(spec.name) as log:
                process = await asyncio.create_subprocess_exec(
                    *spec.argv,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env={**self._environ, **spec.env, **self._lifeline.environ, **ready.environ},
                    pass_fds=(self._lifeline.fd, self._lock_fd, ready.fd),
                    cwd=self._directory,
                    start_new_session=True,
                )
        except BaseException:
            ready.close_child_end()
            await ready.read(limit=0)
            raise
        ready.close_child_end()
        return _Process(process, ready, whole_group=spec.whole_group)

    def last_lines(self, name: str) -> Sequence[str]:
        return self._logs.last_lines(name)


class _Process:
    """One child that was started."""

    def __init__(self, process: asyncio.subprocess.Process, ready: ReadyPipe, *, whole_group: bool) -> None:
        self._process = process
        self._ready = ready
        self._whole_group = whole_group
        self.pid = process.pid

    async def ready(self, limit: float) -> Mapping[str, Any] | None:
        return await self._ready.read(limit=limit)

    async def wait(self) -> int:
        code = await self._process.wait()
        if self._whole_group:
            _signal_group(self.pid, signal.SIGKILL)  # a killed guard leaves its etcd behind
        return code

    def terminate(self) -> None:
        self._send(signal.SIGTERM)
        self._send(signal.SIGCONT)  # a stopped process cannot stop cleanly

    def kill(self) -> None:
        if self._process.returncode is None:
            _signal_group(self.pid, signal.SIGKILL)

    def _send(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)


def _signal_group(leader: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS refuses a group of zombies
        os.killpg(leader, number)
