"""The data centre itself: listens, brings links, keys and the desk together, and answers for them all."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from functools import partial
from itertools import count
from secrets import randbits

from services.testdc.adapters.statefile import Snapshot
from services.testdc.api import (
    channels,
    chats,
    contacts,
    forwarding,
    history,
    messages,
    start,
    topics,
    updates,
)
from services.testdc.api.registry import Endpoint
from services.testdc.desk import CallDesk
from services.testdc.domain.faults import FaultKind
from services.testdc.domain.journal import RecordKind, digest
from services.testdc.domain.keys import AuthKey
from services.testdc.domain.message import Message
from services.testdc.domain.peer import Peer, PeerKind
from services.testdc.domain.speech import Delivery, told
from services.testdc.mtproto.dialogue import Dialogue
from services.testdc.mtproto.envelope import EnvelopeError, open_packet
from services.testdc.mtproto.handshake import Handshake, HandshakeError, plain_packet
from services.testdc.mtproto.link import Link
from services.testdc.mtproto.reading import UnreadableError
from services.testdc.mtproto.rsakey import RsaKey
from services.testdc.scribe import Scribe
from services.testdc.state import State

log = logging.getLogger(__name__)

METHOD_MODULES = (channels, chats, contacts, forwarding, history, messages, start, topics, updates)
"""Importing these fills the table of methods."""

_NOT_FOUND = (-404).to_bytes(4, "little", signed=True)
"""Transport error: this auth key is unknown here."""
_HEAD = 24
"""Every packet begins with a key id (8) and a message key or message id and length (16)."""
_CLOSE_LIMIT = 2.0
"""Seconds for the system to take back the sockets of aborted links."""
_BACKLOG = 1024
"""500 clients that dial at once must all be accepted."""


class DataCentre:
    """Serves clients over MTProto on a main and a media port."""

    def __init__(self, state: State, rsa_key: RsaKey, scribe: Scribe) -> None:
        self.state = state
        self.desk = CallDesk(self.state, scribe, self._journal_messages)
        self.scribe = scribe
        self.rsa_key = rsa_key
        self._handshakes: dict[int, Handshake] = {}
        self._servers: list[asyncio.Server] = []
        self._numbers = count(1)

    async def start(self) -> Endpoint:
        """Listen; ports that were 0 are chosen by the system. Returns where clients find us."""
        where = self.state.endpoint
        loop = asyncio.get_running_loop()
        for port, media in ((where.port, False), (where.media_port, True)):
            factory = partial(self._link, media=media)
            self._servers.append(await loop.create_server(factory, where.host, port, backlog=_BACKLOG))
        main, media_port = (server.sockets[0].getsockname()[1] for server in self._servers)
        self.state.endpoint = Endpoint(where.dc_id, where.host, main, media_port)
        return self.state.endpoint

    async def close(self) -> None:
        """Stop listening and cut every link."""
        self.desk.close()
        for server in self._servers:
            server.close()
        for link in list(self.state.links.values()):
            link.close("the data centre stops")
        for server in self._servers:
            await server.wait_closed()
        try:
            async with asyncio.timeout(_CLOSE_LIMIT):
                while self.state.links:  # noqa: ASYNC110 - an aborted link is gone after a turn or two of the loop
                    await asyncio.sleep(0)
        finally:
            self.scribe.close()

    def opened(self, link: Link) -> None:
        """See Sink."""
        self.state.links[link.connection_id] = link
        self.scribe.note(
            RecordKind.CONNECTION_OPENED,
            connection_id=link.connection_id,
            peer=link.peer,
            media=link.media,
        )
        if self.state.suffers(link, FaultKind.HALF_OPEN):
            link.suspend()

    def packet(self, link: Link, packet: bytes) -> None:
        """See Sink."""
        if len(packet) < _HEAD:
            link.close("a packet that is too short")
        elif packet[:8] == bytes(8):
            self._exchange_keys(link, packet)
        else:
            self._encrypted(link, packet)

    def closed(self, link: Link, reason: str) -> None:
        """See Sink."""
        self.state.links.pop(link.connection_id, None)
        self._handshakes.pop(link.connection_id, None)
        dialogue = self.state.dialogues.pop(link.connection_id, None)
        if dialogue is not None:
            dialogue.key.use.closed(link.connection_id)
        self.scribe.note(
            RecordKind.CONNECTION_CLOSED,
            connection_id=link.connection_id,
            peer=link.peer,
            media=link.media,
            auth_key_id=dialogue.key.key_id if dialogue else "",
            user_id=dialogue.key.user_id if dialogue else 0,
            detail=reason,
        )

    def snapshot(self) -> Snapshot:
        """What a restart must not lose."""
        state = self.state
        return Snapshot(
            world=state.world,
            keys=state.keys,
            faults=state.faults,
            floods=state.floods,
            waits=state.waits,
            costs=state.costs,
            secret=state.secret,
            rsa_private_pem=self.rsa_key.private_pem,
        )

    def apply_link_faults(self) -> None:
        """Let faults that were just set or lifted work on the links that are open now."""
        for link in list(self.state.links.values()):
            if self.state.suffers(link, FaultKind.HALF_OPEN):
                link.suspend()
            else:
                link.resume()
            if link.connection_id in self.state.dialogues and self.state.suffers(link, FaultKind.KEY_UNKNOWN):
                link.send(_NOT_FOUND)

    def _link(self, *, media: bool) -> Link:
        return Link(self, next(self._numbers), media=media)

    def _exchange_keys(self, link: Link, packet: bytes) -> None:
        if self.state.suffers(link, FaultKind.SILENT):
            return
        exchange = self._handshakes.setdefault(link.connection_id, Handshake(self.rsa_key))
        now = self.state.server_time(link)
        try:
            answer = exchange.step(packet, now)
        except HandshakeError as e:
            link.close(str(e))
            return
        link.send(plain_packet(answer, (int(now * 2**32) & ~3) | 1))
        if exchange.auth_key is not None:
            del self._handshakes[link.connection_id]
            key = self.state.keys.add(AuthKey(exchange.auth_key, exchange.salt))
            self.state.touch()
            self.scribe.note(
                RecordKind.KEY_CREATED,
                connection_id=link.connection_id,
                peer=link.peer,
                auth_key_id=key.key_id,
            )

    def _encrypted(self, link: Link, packet: bytes) -> None:
        key = self.state.keys.find(packet[:8])
        if key is None or self.state.suffers(link, FaultKind.KEY_UNKNOWN, key):
            link.send(_NOT_FOUND)
            return
        dialogue = self._dialogue(link, key)
        if self.state.suffers(link, FaultKind.HALF_OPEN):
            link.suspend_before(packet)
            return
        dialogue.mute = self.state.suffers(link, FaultKind.SILENT)
        try:
            dialogue.receive(open_packet(packet, key.secret))
        except EnvelopeError as e:
            log.warning("connection %d: %s", link.connection_id, e)
            link.send(_NOT_FOUND)
        except UnreadableError as e:
            log.warning("connection %d: %s", link.connection_id, e)

    def _dialogue(self, link: Link, key: AuthKey) -> Dialogue:
        dialogue = self.state.dialogues.get(link.connection_id)
        if dialogue is not None and dialogue.key is key:
            return dialogue
        dialogue = Dialogue(link, key, self.desk, partial(self.state.server_time, link, key))
        self.state.dialogues[link.connection_id] = dialogue
        self.scribe.note(
            RecordKind.KEY_BOUND,
            connection_id=link.connection_id,
            peer=link.peer,
            media=link.media,
            auth_key_id=key.key_id,
            user_id=key.user_id,
        )
        return dialogue

    def _journal_messages(self, deliveries: Sequence[Delivery]) -> None:
        """One record for each message, not for each copy nor for each member of a channel."""
        uids: set[int] = set()
        told_channels: set[tuple[Peer, int]] = set()
        for delivery in deliveries:
            first = delivery.events[0]
            if first.peer.kind is PeerKind.CHANNEL:
                if (first.peer, first.pts) in told_channels:
                    continue
                told_channels.add((first.peer, first.pts))
            box = self.state.world.box_of(delivery.user_id, first.peer)
            for message in (message for event in delivery.events for message in told(box, event)):
                if message.uid not in uids:
                    uids.add(message.uid)
                    self._journal_message(message)

    def _journal_message(self, message: Message) -> None:
        self.scribe.note(
            RecordKind.MESSAGE,
            user_id=message.author_id,
            chat=str(message.peer),
            message_id=message.message_id,
            message_uid=message.uid,
            random_id=message.random_id,
            text_digest=digest(message.text),
            source_chat=message.source_chat,
            source_ids=(message.source_id,) if message.source_id else (),
        )


def new_salt() -> int:
    """A server salt for a key that was made without an exchange."""
    return randbits(63) + 1
