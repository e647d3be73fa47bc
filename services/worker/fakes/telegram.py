"""A Telegram in memory: accounts by key, scripted misbehaviour, and a journal of what was sent when.

Time is the loop's, so that tests can run in virtual time.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NoReturn

from services.worker.domain.telegram import (
    Credentials,
    IncomingMessage,
    LinkCause,
    LinkDown,
    LinkFacts,
    Me,
    Refused,
)
from services.worker.fakes.clock import LoopClock
from services.worker.fakes.transfers import FakeChannel, FakeTransfers
from services.worker.gate import Gate
from services.worker.ports import MessageHandler, Restraint

_PING = "ping"
"""No API call: Telegram refuses none."""


@dataclass(slots=True)
class FakeAccount:
    """One login, and what goes wrong with it."""

    user_id: int
    refuse: Refused | None = None
    """The answer to every call, from now on."""
    silent: bool = False
    """Nothing is answered."""
    unreachable: LinkCause | None = None
    """Why dials fail."""
    delay: float = 0.0
    """Seconds before any call is answered."""
    answers: list[tuple[IncomingMessage, str]] = field(default_factory=list)
    """What was sent as answers."""


class FakeTelegram:
    """All accounts, and everything that any client sent: (loop time, auth key, what)."""

    def __init__(self) -> None:
        self.accounts: dict[bytes, FakeAccount] = {}
        self.journal: list[tuple[float, bytes, str]] = []
        self.clients: list[FakeClient] = []
        self.channels: dict[int, FakeChannel] = {}

    def make(
        self, credentials: Credentials, gate: Gate, on_message: MessageHandler, restraint: Restraint
    ) -> "FakeClient":
        """See `ports.TelegramClients`."""
        client = FakeClient(self, credentials.auth_key, gate, on_message, restraint=restraint)
        self.clients.append(client)
        return client

    def live(self, key: bytes) -> list["FakeClient"]:
        """The clients of a key whose link is up."""
        return [one for one in self.clients if one.key == key and one.facts().open_sockets]

    def drop(self, key: bytes, cause: LinkCause = LinkCause.LINK_CLOSED) -> None:
        """Ends the links of a key from outside."""
        for client in self.live(key):
            client.end(LinkDown(cause))

    def deliver(self, key: bytes, message: IncomingMessage) -> None:
        """A message arrives at every live client of the key."""
        for client in self.live(key):
            client.on_message(message)


class FakeClient:
    """See `ports.TelegramClient`."""

    def __init__(
        self,
        telegram: FakeTelegram,
        key: bytes,
        gate: Gate,
        on_message: MessageHandler,
        *,
        restraint: Restraint,
    ) -> None:
        self.key = key
        self.on_message = on_message
        self._telegram = telegram
        self._gate = gate
        self._lost: asyncio.Future[LinkDown] | None = None
        self._answered_at: float | None = None
        self._in_flight = 0
        self._cut = False
        self._restraint = restraint
        self.transfers = FakeTransfers(self, telegram.channels, lambda: LoopClock().wall().timestamp())

    @property
    def _account(self) -> FakeAccount:
        return self._telegram.accounts[self.key]

    async def connect(self, limit: float) -> Me:
        """See the port."""
        await self.close()
        self._gate.check()
        if self._account.unreachable is not None:
            raise LinkDown(self._account.unreachable)
        self._lost = asyncio.get_running_loop().create_future()
        self._cut = False
        self._gate.on_shut(self._on_gate_shut)
        try:
            await self.call("initConnection", limit)
            await self.call("updates.getState", limit)
        except BaseException:
            await self.close()
            raise
        return Me(self._account.user_id)

    async def ping(self, limit: float) -> None:
        """See the port."""
        await self.call(_PING, limit)

    async def probe(self, limit: float) -> None:
        """See the port."""
        await self.call("updates.getState", limit)

    async def recover(self, limit: float, chat_ids: Iterable[int] = ()) -> None:
        """See the port."""
        await self.call("updates.getDifference", limit)
        for chat_id in chat_ids:
            await self.call("updates.getChannelDifference", limit, chat_id)

    async def reply(self, message: IncomingMessage, text: str, limit: float) -> int:
        """See the port."""
        await self.call("messages.sendMessage", limit)
        self._account.answers.append((message, text))
        return message.message_id + 1

    def facts(self) -> LinkFacts:
        """See the port."""
        up = self._lost is not None and not self._lost.done()
        now = asyncio.get_running_loop().time()
        ago = None if self._answered_at is None else now - self._answered_at
        return LinkFacts(
            started=up,
            receiving=up,
            answered_ago=ago,
            calls_in_flight=self._in_flight,
            open_sockets=int(up),
            cut=self._cut,
        )

    async def ended(self) -> LinkDown:
        """See the port."""
        return LinkDown(LinkCause.STOPPED) if self._lost is None else await asyncio.shield(self._lost)

    async def close(self) -> None:
        """See the port."""
        self.end(LinkDown(LinkCause.STOPPED))

    def end(self, down: LinkDown) -> None:
        """The link is gone."""
        self._gate.forget(self._on_gate_shut)
        if self._lost is not None and not self._lost.done():
            self._lost.set_result(down)

    def cut(self) -> None:
        """The client closes its own connection."""
        self._cut = True
        self.end(LinkDown(LinkCause.ABORTED))

    def _on_gate_shut(self) -> None:
        self.end(LinkDown(LinkCause.FENCED))

    def admit(self, method: str, chat_id: int = 0) -> "asyncio.Future[LinkDown]":
        """Whether a call may be made now; the end of the link that it would go through."""
        self._gate.check()
        if method != _PING:
            self._restraint.check(method, chat_id)
        if self._lost is None or self._lost.done():
            raise LinkDown(LinkCause.LINK_CLOSED)
        return self._lost

    async def call(self, method: str, limit: float, chat_id: int = 0) -> None:
        """One call that is answered."""
        lost = self.admit(method, chat_id)
        self._gate.used = True
        self._telegram.journal.append((asyncio.get_running_loop().time(), self.key, method))
        self._in_flight += 1
        try:
            if self._account.silent:
                await self._wait_in_vain(lost, limit)
            await asyncio.sleep(self._account.delay)
        finally:
            self._in_flight -= 1
        self._answered_at = asyncio.get_running_loop().time()
        if self._account.refuse is not None and method != _PING:
            error = self._account.refuse
            raise Refused(error.code, error.name, method, error.seconds)

    async def _wait_in_vain(self, lost: "asyncio.Future[LinkDown]", limit: float) -> NoReturn:
        await asyncio.wait({lost}, timeout=limit)
        raise LinkDown(LinkCause.LINK_CLOSED if lost.done() else LinkCause.NO_ANSWER)
