"""Two processes with one session, seen from the data centre: killed, frozen and woken holders."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.testdc.embed import Account, Record, TestDataCentre
from tests.support.testdc import telethon_client

_HOLDER = """
import asyncio, sys
from telethon import TelegramClient
from telethon.network import ConnectionTcpAbridged
from telethon.sessions import StringSession

async def main(session, host, port):
    stored = StringSession(session)
    stored.set_dc(2, host, int(port))
    client = TelegramClient(stored, 1, "x", connection=ConnectionTcpAbridged, connection_retries=0)
    await client.connect()
    while True:
        await client.get_me()
        await asyncio.sleep(0.05)

asyncio.run(main(*sys.argv[1:]))
"""


@asynccontextmanager
async def _holder(dc: TestDataCentre, account: Account) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process that uses the account's session without a pause."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _HOLDER, account.telethon_session, dc.host, str(dc.port),
        stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        await dc.until(_user_call, within=20)
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def _user_call(record: Record) -> bool:
    return record.method == "users.getUsers" and record.outcome.value == "ok"


async def _take_over(dc: TestDataCentre, account: Account) -> None:
    async with telethon_client(dc, account) as client:
        assert (await client.get_me()).id == account.user_id


async def test_the_socket_of_a_killed_holder_closes_at_once(dc: TestDataCentre, alice: Account) -> None:
    async with _holder(dc, alice) as first:
        last = dc.control.get_journal()[-1].seq
        first.kill()
        await dc.until(lambda record: record.kind.value == "connection_closed", after=last)
        await _take_over(dc, alice)
    assert dc.control.judge().violations == ()


async def test_a_frozen_holder_is_stale_but_no_overlap(dc: TestDataCentre, alice: Account) -> None:
    async with _holder(dc, alice) as first:
        first.send_signal(signal.SIGSTOP)
        await _quiet(dc)
        await _take_over(dc, alice)
        first.kill()
        await first.wait()
    verdict = dc.control.judge()
    assert [violation.kind.value for violation in verdict.violations] == ["stale_open"]
    assert not dc.control.get_account(alice.user_id).dead


async def test_a_woken_holder_that_goes_on_kills_the_key(dc: TestDataCentre, alice: Account) -> None:
    async with _holder(dc, alice) as first:
        first.send_signal(signal.SIGSTOP)
        await _quiet(dc)
        async with telethon_client(dc, alice) as second:
            await second.get_me()
            first.send_signal(signal.SIGCONT)
            died = await dc.until(lambda record: record.kind.value == "key_died")
            assert died.error == "AUTH_KEY_DUPLICATED"
    verdict = dc.control.judge()
    assert verdict.duplicated
    assert verdict.overlaps
    peers = {record.peer for record in dc.control.get_journal() if record.auth_key_id == alice.auth_key_id}
    assert len(peers - {""}) == 2


async def _quiet(dc: TestDataCentre) -> None:
    """Wait until what the frozen process had sent is read."""
    seq = -1
    while seq != (seq := dc.control.get_journal()[-1].seq):
        await asyncio.sleep(0.2)
