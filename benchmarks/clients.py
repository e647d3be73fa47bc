"""Many clients in one process: how fast they start, what they cost idle and after reading, beside kurigram.

`python -m benchmarks.clients [--clients 500] [--rounds 3] [--readers 50] [--messages 1000]`. Starts are
interleaved with the bare loop's, 20 at a time on both sides. Memory is the process's resident memory beyond
the empty process. Reading is live messages in a group: all the readers get each of them.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
from collections.abc import Sequence

from benchmarks.measure import Machine
from benchmarks.telegram_clients import AT_ONCE, Side, bare, fleet, new_accounts
from services.testdc.embed import Account, NewAccount, Peer, TestDataCentre
from tgfleet.gateway.v1 import account_pb2

_IN_FLIGHT = 50
"""Messages written before the readers must have read them."""
_PAUSE = 0.3
"""Seconds without noteworthy processor time after which they have."""
_TEXT = "A message of ordinary length, as people write them to each other in a group on any day. "


def _say(side: Side, clients: int, what: str) -> None:
    print(
        f"{side.name}, {clients} clients {what}: {side.threads} threads, {side.resident / 2**20:.0f} MiB, "
        f"of which {side.each(clients):.2f} MiB a client (empty process {side.empty / 2**20:.0f} MiB)",
        flush=True,
    )


async def _starts(dc: TestDataCentre, accounts: Sequence[Account], rounds: int) -> None:
    ratios, idle = [], {}
    for number in range(rounds):
        seconds = {}
        for side_of in (bare, fleet) if number % 2 else (fleet, bare):
            async with side_of(dc, accounts) as side:
                seconds[side.name] = side.seconds
                if number == rounds - 1:
                    await side.quiet()
                    _say(side, len(accounts), "idle")
                    idle[side.name] = side.each(len(accounts))
        ratios.append(seconds["ours"] / seconds["bare"])
        print(
            f"start of {len(accounts)}, {AT_ONCE} at a time: {seconds['bare']:.2f} s bare, "
            f"{seconds['ours']:.2f} s ours, ratio {ratios[-1]:.2f}",
            flush=True,
        )
    print(
        f"starting: ratio {statistics.median(ratios):.2f} ({min(ratios):.2f}..{max(ratios):.2f}; at most "
        f"1.10); idle memory of a client: {idle['ours']:.2f} MiB against {idle['bare']:.2f} bare"
    )


async def _write(dc: TestDataCentre, side: Side, author: int, group: Peer, messages: int) -> None:
    for number in range(messages):
        dc.control.send_message(author, group, f"{number} {_TEXT}")
        if number % _IN_FLIGHT == 0:
            await side.quiet(_PAUSE)
    await side.quiet()


def _links(dc: TestDataCentre, accounts: Sequence[Account]) -> list[list[int]]:
    return [dc.control.live_connections(account.user_id) for account in accounts]


async def _reading(dc: TestDataCentre, accounts: Sequence[Account], messages: int) -> None:
    author = dc.control.create_account(NewAccount(first_name="Author", virtual=True)).user_id
    group = dc.control.create_group("Everybody", author, [a.user_id for a in accounts])
    policy = account_pb2.ChatPolicy(chat_ids=[-group.peer_id])
    each = {}
    for side_of in (bare(dc, accounts), fleet(dc, accounts, policy=policy)):
        async with side_of as side:
            links = _links(dc, accounts)
            await _write(dc, side, author, group, messages)
            assert _links(dc, accounts) == links, "a reader that fell behind lost its link, and messages"
            _say(side, len(accounts), f"after {messages} messages each")
            each[side.name] = side.each(len(accounts))
    print(
        f"memory of a client after {messages} messages: {each['ours']:.2f} MiB (at most 3) against "
        f"{each['bare']:.2f} bare"
    )


async def _main(clients: int, rounds: int, readers: int, messages: int) -> None:
    machine = Machine()
    async with TestDataCentre() as dc:
        accounts = new_accounts(dc, max(clients, readers))
        if rounds:
            await _starts(dc, accounts[:clients], rounds)
        if readers:
            await _reading(dc, accounts[:readers], messages)
    print(machine.line())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("clients", 500), ("rounds", 3), ("readers", 50), ("messages", 1000)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    asyncio.run(_main(options.clients, options.rounds, options.readers, options.messages))
