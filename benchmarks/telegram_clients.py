"""The two sides that Telegram benchmarks compare, each a process of its own against one test data centre: our
worker behind a registry and a scheduler from memory, and a bare loop of kurigram clients.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import psutil

from services.testdc.embed import Account, NewAccount, TestDataCentre
from tests.integration.worker.rig import RUNNING, House, WorkerProcess, environ

AT_ONCE = 20
_START_LIMIT = 180.0
_STEADY = 1.0
"""Seconds without noteworthy processor time after which a process counts as done."""


def new_accounts(dc: TestDataCentre, count: int) -> list[Account]:
    """That many logins."""
    return [dc.control.create_account(NewAccount(first_name=f"Account {n}")) for n in range(count)]


@dataclass
class Side:
    """A running side: what it is called, its process, and how long it took to start all clients."""

    name: str
    process: psutil.Process
    empty: int
    """Bytes resident before the first client."""
    seconds: float = 0.0

    @property
    def threads(self) -> int:
        """Threads of the process."""
        return int(self.process.num_threads())

    @property
    def resident(self) -> int:
        """Bytes."""
        return int(self.process.memory_info().rss)

    def each(self, clients: int) -> float:
        """MiB a client, beyond the empty process."""
        return (self.resident - self.empty) / clients / 2**20

    async def quiet(self, steady: float = _STEADY) -> None:
        """Waits until the process has had nothing more to do for so many seconds."""
        before = -1.0
        while True:
            times = self.process.cpu_times()
            used = times.user + times.system
            if 0 <= used - before < 0.1 * steady:  # pings go on
                return
            before = used
            await asyncio.sleep(steady)


@asynccontextmanager
async def bare(dc: TestDataCentre, accounts: Sequence[Account]) -> AsyncIterator[Side]:
    """A bare loop that has started all clients; killed in the end."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.bare_start", dc.host, str(dc.port), str(dc.rsa_key_path)),
        str(AT_ONCE),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        await asyncio.wait_for(process.stdout.readline(), 30)
        side = Side("bare", psutil.Process(process.pid), psutil.Process(process.pid).memory_info().rss)
        process.stdin.write("".join(f"{a.pyrogram_session}\n" for a in accounts).encode() + b"\n")
        side.seconds = float(await asyncio.wait_for(process.stdout.readline(), _START_LIMIT))
        yield side
    finally:
        process.kill()
        await process.wait()


@asynccontextmanager
async def fleet(dc: TestDataCentre, accounts: Sequence[Account], **enrolled: object) -> AsyncIterator[Side]:
    """Our worker that runs all accounts, with the settings it has when nobody sets any; killed in the end.
    `enrolled`: what else the registry knows of each account; with any of it, chat is on."""
    async with House(30, 30) as house:
        settings = environ(
            house,
            dc,
            TGFLEET_CONNECT_TIMEOUT="30s",
            TGFLEET_PING_INTERVAL="30s",
            TGFLEET_PROBE_INTERVAL="5m",
            TGFLEET_WORKER_CAPACITY=str(len(accounts)),
        )
        async with WorkerProcess(settings) as worker:
            assert worker.process is not None
            names = [f"acc_{n}" for n in range(len(accounts))]
            for name, account in zip(names, accounts, strict=True):
                house.enrol(name, account, **enrolled)
            await house.dispatcher.until(lambda: house.dispatcher.hellos, 30)
            found = psutil.Process(worker.process.pid)
            side = Side("ours", found, found.memory_info().rss)
            began = time.monotonic()
            command = house.dispatcher.start(names, chat=bool(enrolled))
            for name in names:
                report = await house.dispatcher.until_answered(command, name, _START_LIMIT)
                assert report.state == RUNNING, report
            side.seconds = time.monotonic() - began
            yield side
            worker.process.kill()
