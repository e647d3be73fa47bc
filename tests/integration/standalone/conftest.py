"""Runs supervisors as processes, and leaves none of their children behind."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import psutil
import pytest

ROOT = Path(__file__).parents[3]


class Up:
    """A supervisor process on a data directory."""

    def __init__(self, data: Path, argv: list[str], env: dict[str, str], *, unread: bool = False) -> None:
        self.data = data
        self.output = data.parent / f"{data.name}.output"
        with _broken_pipe() if unread else self.output.open("ab") as out:
            self.process = subprocess.Popen(
                argv, cwd=ROOT, env=env, stdout=out, stderr=out, stdin=subprocess.DEVNULL
            )

    def ready(self, within: float = 20) -> dict[str, Any]:
        """What the ready file says, as soon as there is one."""

        def read() -> dict[str, Any]:
            assert self.process.poll() is None, f"it ended before it was ready:\n{self.said()}"
            with contextlib.suppress(FileNotFoundError):
                return dict(json.loads((self.data / "ready.json").read_text()))
            return {}

        return until(read, within, lambda: f"no ready file:\n{self.said()}")

    def pids(self) -> dict[str, int]:
        """The pids that the ready file names now."""
        return dict(self.ready()["pids"])

    def said(self) -> str:
        """Everything printed so far."""
        return self.output.read_text() if self.output.exists() else ""

    def diary(self) -> list[tuple[str, str, int]]:
        """What the stub children wrote: name, what they did, pid."""
        path = self.data / "diary"
        lines = path.read_text().splitlines() if path.exists() else []
        return [(name, word, int(pid)) for name, word, pid in map(str.split, lines)]

    def ended(self, within: float = 15) -> int:
        """The exit code, once it has ended."""
        try:
            return self.process.wait(within)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it does not end:\n{self.said()}") from None

    def family(self) -> list[psutil.Process]:
        """The supervisor and everything below it."""
        me = psutil.Process(self.process.pid)
        return [me, *me.children(recursive=True)]


def _broken_pipe() -> IO[bytes]:
    """A pipe that nobody reads from."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    return os.fdopen(write_end, "wb")


def until(check: Callable[[], Any], within: float, what: Callable[[], str]) -> Any:
    """The first true value of `check`; fails at the deadline."""
    deadline = time.monotonic() + within
    while not (value := check()):
        assert time.monotonic() < deadline, what()
        time.sleep(0.02)
    return value


def gone(processes: list[psutil.Process], within: float) -> None:
    """Waits until all are gone, zombies not counted as alive."""
    _, alive = psutil.wait_procs(processes, timeout=within)
    alive = [
        process for process in alive if process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    ]
    assert not alive, f"still there: {alive}"


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Callable[..., Up]]:
    """Starts supervisors: `up("a:serve", "etcd", data=tmp_path / "d")` for stubs, `up(argv=[...])` for the
    real one."""
    started: list[Up] = []
    seen: dict[int, psutil.Process] = {}

    def start(
        *children: str,
        data: Path | None = None,
        argv: list[str] | None = None,
        unread: bool = False,
        **env: str,
    ) -> Up:
        where = data or tmp_path / "data"
        module = "services.standalone" if argv is not None else "tests.integration.standalone.stub_fleet"
        rest = [str(where), *children] if argv is None else ["--data", str(where), *argv]
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("TGFLEET_", "USERBOT_"))}
        one = Up(where, [sys.executable, "-m", module, *rest], {**clean, **env}, unread=unread)
        started.append(one)
        return one

    yield start
    for one in started:
        with contextlib.suppress(psutil.NoSuchProcess):
            seen |= {process.pid: process for process in one.family()}
        record = one.data / "pids.json"
        pids = json.loads(record.read_text()).values() if record.exists() else []
        for pid in pids:
            with contextlib.suppress(psutil.NoSuchProcess):
                seen[pid] = psutil.Process(pid)
        one.process.kill()
        one.process.wait()
    for process in seen.values():
        with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
            if process.is_running() and process.pid != os.getpid():
                process.send_signal(signal.SIGKILL)
