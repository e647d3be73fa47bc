"""`make demo`: starts a fleet with sample accounts in a directory of its own, gives the tour, stops it.

Exit code 0 if every outcome was the expected one, 1 if not, 130 after Ctrl-C.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import IO, Any

from services.runtime.errors import TgfleetError
from services.runtime.lifeline import Lifeline
from services.standalone.adapters.gateway import GatewayClient
from services.standalone.demo.control import Control
from services.standalone.demo.screen import Screen
from services.standalone.demo.tour import Tour
from services.standalone.domain.mode import QUICK

EXIT_FAILED = 1
EXIT_INTERRUPTED = 130
_READY_LIMIT = 90.0
_STOP_LIMIT = 60.0
_POLL = 0.05
_LAST_WORDS = 2.0
"""Seconds for what a stopped fleet still had to say."""


class Fleet:
    """A `tgfleet up --demo` that lives as long as this process. What it says goes through our screen: two
    processes on one terminal would write into each other's moving lines."""

    def __init__(self, directory: Path, lifeline: Lifeline, screen: Screen) -> None:
        self.ready_file = directory / "ready.json"
        options = [
            "--demo",
            "--no-hints",
            "--data",
            str(directory / "data"),
            "--ready-file",
            str(self.ready_file),
        ]
        options += ["--gateway-listen", "127.0.0.1:0"]
        self.process = subprocess.Popen(  # noqa: S603 - ourselves
            [sys.executable, "-m", "services.standalone", *options],
            pass_fds=[lifeline.fd],
            env={**_environment(lifeline), **screen.environ},
            stdout=subprocess.PIPE,
            text=True,
        )
        self._relay = threading.Thread(
            target=self._pass_on, args=(self.process.stdout, screen), name="fleet's words"
        )
        self._relay.start()

    async def ready(self) -> dict[str, Any] | None:
        """What the ready file says; None when the fleet did not come up."""
        deadline = time.monotonic() + _READY_LIMIT
        while self.process.poll() is None and time.monotonic() < deadline:
            if self.ready_file.exists():
                return dict(json.loads(self.ready_file.read_text()))
            await asyncio.sleep(_POLL)
        return None

    def pids(self) -> dict[str, int]:
        """Who lives now, by name."""
        return dict(json.loads(self.ready_file.read_text())["pids"])

    def stop(self) -> int:
        """Stops it cleanly; its exit code."""
        self.process.terminate()
        return self.wait()

    def wait(self) -> int:
        """Waits for a fleet that is stopping."""
        try:
            code = self.process.wait(_STOP_LIMIT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        self._relay.join(_LAST_WORDS)
        return code

    @staticmethod
    def _pass_on(words: IO[str], screen: Screen) -> None:
        """Ends with the fleet's output."""
        for line in words:
            screen.relay(line)


def _environment(lifeline: Lifeline) -> dict[str, str]:
    """Without the settings of a fleet of one's own, which are not meant for the demo."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("TGFLEET_", "USERBOT_"))}
    return {**kept, **lifeline.environ}


async def give_tour(fleet: Fleet, screen: Screen) -> list[str]:
    """What was not as expected."""
    facts = await fleet.ready()
    if facts is None:
        return ["the fleet did not come up; see above"]
    lease = f"T + S = {(QUICK.ttl + QUICK.settle).total_seconds():g} s"
    async with (
        GatewayClient(facts["gateway"], facts["token"]) as gateway,
        Control(facts["testdc_control"]) as control,
    ):
        tour = Tour(screen, gateway, control, fleet.pids, lease)
        try:
            await tour.run()
        except TgfleetError as error:
            tour.problems.append(f"the tour broke off: {error.message}")
    return tour.problems


def main() -> int:
    """The exit code of the process."""
    began = time.monotonic()
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    screen = Screen()
    screen.title("tgfleet demo: a whole fleet on this machine, against a Telegram data centre of its own")
    with tempfile.TemporaryDirectory(prefix="tgfleet-demo-") as directory, Lifeline() as lifeline:
        fleet = Fleet(Path(directory), lifeline, screen)
        try:
            problems = asyncio.run(give_tour(fleet, screen))
            code = fleet.stop()
        except KeyboardInterrupt:
            fleet.wait()  # the terminal told it, too
            return EXIT_INTERRUPTED
        finally:
            if fleet.process.poll() is None:
                fleet.stop()
    if code != 0 and not problems:
        problems.append(f"the fleet stopped with exit code {code}")
    screen.end(problems, time.monotonic() - began)
    return EXIT_FAILED if problems else 0


if __name__ == "__main__":
    sys.exit(main())
