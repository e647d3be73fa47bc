"""The Telegram port over kurigram (imported as `pyrogram`): the only room that knows it, beside testdc.

Uses the library for MTProto, parsing and peers, and for nothing that it decides by itself: dialling,
restarting, waiting out floods, prompting on stdin, message caches and handler tasks are ours or off.
TELEGRAM.md section 3 has the reasons.
"""

import asyncio
import functools
import logging
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pyrogram import raw
from pyrogram.crypto import rsa
from pyrogram.errors import RPCError
from pyrogram.storage import UpdateState

from services.runtime.clock import Clock
from services.worker.adapters.telegram_client import CALL_LIMIT, FleetClient, UpdateSink, within
from services.worker.adapters.telegram_connection import GatedConnection
from services.worker.adapters.telegram_errors import keep_library_from_writing, method_name, translate
from services.worker.adapters.telegram_packets import read_whole
from services.worker.adapters.telegram_route import Route, parse_proxy
from services.worker.adapters.telegram_rsa import load_rsa_key
from services.worker.adapters.telegram_session import WatchedSession
from services.worker.adapters.telegram_storage import MemoryStorage
from services.worker.adapters.telegram_transfers import TelegramTransfers
from services.worker.adapters.telegram_updates import sent_message_id
from services.worker.domain.telegram import (
    Credentials,
    IncomingMessage,
    LinkCause,
    LinkDown,
    LinkFacts,
    Me,
    Refused,
)
from services.worker.domain.transfer_orders import Attempt
from services.worker.gate import Gate
from services.worker.ports import MessageHandler, Restraint

_BAD_MESSAGE = "BAD_MSG_NOTIFICATION"


@dataclass(frozen=True, slots=True)
class TelegramConfig:
    """The fleet's own settings for its clients."""

    api_id: int
    api_hash: str = field(repr=False)
    route: Route
    rsa_key: Path | None
    keepalive: float = 10.0
    """Seconds between pings of the link itself, and the time each may take: a half-open link is seen within
    twice this."""


class KurigramClients:
    """Makes clients; one per worker process."""

    def __init__(self, config: TelegramConfig, clock: Clock) -> None:
        """Raises SettingsError when the RSA key cannot be read."""
        self._config = config
        self._clock = clock
        keep_library_from_writing()
        # The library logs packets, proxies with their passwords and whole updates; what matters is reported
        # by us.
        logging.getLogger("pyrogram").setLevel(logging.CRITICAL)
        if config.rsa_key is not None:
            fingerprint, modulus, exponent = load_rsa_key(config.rsa_key)
            rsa.server_public_keys[fingerprint] = rsa.PublicKey(modulus, exponent)

    def make(
        self, credentials: Credentials, gate: Gate, on_message: MessageHandler, restraint: Restraint
    ) -> "KurigramClient":
        """See the port."""
        return KurigramClient(self._config, self._clock, credentials, gate, on_message, restraint=restraint)


