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


class Parts:
    """Hooks and tasks of the child, each of which says when it ran."""

    def __init__(self, life: Lifecycle) -> None:
        self.life = life

    async def first(self) -> None:
        say("hook first")
        if MODE == "slow-hook":
            await asyncio.sleep(60)

    async def failing(self) -> None:
        say("hook failing")
        raise ValueError("a hook that fails")

    async def last(self) -> None:
        say("hook last")

    async def watch(self) -> None:
        await self.life.stopping.wait()
        say("stopping")

    async def die(self) -> None:
        raise ValueError("background failure")

    def register(self) -> None:
        self.life.on_stop(self.first)
        if MODE == "failing-hook":
            self.life.on_stop(self.failing)
        self.life.on_stop(self.last)
        self.life.tasks.spawn(self.watch(), name="watch")
        if MODE == "failing-task":
            self.life.tasks.spawn(self.die(), name="die")


async def stuck() -> None:
    say("starting")
    try:
        await asyncio.Event().wait()
    finally:
        say("finally")


def block_the_loop() -> None:
    time.sleep(60)


async def main(settings: Settings, life: Lifecycle) -> None:
    if MODE == "stuck-start":
        await stuck()
    if MODE == "broken":
        raise RuntimeError("broken +99966123456")
    Parts(life).register()
    server = ServiceServer("child", settings.child_listen, life)
    server.add(add_echo, Echo(stopping=life.stopping))
    try:
        await server.serve(ready={"pid": os.getpid()})
    finally:
        say("finally")
        if MODE == "blocked-loop":
            block_the_loop()


if __name__ == "__main__":
    sys.exit(run("child", Settings, main))
