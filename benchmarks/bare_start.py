"""The bare baseline: a loop that starts kurigram clients, so many at a time, and does nothing else.

Run as a process of its own: `python -m benchmarks.bare_start HOST PORT KEY AT_ONCE < sessions`, one session
string a line, then an empty one. Prints a line when it is ready for them, the seconds from the first start to
the last client's answer, then holds the clients until its input ends.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks import bare_kurigram


async def _main(host: str, port: int, at_once: int, sessions: list[str]) -> None:
    clients = [bare_kurigram.client(f"bare-{n}", text, host, port) for n, text in enumerate(sessions)]
    room = asyncio.Semaphore(at_once)

    async def start(client: Any) -> None:
        async with room:
            await client.start()

    began = time.monotonic()
    await asyncio.gather(*(start(client) for client in clients))
    print(time.monotonic() - began, flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await asyncio.gather(*(client.stop() for client in clients), return_exceptions=True)


if __name__ == "__main__":
    bare_kurigram.trust(Path(sys.argv[3]))
    print("ready", flush=True)
    lines = []
    while line := sys.stdin.readline().strip():
        lines.append(line)
    asyncio.run(_main(sys.argv[1], int(sys.argv[2]), int(sys.argv[4]), lines))
