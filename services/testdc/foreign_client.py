"""Another program that uses a session of the fleet: `python -m services.testdc.foreign_client DC FILE`.

For the demo: it waits until the file with a session string is there, connects to the data centre as any
kurigram program would, and makes a call every now and then until the key is dead. Then it does nothing more,
like a program that was left running and forgotten. It knows nothing of the fleet.
"""

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyrogram import Client, raw
from pyrogram.connection import Connection
from pyrogram.errors import RPCError

from services.runtime.addresses import HostPort
from services.runtime.logs import get_logger
from services.runtime.process import Lifecycle, announce_ready, run

PERIOD = 0.2
"""Seconds between two calls."""
_POLL = 0.1
_CALL_LIMIT = 5.0
_USAGE = "usage: python -m services.testdc.foreign_client HOST:PORT SESSION_FILE"
_log = get_logger("testdc.foreign_client")


@dataclass(frozen=True, kw_only=True)
class NoSettings:
    """Its arguments say everything."""


async def use_session(dc: HostPort, session_file: Path) -> None:
    """Uses the session until its key is dead; raises CancelledError only."""
    while not session_file.exists():  # noqa: ASYNC110, ASYNC240 - another process writes it
        await asyncio.sleep(_POLL)
    client = Client(
        "foreign",
        api_id=12345,
        api_hash="0" * 32,
        session_string=session_file.read_text().strip(),  # noqa: ASYNC240 - some bytes, once
        in_memory=True,
        no_updates=True,
        connection_factory=_connection_to(dc),
    )
    try:
        async with asyncio.timeout(_CALL_LIMIT):
            await client.connect()
        _log.info("connected with somebody else's session")
        while True:
            async with asyncio.timeout(_CALL_LIMIT):
                await client.invoke(raw.functions.updates.GetState(), retries=1)
            await asyncio.sleep(PERIOD)
    except (RPCError, OSError, TimeoutError) as error:
        _log.info("the session is of no more use", error=type(error).__name__)
    finally:
        await _leave(client)


def _connection_to(dc: HostPort) -> type[Connection]:
    class ForeignConnection(Connection):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.server_address, self.port, self.ipv6 = dc.host, dc.port, False

    return ForeignConnection


async def _leave(client: Client) -> None:
    """A link refused at its start cannot be disconnected, only forgotten (TELEGRAM.md section 3, 6)."""
    try:
        async with asyncio.timeout(_CALL_LIMIT):
            await (client.disconnect() if client.is_connected else client.storage.close())
    except (RPCError, OSError, TimeoutError) as error:
        _log.info("not disconnected cleanly", error=type(error).__name__)


async def _main(dc: HostPort, session_file: Path, life: Lifecycle) -> None:
    life.tasks.spawn(use_session(dc, session_file), name="use session")
    announce_ready({"service": "foreign_client", "listen": ""})
    await life.stop_requested.wait()


def _complain(sentence: str) -> int:
    print(f"{_USAGE} ({sentence})", file=sys.stderr)  # noqa: T201 - there are no logs yet
    return 2


def main(argv: Sequence[str]) -> int:
    """The exit code of the process."""
    try:
        address, session_file = argv
        dc = HostPort.parse(address)
    except ValueError as error:
        return _complain(str(error))
    if not dc.is_loopback:
        return _complain("it dials a test data centre on loopback only")
    return run("foreign-client", NoSettings, lambda _, life: _main(dc, Path(session_file), life), argv=())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
