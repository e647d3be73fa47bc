"""How children die with their supervisor, even one killed with -9, and tell it when they serve.

A supervisor keeps the write end of a pipe and gives the read end to its children; when it dies, however it
dies, the kernel closes the pipe and the children see the end of file. Works on Linux and macOS.

Parent::

    with Lifeline() as lifeline:                     # keep it open as long as the children shall live
        ready = ReadyPipe()
        Popen(..., pass_fds=[lifeline.fd, ready.fd], env={**env, **lifeline.environ, **ready.environ})
        ready.close_child_end(); info = await ready.read(limit=20)

Child: `process.run` watches the lifeline; `ServiceServer.serve` calls `announce_ready`.
"""

import asyncio
import contextlib
import json
import os
import threading
from collections.abc import Callable, Mapping
from typing import Any, Self

LIFELINE_FD = "TGFLEET_LIFELINE_FD"
READY_FD = "TGFLEET_READY_FD"

HARD_EXIT_AFTER = 5.0
"""Seconds between the end of the lifeline and the hard exit of a child that would not stop."""
HARD_EXIT_CODE = 70


class Lifeline:
    """The parent's side. Its write end is never inherited, so only this process keeps it open."""

    def __init__(self) -> None:
        self.fd, self._write_end = os.pipe()

    @property
    def environ(self) -> dict[str, str]:
        """What the child's environment needs."""
        return {LIFELINE_FD: str(self.fd)}

    def close(self) -> None:
        """Lets the children go. Idempotent."""
        for fd in (self._write_end, self.fd):
            if fd >= 0:
                os.close(fd)
        self.fd = self._write_end = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class ReadyPipe:
    """The parent's side of one child's announcement."""

    def __init__(self) -> None:
        self._read_end, self.fd = os.pipe()

    @property
    def environ(self) -> dict[str, str]:
        """What the child's environment needs."""
        return {READY_FD: str(self.fd)}

    def close_child_end(self) -> None:
        """To be called once the child is started, so that its death ends `read`."""
        os.close(self.fd)
        self.fd = -1

    async def read(self, limit: float) -> dict[str, Any] | None:
        """What the child announced, or None if it died or `limit` seconds passed. Closes the pipe."""
        reader = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(self._read_end, "rb", 0)
        )
        try:
            async with asyncio.timeout(limit):
                line = await reader.readline()
        except TimeoutError:
            return None
        finally:
            transport.close()
        return dict(json.loads(line)) if line.endswith(b"\n") else None


def announce_ready(info: Mapping[str, Any], environ: Mapping[str, str] = os.environ) -> None:
    """Writes one JSON line to the supervisor, if there is one. Only the first call counts."""
    fd = _take_fd(READY_FD, environ)
    if fd is None:
        return
    try:
        os.write(fd, json.dumps(dict(info)).encode() + b"\n")
    except BrokenPipeError:
        return  # the supervisor is gone; the lifeline will say so
    finally:
        os.close(fd)


def watch_lifeline(on_end: Callable[[], object], environ: Mapping[str, str] = os.environ) -> None:
    """Calls `on_end` (from a thread) when the supervisor is gone; `HARD_EXIT_AFTER` later the process ends.

    A thread, not the event loop: it must work while the loop is stuck.
    """
    fd = _take_fd(LIFELINE_FD, environ)
    if fd is not None:
        os.set_inheritable(fd, False)  # noqa: FBT003 - takes no keyword
        threading.Thread(target=_wait_for_end, args=(fd, on_end), name="lifeline", daemon=True).start()


def _wait_for_end(fd: int, on_end: Callable[[], object]) -> None:
    while os.read(fd, 1):
        pass
    timer = threading.Timer(HARD_EXIT_AFTER, os._exit, args=(HARD_EXIT_CODE,))
    timer.daemon = True
    timer.start()
    with contextlib.suppress(RuntimeError):  # the event loop is closed: the process is ending already
        on_end()


_taken: set[str] = set()


def _take_fd(name: str, environ: Mapping[str, str]) -> int | None:
    text = environ.get(name, "")
    if name in _taken or not text.isdigit():
        return None
    _taken.add(name)
    return int(text)
