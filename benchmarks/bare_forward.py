"""The bare baseline of transfers: a loop of raw messages.forwardMessages of 100 ids, one after another,
nothing kept.

Run as a process of its own: `python -m benchmarks.bare_forward HOST PORT KEY SOURCE TARGET LAST < session`.
Prints a line when it is connected and knows both chats; then for every line it reads it forwards the ids 1
to LAST and prints the seconds and the processor seconds that took.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from pathlib import Path

from pyrogram import raw

from benchmarks import bare_kurigram

BATCH = 100


async def _main(host: str, port: int, source: int, target: int, last: int) -> None:
    client = bare_kurigram.client("bare", sys.stdin.readline().strip(), host, port)
    await client.start()
    async for _ in client.get_dialogs():
        pass  # how a client learns the access hashes of its chats
    from_peer, to_peer = await client.resolve_peer(source), await client.resolve_peer(target)
    print("ready", flush=True)
    while await asyncio.to_thread(sys.stdin.readline):
        began, used = time.monotonic(), time.process_time()
        for first in range(1, last + 1, BATCH):
            ids = list(range(first, min(first + BATCH, last + 1)))
            await client.invoke(
                raw.functions.messages.ForwardMessages(
                    from_peer=from_peer,
                    to_peer=to_peer,
                    id=ids,
                    random_id=[random.getrandbits(63) for _ in ids],
                )
            )
        print(time.monotonic() - began, time.process_time() - used, flush=True)
    await client.stop()


if __name__ == "__main__":
    bare_kurigram.trust(Path(sys.argv[3]))
    asyncio.run(_main(sys.argv[1], int(sys.argv[2]), *(int(text) for text in sys.argv[4:7])))
