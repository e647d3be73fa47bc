"""A real service process for tests: `python -m tests.integration.runtime.child`.

Prints what happens, in order, as lines on stdout. Behaviour is chosen by CHILD (not a TGFLEET_ name).
"""

import asyncio
import os
import sys
import time
from dataclasses import dataclass

from services.runtime.addresses import HostPort
from services.runtime.lifecycle import Lifecycle
from services.runtime.process import run
from services.runtime.secret import Secret
from services.runtime.server import ServiceServer
from services.runtime.settings import setting
from tests.integration.runtime.echo import Echo, add_echo

MODE = os.environ.get("CHILD", "")


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of the child."""

    child_listen: HostPort = setting(HostPort("127.0.0.1", 0))
    """Where the child listens."""
    child_password: Secret[str] | None = setting(None)
    """A secret that must not be seen."""


async def main(settings: Settings, life: Lifecycle) -> None:
    if MODE == "stuck-start":
        say("starting")
        try:
            await asyncio.Event().wait()
        finally:
            say("finally")
    if MODE == "no-listener":
        raise RuntimeError("broken +99966123456")
    server = ServiceServer("child", settings.child_listen, life)
    server.add(add_echo, Echo(stopping=life.stopping))

    async def first() -> None:
        say("hook first")
        if MODE == "slow-hook":
            await asyncio.sleep(60)

    async def failing() -> None:
        say("hook failing")
        raise ValueError("a hook that fails")

    async def last() -> None:
        say("hook last")

    async def watch() -> None:
        await life.stopping.wait()
        say("stopping")

    async def die() -> None:
        raise ValueError("background failure")

    life.on_stop(first)
    if MODE == "failing-hook":
        life.on_stop(failing)
    life.on_stop(last)
    life.tasks.spawn(watch(), name="watch")
    if MODE == "failing-task":
        life.tasks.spawn(die(), name="die")
    try:
        await server.serve(ready={"pid": os.getpid()})
    finally:
        say("finally")
        if MODE == "blocked-loop":
            time.sleep(60)


if __name__ == "__main__":
    sys.exit(run("child", Settings, main))
