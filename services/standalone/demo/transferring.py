"""The act of the tour that moves messages: two accounts are told to wait and a worker is killed meanwhile.
What came of it is asked of the data centre, not of the fleet."""

import asyncio
import os
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from services.runtime.calls import open_call
from services.runtime.errors import Unavailable
from services.standalone.adapters.gateway import GatewayClient
from services.standalone.demo.control import Control
from services.standalone.demo.screen import Screen
from services.standalone.demo.transfer_checks import FORWARD, faults, moved
from tgfleet.gateway.v1 import account_pb2, fleet_pb2, transfer_pb2
from tgfleet.testdc.v1 import control_pb2

MESSAGES = 1_000
_BUDGETS = {0: 230, 1: 170}
"""Messages that the first and the second account may send before they are told to wait."""
_WAIT_SECONDS = 4
_KILL_AFTER = 480
"""Messages moved by then: both accounts have been told to wait, and a third one is at work."""
_LIMIT = 60.0
_CREATE_LIMIT = 30.0
_POLL = 0.1
_ENDED = frozenset(
    {
        transfer_pb2.TRANSFER_STATE_COMPLETED,
        transfer_pb2.TRANSFER_STATE_FAILED,
        transfer_pb2.TRANSFER_STATE_CANCELLED,
    }
)


@dataclass
class Chats:
    """Where the messages are and where they go."""

    source: control_pb2.Chat
    target: control_pb2.Chat
    first: int
    last: int


@dataclass
class TransferAct:
    """Plays it once."""

    screen: Screen
    gateway: GatewayClient
    control: Control
    pids: Callable[[], Mapping[str, int]]
    """Who lives now: a killed worker comes back with another pid."""
    names: tuple[str, ...]
    """Accounts that run; the first two will be told to wait."""
    problems: list[str] = field(default_factory=list)
    _killed: str = ""
    _sender: str = ""

    async def play(self) -> None:
        """The whole act."""
        self.screen.chapter(
            f"A transfer of {MESSAGES:,} messages",
            f"{' and '.join(self.names[:2])} will be told to wait, and a worker is killed with -9 meanwhile.",
        )
        people = await self.control.accounts()
        chats = await self._prepare({name: people[name].user_id for name in self.names})
        after = await self.control.last_record()
        last = await self._transfer(chats)
        await self.control.cheap(FORWARD)
        await self._judge(chats, after, last, {people[name].user_id: name for name in self.names})

    async def _prepare(self, users: Mapping[str, int]) -> Chats:
        """The two chats, an order of choice, and what Telegram will do to the first two."""
        ids = list(users.values())
        made = await self.control.channel("Daily News", ids, broadcast=True, messages=MESSAGES)
        target = await self.control.channel("Archive", ids)
        for place, name in enumerate(self.names):
            update = account_pb2.UpdateAccountRequest(
                account=account_pb2.Account(account_id=name, priority=100 - 10 * place)
            )
            update.update_mask.paths.append("priority")
            await self.gateway.call(self.gateway.accounts.UpdateAccount, update)
            if place in _BUDGETS:
                await self.control.flood(users[name], FORWARD, _BUDGETS[place], _WAIT_SECONDS)
        await self.control.costly(FORWARD, call_ms=150, message_ms=5)
        return Chats(made.chat, target.chat, made.first_id, made.last_id)

    async def _transfer(self, chats: Chats) -> transfer_pb2.Transfer:
        """Creates it and watches it to its end."""
        request = transfer_pb2.CreateTransferRequest(
            spec=transfer_pb2.TransferSpec(
                source=_marked(chats.source),
                target=_marked(chats.target),
                ids=transfer_pb2.IdRange(first=chats.first, last=chats.last),
                account_ids=self.names,
            )
        )
        made = await self.gateway.call(self.gateway.transfers.CreateTransfer, request, limit=_CREATE_LIMIT)
        last: transfer_pb2.Transfer = made.transfer
        watch = transfer_pb2.WatchTransferRequest(transfer_id=last.transfer_id)
        with self.screen.progress() as bar, suppress(TimeoutError):
            async with asyncio.timeout(_LIMIT):
                method, metadata = self.gateway.transfers.WatchTransfer, self.gateway.metadata
                async with open_call(method, watch, metadata=metadata) as call:
                    async for message in call:
                        last = message.transfer
                        bar.show(last)
                        self._tell_who_sends(last)
                        await self._kill_when_due(last)
        if last.state not in _ENDED:
            raise Unavailable(f"the transfer did not end within {_LIMIT:.0f} s: {last.detail}")
        return last

    def _tell_who_sends(self, transfer: transfer_pb2.Transfer) -> None:
        busy = next((shard.account_name for shard in transfer.shards if shard.account_name), "")
        if busy and busy != self._sender and transfer.state not in _ENDED:
            self.screen.line(
                f"{busy} goes on at {transfer.done:,} messages" if self._sender else f"{busy} sends"
            )
            self._sender = busy

    async def _kill_when_due(self, transfer: transfer_pb2.Transfer) -> None:
        """Once enough is moved, kills the worker whose account is sending."""
        busy = [shard.account_name for shard in transfer.shards if shard.account_name]
        if self._killed or transfer.done < _KILL_AFTER or not busy or transfer.state in _ENDED:
            return
        status = (await self.gateway.status()).get(busy[0])
        if status is None or status.state != fleet_pb2.SESSION_STATE_RUNNING:
            return
        pid = self.pids().get(status.worker_id)
        if pid is not None:
            self._killed = status.worker_id
            self.screen.line(f"kill -9 of {status.worker_id}, where {busy[0]} is sending", good=None)
            os.kill(pid, signal.SIGKILL)

    async def _judge(
        self, chats: Chats, after: int, last: transfer_pb2.Transfer, names: Mapping[int, str]
    ) -> None:
        source = [
            m for m in await self.control.history(chats.source) if chats.first <= m.message_id <= chats.last
        ]
        journal = await self.control.journal(after)
        found = moved(source, journal, _named(chats.source), _named(chats.target))
        wrong = faults(found, floods_wanted=len(_BUDGETS))
        if last.state != transfer_pb2.TRANSFER_STATE_COMPLETED:
            wrong.append(f"the transfer did not complete: {last.detail}")
        if not self._killed:
            wrong.append("no worker was killed while messages were moving")
        for sentence in wrong:
            self.problems.append(sentence)
            self.screen.line(sentence, good=False)
        for user_id, seconds in found.told_to_wait.items():
            self.screen.line(f"Telegram told {names.get(user_id, user_id)} to wait {seconds} s", good=True)
        if not wrong:
            self.screen.line(
                f"The data centre's journal, not ours: all {found.arrived:,} messages arrived, none lost, "
                f"none repeated, in order, {found.albums} albums whole, no call inside a wait.",
                good=True,
            )


async def until_workers(gateway: GatewayClient, count: int, within: float) -> bool:
    """Whether so many workers are connected in time; a killed one takes a moment to come back."""
    end = time.monotonic() + within
    while await gateway.connected_workers() < count:
        if time.monotonic() > end:
            return False
        await asyncio.sleep(_POLL)
    return True


def _marked(chat: control_pb2.Chat) -> str:
    """As people write it: -100... for channels and supergroups."""
    return str(-1_000_000_000_000 - chat.channel_id)


def _named(chat: control_pb2.Chat) -> str:
    """As the journal writes it."""
    return f"channel:{chat.channel_id}"