class KurigramClient:
    """See `ports.TelegramClient`."""

    def __init__(
        self,
        config: TelegramConfig,
        clock: Clock,
        credentials: Credentials,
        gate: Gate,
        on_message: MessageHandler,
        *,
        restraint: Restraint,
    ) -> None:
        self._config = config
        self._clock = clock
        self._gate = gate
        self._credentials = credentials
        self._through = parse_proxy(credentials.proxy)
        self._updates = UpdateSink(on_message)
        self._api_id = credentials.api_id or config.api_id
        self._storage = MemoryStorage(credentials, self._api_id)
        self._connections: list[GatedConnection] = []
        self._client: FleetClient | None = None
        self._session: WatchedSession | None = None
        self._restraint = restraint
        self._own_id = credentials.user_id
        self._transfers = TelegramTransfers(self)

    async def connect(self, limit: float) -> Me:
        """See the port."""
        await self.close()
        self._gate.check()
        self._config.route.main(self._credentials.dc_id, test_mode=self._credentials.test_mode)
        try:
            async with asyncio.timeout(limit):
                return await self._connect()
        except TimeoutError as error:
            await self.close()
            raise LinkDown(LinkCause.NO_ANSWER) from error
        except BaseException:
            await self.close()
            raise

    async def _connect(self) -> Me:
        client = self._build()
        session = WatchedSession(
            client,
            self._credentials.auth_key,
            self._credentials.dc_id,
            keepalive=self._config.keepalive,
            clock=self._clock,
        )
        self._client, self._session = client, session
        client.session, client.is_connected = session, True
        await within(None, "initConnection", session.start())
        self._assert_routed()
        state = await self._call(raw.functions.updates.GetState(), CALL_LIMIT)
        if not await self._storage.get_update_states(0):
            known = UpdateState(0, state.pts, state.qts, state.date, state.seq)
            await self._storage.set_update_state(known)
        users = await self._call(raw.functions.users.GetUsers(id=[raw.types.InputUserSelf()]), CALL_LIMIT)
        if not users or not isinstance(users[0], raw.types.User):
            raise Refused(401, "AUTH_KEY_UNREGISTERED", "users.getUsers")
        await self._storage.user_id(users[0].id)
        self._own_id = int(users[0].id)
        return Me(users[0].id)

    def _build(self) -> FleetClient:
        """Inside the running loop, as the library needs (TELEGRAM.md section 3, hazard 15)."""
        model = {"device_model": self._credentials.device_model} if self._credentials.device_model else {}
        client = FleetClient(
            "account",
            api_id=self._api_id,
            api_hash=self._config.api_hash,
            storage_engine=self._storage,
            workers=1,
            no_updates=False,
            sleep_threshold=0,
            max_message_cache_size=1,
            max_topic_cache_size=1,
            fetch_replies=False,
            fetch_topics=False,
            fetch_stories=False,
            fetch_stickers=False,
            connection_factory=functools.partial(
                GatedConnection,
                gate=self._gate,
                route=self._config.route,
                through=self._through,
                on_transport_error=self._on_transport_error,
                room=self._room,
                register=self._connections.append,
            ),
            loop=asyncio.get_running_loop(),
            **model,
        )
        client.dispatcher = self._updates
        client.restraint, client.clock = self._restraint, self._clock
        return client

    def _assert_routed(self) -> None:
        """An override that the library ignored would mean a connection to the real Telegram (TELEGRAM.md
        section 1)."""
        if self._session is None or not isinstance(self._session.connection, GatedConnection):
            raise LinkDown(LinkCause.NOT_ALLOWED, "The client library did not take our connection.")

    async def _room(self) -> None:
        if self._session is not None:
            await self._session.room()

    def _on_transport_error(self, code: int) -> None:
        if self._session is not None:
            self._session.note_transport_error(code)

    async def ping(self, limit: float) -> None:
        """See the port."""
        session = self._up()
        await within(limit, "ping", session.ping(limit))

    async def probe(self, limit: float) -> None:
        """See the port."""
        await self._call(raw.functions.updates.GetState(), limit)

    async def recover(self, limit: float, chat_ids: Iterable[int] = ()) -> None:
        """See the port. Of other channels nothing is asked: a transfer's target may have thousands of new
        messages, which nobody here would read."""
        self._up()
        if self._client is not None:
            await within(limit, "updates.getDifference", self._client.recover_gaps([0, *chat_ids]))

    async def reply(self, message: IncomingMessage, text: str, limit: float) -> int:
        """See the port."""
        self._up()
        try:
            peer = await self._storage.get_peer_by_id(message.chat_id)
        except KeyError as error:
            raise Refused(400, "PEER_ID_INVALID", "messages.sendMessage") from error
        query = raw.functions.messages.SendMessage(
            peer=peer,
            message=text,
            random_id=random.SystemRandom().getrandbits(63),
            reply_to=raw.types.InputReplyToMessage(reply_to_msg_id=message.message_id),
            no_webpage=True,
        )
        sent = sent_message_id(await self._call(query, limit, chat_id=message.chat_id))
        if sent is None:
            raise LinkDown(LinkCause.BAD_PACKET, "Telegram's answer names no message")
        return sent

    def facts(self) -> LinkFacts:
        """See the port."""
        session = self._session
        sockets = sum(connection.open for connection in self._connections)
        if session is None:
            return LinkFacts(
                started=False, receiving=False, answered_ago=None, calls_in_flight=0, open_sockets=sockets
            )
        return LinkFacts(
            started=session.up,
            receiving=session.receiving,
            answered_ago=session.answered_ago,
            calls_in_flight=session.in_flight,
            open_sockets=sockets,
            cut=session.was_cut,
        )

    async def ended(self) -> LinkDown:
        """See the port."""
        return await self._session.ended() if self._session else LinkDown(LinkCause.STOPPED)

    async def close(self) -> None:
        """See the port."""
        session = self._session
        if session is not None:
            await session.shut()
        for connection in self._connections:
            await connection.close()
        self._connections.clear()

    def _up(self) -> WatchedSession:
        self._gate.check()
        if self._session is None or not self._session.up:
            raise LinkDown(LinkCause.LINK_CLOSED)
        return self._session

    @property
    def transfers(self) -> TelegramTransfers:
        """See the port."""
        return self._transfers

    async def call(
        self, query: Any, limit: float, *, chat_id: int = 0, reader: Callable[[Any], Any] = read_whole
    ) -> Any:
        """See `telegram_chats.Caller`."""
        result = await self._call(query, limit, chat_id=chat_id, reader=reader)
        await self._learn(result)
        return result

    async def transmit(self, query: Any, limit: float, attempt: Attempt, *, chat_id: int) -> Any:
        """See `telegram_transfers.Sender`."""
        session, name = self._up(), method_name(query)
        self._restraint.check(name, chat_id)
        try:
            return await session.transmit(query, limit, attempt)
        except RPCError as error:
            raise translate(error, name) from error

    async def stored_peer(self, chat_id: int) -> Any:
        """See `telegram_chats.Caller`."""
        try:
            return await self._storage.get_peer_by_id(chat_id)
        except KeyError:
            return None

    async def stored_name(self, name: str) -> Any:
        """See `telegram_chats.Caller`."""
        try:
            return await self._storage.get_peer_by_username(name)
        except KeyError:
            return None

    @property
    def own_id(self) -> int:
        """See `telegram_chats.Caller`."""
        return self._own_id

    @property
    def now(self) -> float:
        """See `telegram_chats.Caller`."""
        return self._clock.monotonic()

    @property
    def server_time(self) -> float:
        """See `telegram_chats.Caller`."""
        return float(self._client.server_time) if self._client else self._clock.wall().timestamp()

    async def _learn(self, result: Any) -> None:
        """Remembers the access hashes that came with an answer."""
        peers = [*getattr(result, "users", ()), *getattr(result, "chats", ())]
        peers += [result.chat] if hasattr(result, "chat") else []
        if peers and self._client is not None:
            await self._client.fetch_peers(peers)

    async def _asked(
        self, session: WatchedSession, query: Any, limit: float, reader: Callable[[Any], Any]
    ) -> Any:
        return session.read(await session.ask(query, limit), reader)

    async def _call(
        self, query: Any, limit: float, *, chat_id: int = 0, reader: Callable[[Any], Any] = read_whole
    ) -> Any:
        session = self._up()
        name = method_name(query)
        self._restraint.check(name, chat_id)
        result = await within(limit, name, self._asked(session, query, limit, reader))
        if isinstance(result, raw.types.BadMsgNotification):
            raise Refused(result.error_code, _BAD_MESSAGE, name)
        return result
