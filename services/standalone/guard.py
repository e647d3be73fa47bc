"""`python -m services.standalone.guard --listen HOST:PORT --keep-fd N -- etcd ...`: runs etcd so that it
dies with its supervisor.

etcd is not ours and watches no lifeline, so this small process does it for it: it forwards SIGTERM,
announces when etcd is healthy, ends etcd when the lifeline ends, and on Linux the kernel ends etcd when
this process is killed with -9. Elsewhere the supervisor sweeps the process group. It knows nothing of
tgfleet beside the lifeline.
"""

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from types import FrameType

from services.runtime.lifeline import announce_ready, watch_lifeline

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_POLL = 0.05
_HEALTH_LIMIT = 1.0
_TERMINATED_LIMIT = 3.0
"""Seconds that etcd gets after SIGTERM; it needs some milliseconds."""


def main(argv: list[str]) -> int:
    """Runs until etcd is gone; 0 when that was asked for, else 1, or the signal that killed etcd."""
    options = _parse(argv)
    asked = threading.Event()
    fds = tuple(options.keep_fd)
    with subprocess.Popen(options.command, pass_fds=fds, preexec_fn=_death_wish()) as process:  # noqa: S603, PLW1509 - no thread yet

        def end(_number: int = 0, _frame: FrameType | None = None) -> None:
            asked.set()
            process.terminate()
            killer = threading.Timer(_TERMINATED_LIMIT, process.kill)
            killer.daemon = True
            killer.start()

        signal.signal(signal.SIGTERM, end)
        signal.signal(signal.SIGINT, end)
        watch_lifeline(end)
        if _wait_until_healthy(options.listen, process):
            announce_ready({"service": "etcd", "listen": options.listen, "pid": process.pid})
        code = process.wait()
    if asked.is_set():
        return 0
    if code < 0:  # die as etcd did, so that the supervisor can say so
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    return 1


def _parse(argv: list[str]) -> Namespace:
    parser = ArgumentParser(prog="python -m services.standalone.guard")
    parser.add_argument("--listen", required=True, help="where etcd serves its clients")
    parser.add_argument("--keep-fd", type=int, action="append", default=[], help="handed on to etcd")
    parser.add_argument("command", nargs="+")
    return parser.parse_args(argv)


def _death_wish() -> Callable[[], None] | None:
    """What makes the kernel kill etcd with this process; None where there is no such thing."""
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None).prctl  # looked up before the fork, where little is allowed

    def wish() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

    return wish


def _wait_until_healthy(listen: str, process: subprocess.Popen[bytes]) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while process.poll() is None:
        try:
            with opener.open(f"http://{listen}/health", timeout=_HEALTH_LIMIT) as answer:
                if b'"true"' in answer.read():
                    return True
        except (OSError, urllib.error.URLError):
            time.sleep(_POLL)  # it does not listen yet
        else:
            time.sleep(_POLL)  # it has no leader yet
    return False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
