"""The installed command as a real process, against a fake gateway in another one."""

import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.admin.fake_common import TOKEN

ROOT = Path(__file__).resolve().parents[3]
TGFLEET = [sys.executable, "-m", "services.admin"]


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


def environment(**extra: str) -> dict[str, str]:
    """A bare environment: nothing of the person who runs the tests."""
    kept = {k: v for k, v in os.environ.items() if k in {"PATH", "HOME", "LANG", "TZ", "VIRTUAL_ENV"}}
    return {**kept, "PYTHONPATH": str(ROOT), "LANG": "C.UTF-8", "TZ": "UTC", **extra}


@dataclass
class Cli:
    """The command, pointed at one fake gateway."""

    address: str
    log: Path
    home: Path
    log_start: int

    def env(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        mine = {"TGFLEET_GATEWAY": self.address, "TGFLEET_TOKEN": TOKEN, "HOME": str(self.home)}
        return environment(**{**mine, **(extra or {})})

    def __call__(
        self, *arguments: str, stdin: str | bytes = "", env: Mapping[str, str] | None = None
    ) -> Ended:
        data = stdin.encode() if isinstance(stdin, str) else stdin
        done = subprocess.run(
            [*TGFLEET, *arguments],
            input=data,
            capture_output=True,
            env=self.env(env),
            timeout=30,
            check=False,
        )
        ended = Ended(done.returncode, done.stdout.decode(), done.stderr.decode())
        assert "Traceback" not in ended.out + ended.err
        return ended

    def on_terminal(
        self, *arguments: str, width: int = 80, until: str = "", then: bytes = b"", seconds: float = 20
    ) -> tuple[int, str]:
        """Runs it on a terminal of that width. When `until` has appeared, types `then`; 3 is Ctrl-C."""
        pid, terminal = pty.fork()
        if pid == 0:
            env = {**self.env(), "TERM": "xterm-256color", "COLUMNS": str(width), "LINES": "50"}
            os.execve(sys.executable, [*TGFLEET, *arguments], env)
        return _read_terminal(pid, terminal, until, then, time.monotonic() + seconds)

    def asked(self) -> str:
        """What the fake gateway was asked since the test began, as JSON lines."""
        return self.log.read_bytes()[self.log_start :].decode()


def _read_terminal(pid: int, terminal: int, until: str, then: bytes, deadline: float) -> tuple[int, str]:
    shown = b""
    while time.monotonic() < deadline:
        ready, _, _ = select.select([terminal], [], [], 0.2)
        if not ready:
            continue
        try:
            chunk = os.read(terminal, 65536)
        except OSError:  # Linux says EIO when the other end is closed
            chunk = b""
        if not chunk:
            break
        shown += chunk
        if then and until.encode() in shown:
            os.write(terminal, then)
            then = b""
    else:
        os.kill(pid, signal.SIGKILL)
    os.close(terminal)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status), shown.decode(errors="replace")


@pytest.fixture(scope="session")
def fake_gateways(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], tuple[str, Path]]]:
    """Starts a fake gateway for each scenario once: its address, and its log."""
    started: dict[str, tuple[str, Path]] = {}
    folder = tmp_path_factory.mktemp("gateways")
    with ExitStack() as stack:

        def start(scenario: str) -> tuple[str, Path]:
            if scenario not in started:
                log = folder / f"{scenario}.log"
                process = subprocess.Popen(
                    [sys.executable, "-m", "tests.integration.admin.fake_gateway", scenario],
                    stdout=subprocess.PIPE,
                    stderr=stack.enter_context(log.open("ab")),
                    env=environment(),
                    cwd=ROOT,
                )
                stack.callback(process.wait, 10)
                stack.callback(process.kill)
                assert process.stdout is not None
                stack.enter_context(process.stdout)
                address = process.stdout.readline().decode().strip()
                assert address, log.read_text()
                started[scenario] = address, log
            return started[scenario]

        yield start


@pytest.fixture
def gateway(fake_gateways: Callable[[str], tuple[str, Path]], tmp_path: Path) -> Callable[[str], Cli]:
    """The command pointed at a fake gateway of a scenario, with a home of its own."""

    def point_at(scenario: str) -> Cli:
        address, log = fake_gateways(scenario)
        return Cli(address, log, tmp_path, log.stat().st_size)

    return point_at


@pytest.fixture
def cli(gateway: Callable[[str], Cli]) -> Cli:
    """Everything that can happen to accounts, once."""
    return gateway("all")
